import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { ClustersConfigDumpSchema } from "#wire/gen/envoy/admin/v3/config_dump_shared_pb.ts";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ClientConfigSchema, ConfigStatus } from "#wire/gen/envoy/service/status/v3/csds_pb.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import {
  type ClientOptions,
  DeltaXdsClient,
  endpointSlice,
  FullXdsClient,
  meshYaml,
  sidecarId,
  startTestControlPlane,
  type TestControlPlane,
} from "../testing/test-control-plane.ts";

const debugType = "istio.io/debug";
const proxy = "productpage-v1.default";
const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Setup {
  readonly plane: TestControlPlane;
  readonly proxy: DeltaXdsClient;
  /** Connects as who the token says. */
  operator(token: string, more?: Partial<ClientOptions>): FullXdsClient;
}

/** With one proxy, which has its clusters and listeners. */
async function setUp(): Promise<Setup> {
  const plane = await startTestControlPlane([meshYaml, endpointSlice("reviews", ["10.244.0.5"])].join("---"));
  cleanups.push(() => plane.control.stop());
  const { tls, plaintext } = plane.control.addresses;
  const connected = new DeltaXdsClient({ port: plaintext?.port ?? 0 });
  cleanups.push(() => connected.close());
  for (const type of [typeUrl.cluster, typeUrl.listener]) {
    connected.request(type);
    await connected.accept();
  }
  const operator = (token: string, more: Partial<ClientOptions> = {}): FullXdsClient => {
    const client = new FullXdsClient({
      port: tls?.port ?? 0,
      roots: plane.control.rootCertificates,
      token,
      node: { id: "sidecar~0.0.0.0~istioctl.istio-system~istio-system.svc.cluster.local", metadata: {} },
      ...more,
    });
    cleanups.push(() => client.close());
    return client;
  };
  return { plane, proxy: connected, operator };
}

const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString();

describe("debug types over xDS", () => {
  test("the control plane's namespace asks what /debug answers, one question after the other", async () => {
    const { operator } = await setUp();
    const client = operator("istio-system/istiod");
    client.request(debugType, { resourceNames: ["syncz"] });
    const first = await client.next();
    assert.deepEqual([first.typeUrl, first.resources.length, first.resources[0]?.typeUrl], [debugType, 1, debugType]);
    const [entry] = JSON.parse(text(first.resources[0]?.value)) as { proxy: string; types: object }[];
    assert.equal(entry?.proxy, proxy, "who asks is no proxy");
    // An acknowledgement asks nothing.
    client.request(debugType, { resourceNames: ["syncz"], responseNonce: first.nonce, versionInfo: first.versionInfo });
    client.request(debugType, {
      resourceNames: [`config_dump?proxyID=${proxy}&types=cds`],
      responseNonce: first.nonce,
    });
    const second = await client.next();
    const dump = JSON.parse(text(second.resources[0]?.value)) as { proxy: string; cds: { name: string }[] };
    assert.equal(dump.proxy, proxy);
    assert.ok(dump.cds.some(({ name }) => name === "PassthroughCluster"));
    client.request(debugType, { resourceNames: ["config_dump?proxyID=nobody.default"] });
    assert.match(text((await client.next()).resources[0]?.value), /nobody\.default is not connected/);
    client.request(debugType, { resourceNames: ["nothing"] });
    assert.match(text((await client.next()).resources[0]?.value), /there is no \/debug\/nothing/);
  });

  test("istio.io/debug/syncz has the state of each proxy by type, and config_dump Envoy's dumps of one", async () => {
    const { operator } = await setUp();
    const client = operator("istio-system/istiod");
    client.request(`${debugType}/syncz`);
    const { resources } = await client.next();
    assert.deepEqual(
      resources.map((resource) => resource.typeUrl),
      ["type.googleapis.com/envoy.service.status.v3.ClientConfig"],
    );
    const config = fromBinary(ClientConfigSchema, resources[0]?.value ?? new Uint8Array());
    assert.equal(config.node?.id, sidecarId);
    assert.deepEqual(
      config.genericXdsConfigs.map(({ typeUrl: url, configStatus }) => [url, configStatus]),
      [
        [typeUrl.listener, ConfigStatus.SYNCED],
        [typeUrl.route, ConfigStatus.NOT_SENT],
        [typeUrl.endpoint, ConfigStatus.NOT_SENT],
        [typeUrl.cluster, ConfigStatus.SYNCED],
        [typeUrl.extensionConfig, ConfigStatus.NOT_SENT],
      ],
    );
    client.request(`${debugType}/config_dump`, { resourceNames: [proxy] });
    const dumps = (await client.next()).resources;
    assert.deepEqual(
      dumps.map(({ typeUrl: url }) => /v3\.(\w+)$/.exec(url)?.[1]),
      ["ClustersConfigDump", "ListenersConfigDump", "EndpointsConfigDump", "RoutesConfigDump"],
    );
    const clusters = fromBinary(ClustersConfigDumpSchema, dumps[0]?.value ?? new Uint8Array()).dynamicActiveClusters;
    const names = clusters.map(({ cluster }) => fromBinary(ClusterSchema, cluster?.value ?? new Uint8Array()).name);
    assert.ok(names.includes("outbound|9080||reviews.default.svc.cluster.local"), names.join());
  });

  test("another namespace sees what its own proxies were given, and nothing else", async () => {
    const { operator } = await setUp();
    const own = operator("default/anybody");
    own.request(debugType, { resourceNames: [`config_dump?proxyID=${proxy}`] });
    assert.match(text((await own.next()).resources[0]?.value), /PassthroughCluster/);
    own.request(`${debugType}/config_dump`, { resourceNames: [proxy] });
    assert.equal((await own.next()).resources.length, 4);
    const refused: [string, string, string[]][] = [
      ["default/anybody", debugType, ["syncz"]],
      ["default/anybody", `${debugType}/syncz`, []],
      ["other/anybody", debugType, [`config_dump?proxyID=${proxy}`]],
      ["other/anybody", `${debugType}/config_dump`, [proxy]],
    ];
    for (const [token, type, resourceNames] of refused) {
      const client = operator(token);
      client.request(type, { resourceNames });
      const end = await client.end();
      assert.ok(end !== "end" && end.code === status.PERMISSION_DENIED, `${token} ${type} ${String(end)}`);
    }
  });

  test("who is not authenticated is refused, and so is what asks nothing or too much", async () => {
    const { plane, operator, proxy: connected } = await setUp();
    const nobody = new FullXdsClient({ port: plane.control.addresses.plaintext?.port ?? 0 });
    cleanups.push(() => nobody.close());
    nobody.request(debugType, { resourceNames: ["syncz"] });
    const end = await nobody.end();
    assert.ok(end !== "end" && end.code === status.UNAUTHENTICATED, String(end));
    for (const [type, resourceNames] of [
      [debugType, []],
      [debugType, ["syncz", "adsz"]],
      [`${debugType}/config_dump`, []],
      [`${debugType}/other`, ["syncz"]],
    ] as const) {
      const client = operator("istio-system/istiod");
      client.request(type, { resourceNames: [...resourceNames] });
      const refused = await client.end();
      assert.ok(refused !== "end" && refused.code === status.INVALID_ARGUMENT, `${type} ${String(refused)}`);
    }
    plane.source.apply(endpointSlice("reviews", ["10.244.0.6"]));
    connected.request(typeUrl.endpoint, {
      resourceNamesSubscribe: ["outbound|9080||reviews.default.svc.cluster.local"],
    });
    assert.equal((await connected.accept()).resources.length, 1, "proxies are served on");
  });

  test("delta streams ask and are answered the same way", async () => {
    const { plane } = await setUp();
    const client = new DeltaXdsClient({
      port: plane.control.addresses.tls?.port ?? 0,
      roots: plane.control.rootCertificates,
      token: "istio-system/istiod",
    });
    cleanups.push(() => client.close());
    client.request(debugType, { resourceNamesSubscribe: ["connections"] });
    const { resources, nonce } = await client.accept();
    assert.deepEqual([resources[0]?.name, resources[0]?.resource?.typeUrl], ["connections", debugType]);
    assert.ok(nonce !== "");
    assert.equal((JSON.parse(text(resources[0]?.resource?.value)) as object[]).length, 1);
  });
});
