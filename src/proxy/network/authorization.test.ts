// Network filters that decide who may connect: RBAC in its less usual forms, and external authorization.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { MethodDefinition } from "@grpc/grpc-js";
import { ManualClock } from "#base/time/clock.ts";
import {
  type CheckRequest,
  CheckRequestSchema,
  type CheckResponse,
  CheckResponseSchema,
} from "#wire/gen/envoy/service/auth/v3/external_auth_pb.ts";
import { decodeListener } from "../config/decode-listener.ts";
import * as resources from "../config/testing/resources.ts";
import { newTrace } from "../config/trace.ts";
import { decideGateway } from "../decide/decide.ts";
import { clusterOn, dataPath, type TestDataPath } from "../listener/testing/data-path.ts";
import { grpcServer } from "../listener/testing/grpc-server.ts";
import { RawClient, rawServer } from "../listener/testing/raw-peers.ts";
import { until } from "../listener/testing/requests.ts";
import { Stats } from "../stats/stats.ts";

const type = "type.googleapis.com/envoy.extensions.filters.network";
const toApp = `{ name: tcp, typed_config: { "@type": ${type}.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app,
  access_log: [{ name: f, typed_config: { "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog,
    path: test, log_format: { json_format: { flags: "%RESPONSE_FLAGS%", details: "%CONNECTION_TERMINATION_DETAILS%" } } } }] } }`;
const rbac = (fields: string): string =>
  `{ name: r, typed_config: { "@type": ${type}.rbac.v3.RBAC, stat_prefix: tcp., ${fields} } }`;
const extAuthz = (fields = ""): string =>
  `{ name: e, typed_config: { "@type": ${type}.ext_authz.v3.ExtAuthz, stat_prefix: tcp., grpc_service: { envoy_grpc: { cluster_name: authz }, timeout: 0.5s }, ${fields} } }`;

const yaml = (filters: readonly string[]): string => `
name: test
address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
filter_chains: [{ filters: [${[...filters, toApp].join(", ").replaceAll("\n", " ")}] }]`;

interface Running {
  readonly path: TestDataPath;
  readonly clock: ManualClock | null;
  readonly connections: () => number;
  stat(name: string): number | undefined;
}

async function serve(t: TestContext, filters: readonly string[], clock: ManualClock | null = null): Promise<Running> {
  let connections = 0;
  const server = await rawServer((socket) => {
    connections++;
    socket.write("app");
  });
  const stats = new Stats();
  const path = dataPath({ stats, ...(clock !== null && { clock, now: () => clock.now() }) });
  path.clusters.update(clusterOn("app", [server.port]));
  await path.listeners.update(resources.listenerConfig(yaml(filters)));
  t.after(() => {
    path.stop();
    server.stop();
  });
  return {
    path,
    clock,
    connections: () => connections,
    stat: (name) => stats.values().find((it) => it.name === name)?.value,
  };
}

test("delay_deny holds a refused connection before it is closed", async (t) => {
  const clock = new ManualClock(1000);
  const { path, stat, connections } = await serve(t, [rbac("rules: {}, delay_deny: 2s")], clock);
  const client = new RawClient(path.port());
  await until(() => stat("tcp.rbac.denied") === 1);
  clock.advance(1999);
  assert.equal(client.ended, false);
  clock.advance(1);
  await client.isEnded();
  assert.deepEqual([client.text, connections()], ["", 0]);
  assert.equal(path.logs[0]?.["details"], "rbac_access_denied_matched_policy[none]");
});

test("a matching tree decides on connections", async (t) => {
  const action = (what: string): string =>
    `{ action: { name: a, typed_config: { "@type": type.googleapis.com/envoy.config.rbac.v3.Action, name: tree, action: ${what} } } }`;
  const tree = (what: string): string => `matcher: { matcher_tree: {
    input: { name: i, typed_config: { "@type": type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.SourceIPInput } },
    exact_match_map: { map: { 127.0.0.1: ${action(what)} } } } }`;
  const allowed = await serve(t, [rbac(tree("ALLOW"))]);
  await new RawClient(allowed.path.port()).sees("app");
  const denied = await serve(t, [rbac(tree("DENY"))]);
  const client = new RawClient(denied.path.port());
  await client.isEnded();
  assert.equal(denied.path.logs[0]?.["details"], "rbac_access_denied_matched_policy[tree]");
});

const check: MethodDefinition<CheckRequest, CheckResponse> = {
  path: "/envoy.service.auth.v3.Authorization/Check",
  requestStream: false,
  responseStream: false,
  requestSerialize: (value) => Buffer.from(toBinary(CheckRequestSchema, value)),
  requestDeserialize: (bytes) => fromBinary(CheckRequestSchema, bytes),
  responseSerialize: (value) => Buffer.from(toBinary(CheckResponseSchema, value)),
  responseDeserialize: (bytes) => fromBinary(CheckResponseSchema, bytes),
};

type Answer = MessageInitShape<typeof CheckResponseSchema>;

async function service(
  t: TestContext,
  path: TestDataPath,
  answer: () => Answer | Promise<Answer>,
): Promise<CheckRequest[]> {
  const asked: CheckRequest[] = [];
  const server = await grpcServer(check, async (request) => {
    asked.push(request);
    return create(CheckResponseSchema, await answer());
  });
  t.after(() => server.stop());
  path.clusters.update(clusterOn("authz", [server.port], { upstreamProtocol: "http2" }));
  return asked;
}

test("a service is asked about a connection before anything is connected for it", async (t) => {
  const { path, stat, connections } = await serve(t, [extAuthz()]);
  let code = 0;
  let release: () => void = () => {};
  const asked = await service(t, path, async () => {
    await new Promise<void>((resolve) => (release = resolve));
    return { status: { code, message: "not you" } };
  });
  const client = new RawClient(path.port());
  await until(() => asked.length === 1);
  assert.equal(connections(), 0);
  release();
  await client.sees("app");
  const source = asked[0]?.attributes?.source?.address?.address;
  assert.equal(source?.case === "socketAddress" && source.value.address, "127.0.0.1");
  assert.equal(asked[0]?.attributes?.request, undefined);
  code = 7;
  const denied = new RawClient(path.port());
  await until(() => asked.length === 2);
  release();
  await denied.isEnded();
  assert.deepEqual([denied.text, connections()], ["", 1]);
  const log = path.logs.find((it) => it["flags"] === "UAEX");
  assert.equal(log?.["details"], "ext_authz_denied");
  assert.match(
    String(log?.["cause"]),
    /the authorization service authz \(gRPC\) denies it with gRPC status 7: not you/,
  );
  assert.deepEqual(
    ["total", "ok", "denied", "cx_closed", "active"].map((name) => stat(`ext_authz.tcp.${name}`)),
    [2, 1, 1, 1, 0],
  );
});

test("without an answer a connection is closed, or passes where that is configured", async (t) => {
  const closed = await serve(t, [extAuthz()]);
  const client = new RawClient(closed.path.port());
  await client.isEnded();
  assert.equal(closed.path.logs[0]?.["details"], "ext_authz_error");
  const open = await serve(t, [extAuthz("failure_mode_allow: true")]);
  await new RawClient(open.path.port()).sees("app");
  assert.equal(open.stat("ext_authz.tcp.failure_mode_allowed"), 1);
});

test("only connections that shadow rules have marked are asked about", async (t) => {
  const marks = (port: string): string =>
    rbac(
      `shadow_rules_stat_prefix: istio_ext_authz_, shadow_rules: { action: DENY, policies: { istio-ext-authz-opa-x: { permissions: [{ ${port} }], principals: [{ any: true }] } } }`,
    );
  const marked = extAuthz(
    "filter_enabled_metadata: { filter: envoy.filters.network.rbac, path: [{ key: istio_ext_authz_shadow_effective_policy_id }], value: { string_match: { prefix: istio-ext-authz-opa } } }",
  );
  const other = await serve(t, [marks("destination_port: 1"), marked]);
  await new RawClient(other.path.port()).sees("app");
  assert.equal(other.stat("ext_authz.tcp.disabled"), 1);
  const meant = await serve(t, [marks("any: true"), marked]);
  const asked = await service(t, meant.path, () => ({ status: { code: 7 } }));
  await new RawClient(meant.path.port()).isEnded();
  assert.equal(asked.length, 1);
});

test("explain says who would be asked about a connection", () => {
  const { value } = decodeListener(
    resources.listenerOf(yaml([extAuthz()]).replace("port_value: 0", "port_value: 15006")),
  );
  assert.ok(value !== null);
  const trace = newTrace();
  const view = {
    listeners: new Map([["test", value]]),
    routes: new Map(),
    clusters: new Map(),
    endpoints: new Map(),
    extensions: new Map(),
    local: null,
  };
  const question = {
    destinationIp: "127.0.0.1",
    destinationPort: 15006,
    sourceIp: "10.0.0.1",
    tls: null,
    http: null,
    random: 0,
  };
  decideGateway(view, question, trace);
  assert.ok(
    trace.steps.some(({ decision }) => /asks the authorization service authz \(gRPC\) about it/.test(decision)),
    JSON.stringify(trace.steps),
  );
});

test("a client that leaves while the service is asked ends the question", async (t) => {
  const { path, stat } = await serve(t, [extAuthz()]);
  const asked = await service(t, path, () => new Promise(() => {}));
  const client = new RawClient(path.port());
  await until(() => asked.length === 1);
  client.socket.resetAndDestroy();
  await until(() => stat("ext_authz.tcp.active") === 0);
});
