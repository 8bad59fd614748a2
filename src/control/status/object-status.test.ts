import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { LogRegistry } from "#base/log/log.ts";
import { systemClock } from "#base/time/clock.ts";
import { parseYamlDocuments } from "#mesh/objects/yaml.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { createSelfSignedMaterial } from "../ca/material.ts";
import type { ControlPlane } from "../options.ts";
import { KubernetesClient } from "../sources/kubernetes/client.ts";
import { KubernetesSource } from "../sources/kubernetes/kubernetes-source.ts";
import { type FakeApiServer, startFakeApiServer } from "../sources/kubernetes/testing/fake-api-server.ts";
import { startControlPlane } from "../start.ts";
import { DeltaXdsClient, endpointSlice, meshYaml, sidecarId, simpleTokens } from "../testing/test-control-plane.ts";

const plurals: Readonly<Record<string, string>> = {
  Namespace: "/api/v1/namespaces",
  Service: "/api/v1/services",
  Pod: "/api/v1/pods",
  EndpointSlice: "/apis/discovery.k8s.io/v1/endpointslices",
  VirtualService: "/apis/networking.istio.io/v1/virtualservices",
  WasmPlugin: "/apis/extensions.istio.io/v1alpha1/wasmplugins",
  EnvoyFilter: "/apis/networking.istio.io/v1alpha3/envoyfilters",
  ConfigMap: "/api/v1/configmaps",
  Lease: "/apis/coordination.k8s.io/v1/leases",
};

function apply(api: FakeApiServer, yaml: string): void {
  for (const { object } of parseYamlDocuments("test.yaml", yaml).objects) {
    const collection = plurals[object.kind];
    assert.ok(collection !== undefined, object.kind);
    api.put(collection, object);
  }
}

function route(name: string, host: string, generation: number, timeout: string): string {
  return `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}, namespace: default, generation: ${generation}}
spec:
  hosts: [${host}]
  http: [{timeout: ${timeout}, route: [{destination: {host: ${host}}}]}]
`;
}

interface Status {
  readonly observedGeneration?: number;
  readonly conditions?: { type: string; status: string; reason: string; message: string; lastTransitionTime: string }[];
  readonly validationMessages?: { type: { code: string }; level: string; message: string }[];
}

interface Mesh {
  readonly api: FakeApiServer;
  /** To the first replica, unless another is named. */
  connect(name: string, replica?: ControlPlane): DeltaXdsClient;
  /** Of a VirtualService, unless another collection is named. */
  status(name: string, collection?: string): Status;
  condition(name: string, type: string, collection?: string): string;
  until(condition: () => boolean): Promise<void>;
  stopFirst(): Promise<void>;
}

/** A replica that reads the API server. */
async function startReplica(t: TestContext, api: FakeApiServer, replica: string): Promise<ControlPlane> {
  const client = new KubernetesClient({ socketPath: api.socketPath });
  const log = new LogRegistry({ level: "error", write: () => {} });
  const control = await startControlPlane({
    sources: [new KubernetesSource({ client, log: log.scope("k"), clock: systemClock, rootNamespace: "istio-system" })],
    client,
    ports: { plaintext: 0 },
    host: "127.0.0.1",
    authorityMaterial: createSelfSignedMaterial("cluster.local", Date.now()),
    tokens: simpleTokens,
    authenticatePlaintext: false,
    debounce: { quietMs: 5, urgentQuietMs: 1, maxMs: 100 },
    replica,
    log,
  });
  t.after(async () => {
    await control.stop();
    client.close();
  });
  return control;
}

async function startMesh(t: TestContext, yaml: string): Promise<Mesh> {
  const api = await startFakeApiServer(Object.values(plurals));
  t.after(() => api.stop());
  apply(api, `${meshYaml}---${endpointSlice("reviews", ["10.244.0.20"])}---${yaml}`);
  const control = await startReplica(t, api, "istiod-1");
  const status = (name: string, collection = "v1/virtualservices"): Status => {
    const [version, plural] = collection.split("/");
    const group = plural === "wasmplugins" ? "extensions.istio.io" : "networking.istio.io";
    const path = `/apis/${group}/${version}/namespaces/default/${plural}/${name}`;
    return (api.object(path)?.["status"] ?? {}) as Status;
  };
  return {
    api,
    status,
    stopFirst: () => control.stop(),
    connect: (name, replica = control) => {
      const id = sidecarId.replace("productpage-v1", name);
      const proxy = new DeltaXdsClient({ port: replica.addresses.plaintext?.port ?? 0, node: { id } });
      t.after(() => proxy.close());
      return proxy;
    },
    condition: (name, type, collection) => {
      const found = status(name, collection).conditions?.find((condition) => condition.type === type);
      return found === undefined ? "" : `${found.status} ${found.reason}: ${found.message}`;
    },
    until: async (condition) => {
      const deadline = Date.now() + 20_000;
      while (!condition()) {
        assert.ok(Date.now() < deadline, `never: ${condition}`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
  };
}

test("a rejection is in the status of the object that made the resource, and so is its end", async (t) => {
  const mesh = await startMesh(t, `${route("reviews", "reviews", 3, "1s")}---${route("ratings", "ratings", 1, "1s")}`);
  const [one, two] = [mesh.connect("one"), mesh.connect("two")];
  for (const proxy of [one, two]) {
    proxy.request(typeUrl.route, { resourceNamesSubscribe: ["9080"] });
    await proxy.accept();
  }
  await mesh.until(() => mesh.condition("reviews", "Reconciled") === "True UpToDate: 2/2 proxies up to date.");
  assert.equal(mesh.condition("reviews", "outrigger.dev/InForce"), "True InForce: in force.");
  assert.equal(mesh.status("reviews").observedGeneration, 3);
  assert.deepEqual(mesh.status("reviews").validationMessages, []);
  apply(mesh.api, route("reviews", "reviews", 4, "2s"));
  await one.accept();
  two.nack(await two.next(), "9080: no such thing");
  await mesh.until(() => mesh.condition("reviews", "Reconciled") === "False Distributing: 1/2 proxies up to date.");
  assert.match(
    mesh.condition("reviews", "outrigger.dev/InForce"),
    /^False Rejected: partly in force: two.default rejected rds 9080 and keeps what it had: 9080: no such thing/,
  );
  assert.equal(mesh.status("reviews").observedGeneration, 4);
  apply(mesh.api, route("reviews", "reviews", 5, "4s"));
  for (const proxy of [one, two]) proxy.nack(await proxy.next(), "9080: no such thing");
  await mesh.until(() => mesh.condition("reviews", "Reconciled") === "False Distributing: 0/2 proxies up to date.");
  assert.match(
    mesh.condition("reviews", "outrigger.dev/InForce"),
    /: partly in force: (one|two)\.default, (one|two)\.default rejected rds 9080 and keeps what it had: 9080: no such thing\./,
  );
  apply(mesh.api, route("reviews", "reviews", 6, "3s"));
  for (const proxy of [one, two]) await proxy.accept();
  await mesh.until(() => mesh.condition("reviews", "Reconciled") === "True UpToDate: 2/2 proxies up to date.");
  assert.equal(mesh.condition("reviews", "outrigger.dev/InForce"), "True InForce: in force.");
});

test("an invalid version and a shadowed object say so in their status", async (t) => {
  const mesh = await startMesh(t, `${route("a", "reviews", 1, "1s")}---${route("b", "reviews", 1, "1s")}`);
  await mesh.until(() => mesh.condition("b", "outrigger.dev/InForce").startsWith("False Shadowed: shadowed: "));
  assert.match(mesh.status("b").validationMessages?.[0]?.type.code ?? "", /^IST0109$/);
  apply(mesh.api, route("a", "reviews", 2, "soon"));
  await mesh.until(() => mesh.condition("a", "Reconciled") === "False Invalid: This version is refused.");
  assert.match(mesh.condition("a", "outrigger.dev/InForce"), /its last good version stays in force/);
  assert.equal(mesh.status("a").validationMessages?.[0]?.level, "ERROR");
  assert.equal(mesh.status("a").observedGeneration, 2);
});

test("patches that find nothing to change are in the status of their EnvoyFilter, and so is their end", async (t) => {
  const filter = (generation: number, first: string, second: string): string => `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: f, namespace: default, generation: ${generation}}
spec:
  configPatches:
  - applyTo: CLUSTER
    match: {cluster: {service: ${first}}}
    patch: {operation: MERGE, value: {connect_timeout: 3s}}
  - applyTo: HTTP_ROUTE
    match: {routeConfiguration: {vhost: {name: "${second}"}}}
    patch: {operation: MERGE, value: {route: {timeout: 3s}}}
`;
  const service = "reviews.default.svc.cluster.local";
  const mesh = await startMesh(t, filter(1, "reviews", "reviews"));
  const condition = (): string => mesh.condition("f", "outrigger.dev/InForce", "v1alpha3/envoyfilters");
  await mesh.until(() => condition() === "True InForce: in force.");
  mesh.connect("one").request(typeUrl.cluster, {});
  await mesh.until(() => condition().startsWith("False MatchesNothing: matches nothing: configPatches[0]"));
  assert.match(condition(), /configPatches\[0\]: CLUSTER MERGE finds nothing to change at the one proxy/);
  assert.match(condition(), /; configPatches\[1\]: HTTP_ROUTE MERGE finds nothing/);
  apply(mesh.api, filter(2, service, "reviews"));
  await mesh.until(() => condition().startsWith("False PartlyInForce: partly in force: configPatches[1]: HTTP_ROUTE"));
  apply(mesh.api, filter(3, service, `${service}:9080`));
  await mesh.until(() => condition() === "True InForce: in force.");
  // Only listeners and routes are compiled anew: what is known of clusters stays.
  apply(mesh.api, route("reviews", "reviews", 1, "1s"));
  await mesh.until(() => mesh.condition("reviews", "outrigger.dev/InForce") === "True InForce: in force.");
  assert.equal(condition(), "True InForce: in force.");
});

test("a Wasm module that no listener asks for matches nothing", async (t) => {
  const plugin = (generation: number, match: string): string => `
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: p, namespace: default, generation: ${generation}}
spec: {url: "https://example.com/m.wasm", match: [${match}]}
`;
  const mesh = await startMesh(t, plugin(1, "{ports: [{number: 1}]}"));
  const condition = (): string => mesh.condition("p", "outrigger.dev/InForce", "v1alpha1/wasmplugins");
  const proxy = mesh.connect("one");
  proxy.request(typeUrl.listener, {});
  await proxy.accept();
  await mesh.until(() => condition().startsWith("False MatchesNothing: matches nothing: no listener of the one proxy"));
  apply(mesh.api, plugin(2, "{mode: CLIENT}"));
  await proxy.accept();
  const name = "extensions.istio.io/trafficextension/default.p~istio-translated-wasmplugin";
  proxy.request(typeUrl.extensionConfig, { resourceNamesSubscribe: [name] });
  proxy.nack(await proxy.next(), `extension ${name}: the module cannot be had`);
  await mesh.until(() =>
    condition().startsWith("False Rejected: partly in force: one.default rejected ecds extensions."),
  );
});

const istiodPod = (name: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: istio-system}
spec: {containers: [{name: discovery, image: pilot}]}
status: {phase: Running, containerStatuses: [{name: discovery, state: {running: {}}}]}
`;

test("with several replicas a status is about the proxies of all, and one that dies leaves nothing behind", async (t) => {
  const pods = ["istiod-1", "istiod-2"].map(istiodPod).join("---");
  const mesh = await startMesh(t, `${route("reviews", "reviews", 1, "1s")}---${pods}`);
  const reconciled = (): string => mesh.condition("reviews", "Reconciled");
  const second = await startReplica(t, mesh.api, "istiod-2");
  const proxies = [mesh.connect("one"), mesh.connect("two", second), mesh.connect("three", second)];
  for (const proxy of proxies) {
    proxy.request(typeUrl.route, { resourceNamesSubscribe: ["9080"] });
    await proxy.accept();
  }
  await mesh.until(() => reconciled() === "True UpToDate: 3/3 proxies up to date.");
  // What a proxy of the other replica rejects is told with its words.
  apply(mesh.api, route("reviews", "reviews", 2, "2s"));
  const [one, two, three] = proxies;
  for (const proxy of [one, two]) await proxy?.accept();
  three?.nack(await three.next(), "9080: no such thing");
  await mesh.until(() => reconciled() === "False Distributing: 2/3 proxies up to date.");
  await mesh.until(() =>
    mesh
      .condition("reviews", "outrigger.dev/InForce")
      .startsWith("False Rejected: partly in force: three.default rejected rds 9080 and keeps what it had"),
  );
  apply(mesh.api, istiodPod("istiod-2").replace("running: {}", "terminated: {exitCode: 137}"));
  await mesh.until(() => reconciled() === "True UpToDate: 1/1 proxies up to date.");
  assert.equal(mesh.condition("reviews", "outrigger.dev/InForce"), "True InForce: in force.");
});

test("the replica that leads next knows at once what the others' proxies have", async (t) => {
  const pods = ["istiod-1", "istiod-2"].map(istiodPod).join("---");
  const mesh = await startMesh(t, `${route("reviews", "reviews", 1, "1s")}---${pods}`);
  const second = await startReplica(t, mesh.api, "istiod-2");
  const third = await startReplica(t, mesh.api, "istiod-3");
  apply(mesh.api, istiodPod("istiod-3"));
  const proxies = [mesh.connect("one", second), mesh.connect("two", third)];
  for (const proxy of proxies) {
    proxy.request(typeUrl.route, { resourceNamesSubscribe: ["9080"] });
    await proxy.accept();
  }
  await mesh.until(() => mesh.condition("reviews", "Reconciled") === "True UpToDate: 2/2 proxies up to date.");
  const seen = new Set<string>();
  const lease = (): string | undefined => {
    const path = "/apis/coordination.k8s.io/v1/namespaces/istio-system/leases/istio-status-leader";
    return (mesh.api.object(path)?.["spec"] as { holderIdentity?: string } | undefined)?.holderIdentity;
  };
  assert.equal(lease(), "istiod-1");
  await mesh.stopFirst();
  await mesh.until(() => {
    seen.add(mesh.condition("reviews", "Reconciled"));
    return lease() === "istiod-2" || lease() === "istiod-3";
  });
  apply(mesh.api, route("reviews", "reviews", 2, "2s"));
  for (const proxy of proxies) await proxy.accept();
  await mesh.until(() => {
    seen.add(mesh.condition("reviews", "Reconciled"));
    return (
      mesh.status("reviews").observedGeneration === 2 && mesh.condition("reviews", "Reconciled").startsWith("True")
    );
  });
  // Applying the object anew took its status away.
  seen.delete("");
  assert.ok(
    [...seen].every((condition) => condition.endsWith("/2 proxies up to date.")),
    [...seen].join("\n"),
  );
});
