import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { ClusterLoadAssignmentSchema } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import {
  type ClientOptions,
  DeltaXdsClient,
  endpointSlice,
  FullXdsClient,
  meshYaml,
  metricValue,
  startTestControlPlane,
  type TestControlPlane,
} from "../testing/test-control-plane.ts";

const reviews = "outbound|9080||reviews.default.svc.cluster.local";
const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(...more: string[]): Promise<TestControlPlane> {
  const plane = await startTestControlPlane([meshYaml, endpointSlice("reviews", ["10.244.0.5"]), ...more].join("---"));
  cleanups.push(() => plane.control.stop());
  return plane;
}

function delta(plane: TestControlPlane, options: Partial<ClientOptions> = {}): DeltaXdsClient {
  const client = new DeltaXdsClient({ port: plane.control.addresses.plaintext?.port ?? 0, ...options });
  cleanups.push(() => client.close());
  return client;
}

const virtualService = (timeout: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec: {hosts: [reviews], http: [{timeout: ${timeout}, route: [{destination: {host: reviews}}]}]}
`;

const extensionConfig = (name: string, size: number): string => `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: ${name}, namespace: default}
spec:
  configPatches:
  - applyTo: EXTENSION_CONFIG
    patch:
      operation: ADD
      value:
        name: ${name}
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: ${size}}
`;

describe("delta ADS", () => {
  test("extension configurations go to who asks for them by name, and again when they change", async () => {
    const plane = await start(extensionConfig("body", 1024), extensionConfig("unwanted", 1));
    const client = delta(plane);
    client.request(typeUrl.extensionConfig, { resourceNamesSubscribe: ["body", "other"] });
    const first = await client.accept();
    assert.deepEqual([first.resources.map(({ name }) => name), first.removedResources], [["body"], ["other"]]);
    assert.equal(first.resources[0]?.resource?.typeUrl, typeUrl.extensionConfig);
    plane.source.apply(extensionConfig("body", 2048));
    const second = await client.accept();
    assert.notEqual(second.resources[0]?.version, first.resources[0]?.version);
    plane.source.delete(extensionConfig("body", 2048));
    assert.deepEqual((await client.accept()).removedResources, ["body"]);
  });

  test("a sidecar gets clusters, endpoints, listeners and routes, and only what an edit changes", async () => {
    const plane = await start();
    const client = delta(plane);
    client.request(typeUrl.cluster);
    const clusters = await client.accept();
    const clusterNames = clusters.resources.map((resource) => resource.name);
    for (const name of [reviews, "BlackHoleCluster", "PassthroughCluster"])
      assert.ok(clusterNames.includes(name), name);
    client.request(typeUrl.endpoint, { resourceNamesSubscribe: [reviews] });
    const endpoints = await client.accept();
    assert.deepEqual(
      endpoints.resources.map((resource) => resource.name),
      [reviews],
    );
    client.request(typeUrl.listener);
    const listeners = await client.accept();
    assert.ok(listeners.resources.some((resource) => resource.name === "virtualInbound"));
    client.request(typeUrl.route, { resourceNamesSubscribe: ["9080"] });
    const routes = await client.accept();
    assert.equal(routes.resources[0]?.resource?.typeUrl, typeUrl.route);

    plane.source.apply(virtualService("5s"));
    const edit = await client.accept();
    assert.equal(edit.typeUrl, typeUrl.route, "only the route changes");
    assert.deepEqual(
      edit.resources.map((resource) => resource.name),
      ["9080"],
    );
    assert.notEqual(edit.resources[0]?.version, routes.resources[0]?.version);
    assert.equal(client.waiting, 0);
  });

  test("a change of endpoints sends one assignment and nothing else", async () => {
    const plane = await start();
    const client = delta(plane);
    client.request(typeUrl.cluster);
    await client.accept();
    client.request(typeUrl.endpoint, {
      resourceNamesSubscribe: [reviews, "outbound|9080||ratings.default.svc.cluster.local"],
    });
    await client.accept();
    const pushes = metricValue(plane.control, 'pilot_push_triggers{type="endpoint"}');
    plane.source.apply(endpointSlice("reviews", ["10.244.0.5", "10.244.0.6"]));
    const change = await client.accept();
    assert.deepEqual(
      change.resources.map((resource) => resource.name),
      [reviews],
    );
    const assignment = fromBinary(
      ClusterLoadAssignmentSchema,
      change.resources[0]?.resource?.value ?? new Uint8Array(),
    );
    assert.equal(assignment.endpoints.flatMap((locality) => locality.lbEndpoints).length, 2);
    assert.equal(metricValue(plane.control, 'pilot_push_triggers{type="endpoint"}'), pushes + 1);
  });

  test("a change of MeshConfig reaches the proxies", async () => {
    const plane = await start();
    const client = delta(plane);
    client.request(typeUrl.listener);
    const before = await client.accept();
    plane.source.apply(`
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "accessLogFile: /dev/stdout"}
`);
    const after = await client.accept();
    assert.ok(after.resources.length > 0 && after.resources.length <= before.resources.length);
    assert.equal(plane.control.snapshot()?.meshConfig.accessLogFile, "/dev/stdout");
  });

  test("a rejection is logged and shown, and later configuration still comes", async () => {
    const plane = await start();
    const client = delta(plane);
    client.request(typeUrl.cluster);
    const clusters = await client.next();
    client.nack(clusters, `Error adding/updating cluster(s) ${reviews}: no`);
    client.request(typeUrl.route, { resourceNamesSubscribe: ["9080"] });
    await client.accept();
    const port = plane.control.addresses.monitoring?.port;
    const [proxy] = (await (await fetch(`http://127.0.0.1:${port}/debug/syncz`)).json()) as {
      proxy: string;
      types: Record<string, { state: string; error?: string; rejectedResources: string[] }>;
    }[];
    assert.equal(proxy?.proxy, "productpage-v1.default");
    assert.equal(proxy?.types["cds"]?.state, "ERROR");
    assert.deepEqual(proxy?.types["cds"]?.rejectedResources, [reviews]);
    assert.equal(proxy?.types["rds"]?.state, "SYNCED");
    assert.equal(proxy?.types["lds"]?.state, "NOT SENT");
    assert.equal(metricValue(plane.control, "pilot_xds_cds_reject"), 1);
    assert.ok(plane.lines.some((line) => line.includes("rejected") && line.includes(reviews)));
    plane.source.apply(virtualService("7s"));
    assert.equal((await client.accept()).typeUrl, typeUrl.route);
  });

  test("a proxy that reconnects with what it has gets nothing again", async () => {
    const plane = await start();
    const first = delta(plane);
    first.request(typeUrl.cluster);
    const clusters = await first.accept();
    first.close();
    const versions = Object.fromEntries(clusters.resources.map((resource) => [resource.name, resource.version]));
    const second = delta(plane);
    second.request(typeUrl.cluster, { initialResourceVersions: versions });
    const answer = await second.accept();
    assert.deepEqual([answer.resources.length, answer.removedResources.length], [0, 0]);
    plane.source.delete("apiVersion: v1\nkind: Service\nmetadata: {name: ratings, namespace: default}\n");
    const removal = await second.accept();
    assert.deepEqual(removal.removedResources, ["outbound|9080||ratings.default.svc.cluster.local"]);
  });

  test("a control plane that was killed and started again finds its proxies up to date", async () => {
    const before = delta(await start());
    const versions: Record<string, Record<string, string>> = {};
    for (const url of [typeUrl.cluster, typeUrl.listener]) {
      before.request(url);
      const response = await before.accept();
      versions[url] = Object.fromEntries(response.resources.map((resource) => [resource.name, resource.version]));
    }
    const after = delta(await start());
    for (const [url, initialResourceVersions] of Object.entries(versions)) {
      after.request(url, { initialResourceVersions });
      const answer = await after.accept();
      assert.deepEqual([answer.resources.length, answer.removedResources.length], [0, 0], url);
    }
  });

  test("an edit reaches each of a hundred proxies", async () => {
    const plane = await start();
    const clients = Array.from({ length: 100 }, (_, index) =>
      delta(plane, { node: { id: `sidecar~10.1.0.${index}~p${index}.default~default.svc.cluster.local` } }),
    );
    for (const client of clients) client.request(typeUrl.route, { resourceNamesSubscribe: ["9080"] });
    await Promise.all(clients.map((client) => client.accept()));
    plane.source.apply(virtualService("9s"));
    const answers = await Promise.all(clients.map((client) => client.accept()));
    for (const { resources } of answers)
      assert.deepEqual(
        resources.map(({ name }) => name),
        ["9080"],
      );
    assert.equal(metricValue(plane.control, 'pilot_xds{version="unknown"}'), 100);
  });
});

describe("state-of-the-world ADS", () => {
  test("extension configurations that are asked for come, and those that change again", async () => {
    const plane = await start(...["a", "b", "c"].map((name) => extensionConfig(name, 1024)));
    const client = new FullXdsClient({ port: plane.control.addresses.plaintext?.port ?? 0 });
    cleanups.push(() => client.close());
    client.request(typeUrl.extensionConfig, { resourceNames: ["a", "b"] });
    const first = await client.next();
    assert.equal(first.resources.length, 2);
    client.request(typeUrl.extensionConfig, { resourceNames: ["a", "b"], responseNonce: first.nonce });
    plane.source.apply(extensionConfig("b", 2048));
    assert.equal((await client.next()).resources.length, 1);
  });

  test("lists all clusters at every change and only changed endpoints", async () => {
    const plane = await start();
    const client = new FullXdsClient({ port: plane.control.addresses.plaintext?.port ?? 0 });
    cleanups.push(() => client.close());
    client.request(typeUrl.cluster);
    const clusters = await client.next();
    client.request(typeUrl.cluster, { responseNonce: clusters.nonce, versionInfo: clusters.versionInfo });
    client.request(typeUrl.endpoint, { resourceNames: [reviews] });
    const endpoints = await client.next();
    assert.equal(endpoints.resources.length, 1);
    client.request(typeUrl.endpoint, { resourceNames: [reviews], responseNonce: endpoints.nonce });
    plane.source.delete("apiVersion: v1\nkind: Service\nmetadata: {name: ratings, namespace: default}\n");
    const fewer = await client.next();
    assert.equal(fewer.typeUrl, typeUrl.cluster);
    assert.equal(fewer.resources.length, clusters.resources.length - 1);
    assert.notEqual(fewer.versionInfo, clusters.versionInfo);
  });
});

describe("who may connect", () => {
  const tls = (plane: TestControlPlane): Partial<ClientOptions> => ({
    port: plane.control.addresses.tls?.port ?? 0,
    roots: plane.control.rootCertificates,
  });

  test("on the TLS port a caller gets the configuration of its own workload only", async () => {
    const plane = await start();
    const good = delta(plane, { ...tls(plane), token: "default/bookinfo-productpage" });
    good.request(typeUrl.cluster);
    assert.ok((await good.accept()).resources.length > 0);
    for (const [token, code, reason] of [
      ["garbage", status.UNAUTHENTICATED, /does not accept the token/],
      ["other/bookinfo-productpage", status.PERMISSION_DENIED, /in namespace other/],
      ["default/bookinfo-ratings", status.PERMISSION_DENIED, /service account bookinfo-ratings/],
      [undefined, status.UNAUTHENTICATED, /neither a bearer token nor/],
    ] as const) {
      const client = delta(plane, { ...tls(plane), ...(token !== undefined && { token }) });
      client.request(typeUrl.cluster);
      const ended = await client.end();
      assert.ok(ended !== "end");
      assert.equal(ended.code, code);
      assert.match(ended.details, reason);
    }
  });

  test("a node that is no proxy and a malformed request are refused with a reason", async () => {
    const plane = await start();
    const odd = delta(plane, { node: { id: "ztunnel~1.2.3.4~a.b~c" } });
    odd.request(typeUrl.cluster);
    assert.match(JSON.stringify(await odd.end()), /neither sidecar nor router/);
    const flood = await startTestControlPlane(meshYaml, { maxStreams: 1 });
    cleanups.push(() => flood.control.stop());
    const first = delta(flood);
    first.request(typeUrl.cluster);
    await first.accept();
    const second = delta(flood);
    second.request(typeUrl.cluster);
    assert.match(JSON.stringify(await second.end()), /more than 1 streams/);
  });
});
