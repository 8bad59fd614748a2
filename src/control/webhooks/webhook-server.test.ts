import assert from "node:assert/strict";
import { request } from "node:https";
import { afterEach, describe, test } from "node:test";
import { meshYaml, metricValue, startTestControlPlane, type TestControlPlane } from "../testing/test-control-plane.ts";
import { readPathSettings } from "./inject.ts";
import { jsonPatch } from "./json-patch.ts";

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(yaml = meshYaml): Promise<TestControlPlane> {
  const plane = await startTestControlPlane(yaml);
  cleanups.push(() => plane.control.stop());
  return plane;
}

interface Reply {
  readonly status: number;
  readonly body: string;
}

/** Calls as an API server does: over TLS, trusting the caBundle only. */
function post(plane: TestControlPlane, path: string, body: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        host: "127.0.0.1",
        port: plane.control.addresses.webhook?.port,
        path,
        method: "POST",
        ca: plane.control.rootCertificates,
        servername: "istiod.istio-system.svc",
        headers: { "content-type": "application/json" },
        agent: false,
      },
      (response) => {
        let text = "";
        response.on("data", (chunk: Buffer) => {
          text += chunk.toString();
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text }));
      },
    );
    call.on("error", reject);
    call.end(body);
  });
}

function review(kind: string, object: object, operation = "CREATE"): string {
  const request = { uid: "u1", kind: { group: "", version: "v1", kind }, operation, namespace: "default", object };
  return JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request });
}

interface Answer {
  readonly uid: string;
  readonly allowed: boolean;
  readonly patch?: string;
  readonly patchType?: string;
  readonly status?: { message: string };
  readonly warnings?: string[];
}

function answer(reply: Reply): Answer {
  assert.equal(reply.status, 200, reply.body);
  const { apiVersion, response } = JSON.parse(reply.body) as { apiVersion: string; response: Answer };
  assert.equal(apiVersion, "admission.k8s.io/v1");
  assert.equal(response.uid, "u1");
  return response;
}

const pod = (labels: Record<string, string> = {}): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { generateName: "reviews-", labels: { app: "reviews", ...labels } },
  spec: { containers: [{ name: "reviews", image: "bookinfo/reviews", ports: [{ containerPort: 9080 }] }] },
});

describe("/inject", () => {
  test("adds the sidecar with a JSON patch that gives the injected pod", async () => {
    const plane = await start();
    const response = answer(await post(plane, "/inject", review("Pod", pod())));
    assert.equal(response.allowed, true);
    assert.equal(response.patchType, "JSONPatch");
    const patch = JSON.parse(Buffer.from(response.patch ?? "", "base64").toString()) as {
      path: string;
      value: unknown;
    }[];
    const text = JSON.stringify(patch);
    for (const name of ["istio-proxy", "istio-init", "istio-token"]) assert.ok(text.includes(name), name);
    assert.equal(metricValue(plane.control, "sidecar_injection_success_total"), 1);
  });

  test("settings in the path and in the injector's ConfigMap reach the proxy", async () => {
    const plane = await start(`${meshYaml}---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector, namespace: istio-system}
data:
  values: '{"global": {"proxy": {"image": "special/proxy:1"}}}'
`);
    const path = "/inject/cluster/c1/net/n1/ISTIO_META_X/a--slash--b";
    const response = answer(await post(plane, path, review("Pod", pod())));
    const text = Buffer.from(response.patch ?? "", "base64").toString();
    for (const part of ['"c1"', '"n1"', '"a/b"', "special/proxy:1"]) assert.ok(text.includes(part), part);
    assert.equal(answer(await post(plane, "/inject/cluster", review("Pod", pod()))).allowed, false);
  });

  test("leaves a pod alone that does not want it, and everything that is no pod", async () => {
    const plane = await start();
    const response = answer(await post(plane, "/inject", review("Pod", pod({ "sidecar.istio.io/inject": "false" }))));
    assert.deepEqual([response.allowed, response.patch], [true, undefined]);
    assert.equal(answer(await post(plane, "/inject", review("Service", {}))).allowed, true);
    assert.equal(metricValue(plane.control, "sidecar_injection_skip_total"), 1);
  });
});

describe("/validate", () => {
  const virtualService = (spec: object): object => ({
    apiVersion: "networking.istio.io/v1",
    kind: "VirtualService",
    metadata: {
      name: "reviews",
      namespace: "default",
      annotations: {
        "outrigger.dev/source": JSON.stringify({
          file: "reviews.yaml",
          line: 3,
          column: 1,
          fields: { "spec.hosts": [7, 3] },
        }),
      },
    },
    spec,
  });

  test("admits what is valid and refuses what is not, with the place in the file", async () => {
    const plane = await start();
    const route = [{ route: [{ destination: { host: "reviews" } }] }];
    const good = answer(
      await post(plane, "/validate", review("VirtualService", virtualService({ hosts: ["reviews"], http: route }))),
    );
    assert.equal(good.allowed, true);
    const bad = answer(
      await post(plane, "/validate", review("VirtualService", virtualService({ hosts: "reviews", http: route }))),
    );
    assert.equal(bad.allowed, false);
    assert.match(bad.status?.message ?? "", /reviews\.yaml:7:3 error .*spec\.hosts/);
    assert.equal(metricValue(plane.control, "galley_validation_failed"), 1);
  });

  test("deletions and kinds of others pass", async () => {
    const plane = await start();
    assert.equal(answer(await post(plane, "/validate", review("VirtualService", {}, "DELETE"))).allowed, true);
    const other = { apiVersion: "example.com/v1", kind: "Thing", metadata: { name: "x" } };
    assert.equal(answer(await post(plane, "/validate", review("Thing", other))).allowed, true);
  });
});

test("what became of pods and objects is counted", async () => {
  const plane = await start();
  const broken = { ...pod(), metadata: { labels: {}, annotations: { "proxy.istio.io/config": "[" } } };
  for (const object of [pod(), pod(), pod({ "sidecar.istio.io/inject": "false" }), broken]) {
    await post(plane, "/inject", review("Pod", object));
  }
  const read = (name: string): number => metricValue(plane.control, name);
  assert.deepEqual(
    ["requests_total", "success_total", "skip_total", "failure_total", "time_seconds_count"].map((name) =>
      read(`sidecar_injection_${name}`),
    ),
    [4, 2, 1, 1, 4],
  );
  const service = { apiVersion: "networking.istio.io/v1", kind: "Gateway", metadata: { name: "g" }, spec: {} };
  await post(plane, "/validate", review("Gateway", service));
  const selector = {
    ...service,
    spec: { servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["a.example"] }] },
  };
  await post(plane, "/validate", review("Gateway", selector));
  assert.deepEqual([read("galley_validation_passed"), read("galley_validation_failed")], [1, 1]);
});

test("what is no review is refused, and so is what is too large", async () => {
  const plane = await start();
  assert.equal((await post(plane, "/inject", "no json")).status, 400);
  assert.equal((await post(plane, "/inject", "{}")).status, 400);
  assert.equal((await post(plane, "/other", "{}")).status, 404);
  const large = await post(plane, "/inject", "x".repeat(9 * 1024 * 1024)).catch(() => ({ status: 413 }));
  assert.equal(large.status, 413);
});

test("ISTIO-SECURITY-2026-006 what is nested without end, or one giant regular expression, ends its own request alone", async () => {
  const plane = await start();
  const nested = (opening: string, closing: string): string => `${opening.repeat(100_000)}1${closing.repeat(100_000)}`;
  const envelope = (kind: string, object: string): string =>
    review(kind, { deep: "here" }).replace('{"deep":"here"}', object);
  const filter = (value: string): string =>
    `{"apiVersion":"networking.istio.io/v1alpha3","kind":"EnvoyFilter","metadata":{"name":"f","namespace":"default"},` +
    `"spec":{"configPatches":[{"applyTo":"CLUSTER","patch":{"operation":"MERGE","value":${value}}}]}}`;
  const route = (value: string): string =>
    `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"v","namespace":"default"},"spec":${value}}`;
  const smallPod = pod();
  const podWith = (value: string): string =>
    `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"c","x":${value}}]}}`;
  const cases: readonly (readonly [string, string])[] = [
    ["/validate", envelope("EnvoyFilter", filter(nested('{"a":', "}")))],
    ["/validate", envelope("EnvoyFilter", filter(nested("[", "]")))],
    ["/validate", envelope("VirtualService", route(nested('{"http":', "}")))],
    ["/validate", nested("[", "]")],
    ["/inject", envelope("Pod", podWith(nested('{"a":', "}")))],
    ["/inject", envelope("Pod", nested("[", "]"))],
  ];
  for (const [path, body] of cases) {
    const reply = await post(plane, path, body);
    const isRefused = reply.status === 200 ? !answer(reply).allowed : reply.status === 400;
    assert.ok(isRefused, `${path} ${body.slice(0, 60)}: ${reply.status} ${reply.body.slice(0, 200)}`);
  }
  const regex = { uri: { regex: "(a|b)".repeat(300_000) } };
  const giant = await post(
    plane,
    "/validate",
    envelope("VirtualService", route(JSON.stringify({ hosts: ["a"], http: [{ match: [regex] }] }))),
  );
  assert.equal(answer(giant).allowed, false);
  assert.equal(answer(await post(plane, "/inject", review("Pod", smallPod))).allowed, true, "and the next is answered");
});

test("a patch turns one value into the other", () => {
  const before = { a: 1, "x/y": { keep: 1, drop: 2 }, list: [1, 2] };
  const after = { a: 1, "x/y": { keep: 1, add: { "~": 3 } }, list: [1, 3], n: null };
  assert.deepEqual(jsonPatch(before, after), [
    { op: "remove", path: "/x~1y/drop" },
    { op: "add", path: "/x~1y/add", value: { "~": 3 } },
    { op: "replace", path: "/list", value: [1, 3] },
    { op: "add", path: "/n", value: null },
  ]);
});

test("the path's pairs are read as Istio reads them", () => {
  assert.deepEqual(readPathSettings("/inject"), {});
  assert.deepEqual(readPathSettings("/inject/cluster/c/net/n/foo/b--slash--c"), {
    clusterId: "c",
    network: "n",
    injectedEnv: { FOO: "b/c" },
  });
  assert.equal(readPathSettings("/inject/cluster"), undefined);
});
