// Every field of a traffic policy, and the part of the cluster that it makes: a line each.
import assert from "node:assert/strict";
import { test } from "node:test";
import { toJson } from "@bufbuild/protobuf";
import { allTypes } from "#wire/gen/all-types.ts";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { parseMeshConfig } from "../../kinds/mesh-config/decode.ts";
import { compileProxy } from "../compile.ts";
import { refusals } from "../testing/accepted.ts";
import { mesh, service, sidecarOf, workload } from "../testing/mesh.ts";

const client = sidecarOf("client", "10.244.0.9");
const ports = [
  { name: "http", number: 80 },
  { name: "grpc", number: 81 },
  { name: "tcp", number: 82 },
];
const app = [service("app", "10.96.0.50", ports), ...workload("app", ports, { ip: "10.244.1.1" })];

type Json = Readonly<Record<string, unknown>>;

interface Compiled {
  readonly cluster: (port: number, subset?: string) => Json;
  /** The TCP proxy that connections to port 82 go through. */
  readonly tcpProxy: () => Json;
}

function compiled(yaml: string, meshYaml = ""): Compiled {
  const snapshot = mesh(app, yaml, parseMeshConfig(meshYaml).meshConfig);
  assert.deepEqual(
    snapshot.issues.filter(({ severity }) => severity === "error"),
    [],
  );
  const { clusters, listeners, ...rest } = compileProxy(snapshot, client);
  assert.deepEqual(refusals({ clusters, listeners, ...rest }), []);
  return {
    cluster: (port, subset = "") => {
      const found = clusters.get(`outbound|${port}|${subset}|app.default.svc.cluster.local`);
      return toJson(ClusterSchema, found ?? assert.fail("no such cluster"), { registry: allTypes }) as Json;
    },
    tcpProxy: () => {
      const found = listeners.get("10.96.0.50_82") ?? assert.fail("no such listener");
      const json = toJson(ListenerSchema, found, { registry: allTypes }) as {
        filterChains: { filters: { typedConfig: Json }[] }[];
      };
      return json.filterChains[0]?.filters.at(-1)?.typedConfig ?? assert.fail("no filter");
    },
  };
}

const rule = (policy: string, subsets = ""): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: app}
spec: {host: app, trafficPolicy: ${policy}, subsets: [${subsets}]}
`;

/** The value at a path like `circuitBreakers.thresholds[0].maxRequests`. */
function at(value: unknown, path: string): unknown {
  return path
    .split(/\.|\[(\d+)\]\.?/)
    .filter((name) => name !== undefined && name !== "")
    .reduce<unknown>((inner, name) => (inner as Json | undefined)?.[name], value);
}

const http = (name: string): string => `typedExtensionProtocolOptions.${"HTTP"}.${name}`;
const httpKey = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/** The same with the key that has dots in it. */
function of(cluster: Json, path: string): unknown {
  if (!path.startsWith("typedExtensionProtocolOptions.HTTP.")) return at(cluster, path);
  const options = (cluster["typedExtensionProtocolOptions"] as Json | undefined)?.[httpKey];
  return at(options, path.slice("typedExtensionProtocolOptions.HTTP.".length));
}

const unlimited = 4_294_967_295;
const threshold = "circuitBreakers.thresholds[0]";

const cases: readonly [policy: string, path: string, expected: unknown, port?: number][] = [
  ["{connectionPool: {tcp: {maxConnections: 7}}}", `${threshold}.maxConnections`, 7],
  ["{connectionPool: {http: {http1MaxPendingRequests: 7}}}", `${threshold}.maxPendingRequests`, 7],
  ["{connectionPool: {http: {http2MaxRequests: 7}}}", `${threshold}.maxRequests`, 7],
  ["{connectionPool: {http: {maxRetries: 7}}}", `${threshold}.maxRetries`, 7],
  ["{connectionPool: {tcp: {}}}", `${threshold}.maxConnections`, unlimited],
  ["{connectionPool: {tcp: {}}}", `${threshold}.maxRetries`, unlimited],
  ["{retryBudget: {}}", `${threshold}.retryBudget`, { budgetPercent: { value: 20 }, minRetryConcurrency: 3 }],
  [
    "{retryBudget: {percent: 5, minRetryConcurrency: 9}}",
    `${threshold}.retryBudget`,
    { budgetPercent: { value: 5 }, minRetryConcurrency: 9 },
  ],
  ["{connectionPool: {tcp: {connectTimeout: 30ms}}}", "connectTimeout", "0.030s"],
  ["{connectionPool: {http: {}}}", "connectTimeout", "10s"],
  [
    "{connectionPool: {tcp: {tcpKeepalive: {probes: 3, time: 60s, interval: 5s}}}}",
    "upstreamConnectionOptions.tcpKeepalive",
    { keepaliveProbes: 3, keepaliveTime: 60, keepaliveInterval: 5 },
  ],
  ["{connectionPool: {http: {idleTimeout: 9s}}}", http("commonHttpProtocolOptions"), { idleTimeout: "9s" }],
  ["{connectionPool: {tcp: {idleTimeout: 9s}}}", http("commonHttpProtocolOptions"), { idleTimeout: "9s" }],
  [
    "{connectionPool: {tcp: {idleTimeout: 9s}, http: {idleTimeout: 3s}}}",
    http("commonHttpProtocolOptions"),
    { idleTimeout: "3s" },
  ],
  [
    "{connectionPool: {tcp: {maxConnectionDuration: 9s}}}",
    http("commonHttpProtocolOptions"),
    { maxConnectionDuration: "9s" },
  ],
  [
    "{connectionPool: {http: {maxRequestsPerConnection: 9}}}",
    http("commonHttpProtocolOptions"),
    { maxRequestsPerConnection: 9 },
  ],
  ["{connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}", http("explicitHttpConfig"), { http2ProtocolOptions: {} }],
  [
    "{connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}",
    http("explicitHttpConfig"),
    { http2ProtocolOptions: {} },
    82,
  ],
  ["{connectionPool: {http: {h2UpgradePolicy: DO_NOT_UPGRADE}}}", http("explicitHttpConfig"), undefined],
  [
    "{connectionPool: {http: {useClientProtocol: true}}}",
    http("useDownstreamProtocolConfig"),
    { httpProtocolOptions: {}, http2ProtocolOptions: {} },
  ],
  [
    "{connectionPool: {http: {maxConcurrentStreams: 9}}}",
    http("explicitHttpConfig"),
    { http2ProtocolOptions: { maxConcurrentStreams: 9 } },
    81,
  ],
  [
    "{connectionPool: {http: {http2KeepAlive: {interval: 9s, timeout: 3s}}}}",
    http("explicitHttpConfig"),
    { http2ProtocolOptions: { connectionKeepalive: { interval: "9s", timeout: "3s" } } },
    81,
  ],
  ["{loadBalancer: {simple: ROUND_ROBIN}}", "lbPolicy", undefined],
  ["{loadBalancer: {simple: LEAST_REQUEST}}", "lbPolicy", "LEAST_REQUEST"],
  ["{loadBalancer: {simple: LEAST_CONN}}", "lbPolicy", "LEAST_REQUEST"],
  ["{loadBalancer: {simple: UNSPECIFIED}}", "lbPolicy", "LEAST_REQUEST"],
  ["{loadBalancer: {simple: RANDOM}}", "lbPolicy", "RANDOM"],
  ["{loadBalancer: {simple: PASSTHROUGH}}", "lbPolicy", "CLUSTER_PROVIDED"],
  ["{loadBalancer: {simple: PASSTHROUGH}}", "type", "ORIGINAL_DST"],
  ["{loadBalancer: {consistentHash: {useSourceIp: true}}}", "lbPolicy", "RING_HASH"],
  ["{loadBalancer: {consistentHash: {useSourceIp: true}}}", "ringHashLbConfig", { minimumRingSize: "1024" }],
  [
    "{loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 9}}}",
    "ringHashLbConfig",
    { minimumRingSize: "9" },
  ],
  [
    "{loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 9}}}}",
    "ringHashLbConfig",
    { minimumRingSize: "9" },
  ],
  ["{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 7}}}}", "lbPolicy", "MAGLEV"],
  [
    "{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 7}}}}",
    "maglevLbConfig",
    { tableSize: "7" },
  ],
  [
    "{loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 9s}}}",
    "roundRobinLbConfig.slowStartConfig",
    { slowStartWindow: "9s", minWeightPercent: { value: 10 }, aggression: { defaultValue: 1, runtimeKey: "(" } },
  ],
  [
    "{loadBalancer: {simple: LEAST_REQUEST, warmup: {duration: 9s, minimumPercent: 3, aggression: 2}}}",
    "leastRequestLbConfig.slowStartConfig",
    { slowStartWindow: "9s", minWeightPercent: { value: 3 }, aggression: { defaultValue: 2, runtimeKey: "(" } },
  ],
  ["{loadBalancer: {warmupDurationSecs: 9s}}", "leastRequestLbConfig.slowStartConfig", { slowStartWindow: "9s" }],
  ["{outlierDetection: {}}", "outlierDetection", { enforcingSuccessRate: 0 }],
  [
    "{outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 3}}",
    "outlierDetection",
    {
      enforcingSuccessRate: 0,
      consecutive5xx: 0,
      enforcingConsecutive5xx: 0,
      consecutiveGatewayFailure: 3,
      enforcingConsecutiveGatewayFailure: 100,
    },
  ],
  [
    "{outlierDetection: {interval: 1s, baseEjectionTime: 2s, maxEjectionPercent: 50, minHealthPercent: 30}}",
    "outlierDetection",
    { enforcingSuccessRate: 0, interval: "1s", baseEjectionTime: "2s", maxEjectionPercent: 50 },
  ],
  ["{outlierDetection: {minHealthPercent: 30}}", "commonLbConfig.healthyPanicThreshold", { value: 30 }],
  ["{loadBalancer: {simple: RANDOM}}", "commonLbConfig.healthyPanicThreshold", {}],
  [
    "{outlierDetection: {splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 3}}",
    "outlierDetection",
    {
      enforcingSuccessRate: 0,
      splitExternalLocalOriginErrors: true,
      consecutiveLocalOriginFailure: 3,
      enforcingConsecutiveLocalOriginFailure: 100,
      enforcingLocalOriginSuccessRate: 0,
    },
  ],
];

for (const [policy, path, expected, port = 80] of cases) {
  test(`${policy} on port ${port}: ${path}`, () => {
    assert.deepEqual(of(compiled(rule(policy)).cluster(port), path), expected);
  });
}

test("settings of the mesh hold where a rule says nothing, field by field for keep-alive, block by block otherwise", () => {
  const config = `
tcpKeepalive: {probes: 9, time: 60s}
connectTimeout: 3s
defaultTrafficPolicy: {connectionPool: {http: {http2MaxRequests: 5}}}`;
  const plain = compiled("", config).cluster(80);
  assert.deepEqual(of(plain, "upstreamConnectionOptions.tcpKeepalive"), { keepaliveProbes: 9, keepaliveTime: 60 });
  assert.equal(of(plain, "connectTimeout"), "3s");
  assert.equal(of(plain, `${threshold}.maxRequests`), 5);
  const ruled = compiled(
    rule("{connectionPool: {tcp: {connectTimeout: 1s, tcpKeepalive: {probes: 2, interval: 7s}}}}"),
    config,
  ).cluster(80);
  assert.deepEqual(of(ruled, "upstreamConnectionOptions.tcpKeepalive"), {
    keepaliveProbes: 2,
    keepaliveTime: 60,
    keepaliveInterval: 7,
  });
  assert.equal(of(ruled, "connectTimeout"), "1s");
  assert.equal(of(ruled, `${threshold}.maxRequests`), unlimited);
});

test("of rule, port and subset each replaces whole blocks of the one before", () => {
  const pool = (requests: number): string => `connectionPool: {http: {http2MaxRequests: ${requests}}}`;
  const { cluster } = compiled(
    rule(
      `{${pool(1)}, loadBalancer: {simple: RANDOM}, retryBudget: {}, portLevelSettings: [{port: {number: 81}, ${pool(2)}}]}`,
      [
        "{name: plain}",
        `{name: own, trafficPolicy: {${pool(3)}}}`,
        `{name: port, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, portLevelSettings: [{port: {number: 81}, ${pool(4)}}]}}`,
      ].join(),
    ),
  );
  const facts = (port: number, subset: string): unknown[] => {
    const found = cluster(port, subset);
    const budget = of(found, `${threshold}.retryBudget`) === undefined ? "no budget" : "budget";
    return [of(found, `${threshold}.maxRequests`), of(found, "lbPolicy") ?? "ROUND_ROBIN", budget];
  };
  const table: [number, string, unknown[]][] = [
    [80, "", [1, "RANDOM", "budget"]],
    [80, "plain", [1, "RANDOM", "budget"]],
    [80, "own", [3, "RANDOM", "budget"]],
    [80, "port", [1, "ROUND_ROBIN", "budget"]],
    [81, "", [2, "LEAST_REQUEST", "budget"]],
    [81, "plain", [2, "LEAST_REQUEST", "budget"]],
    [81, "own", [3, "LEAST_REQUEST", "budget"]],
    [81, "port", [4, "LEAST_REQUEST", "budget"]],
  ];
  for (const [port, subset, expected] of table) assert.deepEqual(facts(port, subset), expected, `${port} ${subset}`);
});

test("a PROXY header comes before whatever a connection begins with", () => {
  const sockets = (policy: string): unknown => {
    const found = compiled(rule(policy)).cluster(82);
    const matches = found["transportSocketMatches"] as { name: string; transportSocket: Json }[] | undefined;
    const socket = (value: unknown): unknown[] => [
      at(value, "name"),
      at(value, "typedConfig.config.version") ?? "V1",
      at(value, "typedConfig.transportSocket.name"),
    ];
    return matches === undefined
      ? socket(found["transportSocket"])
      : matches.map((it) => [it.name, ...socket(it.transportSocket)]);
  };
  const wrapper = "envoy.transport_sockets.upstream_proxy_protocol";
  assert.deepEqual(sockets("{proxyProtocol: {}, tls: {mode: DISABLE}}"), [
    wrapper,
    "V1",
    "envoy.transport_sockets.raw_buffer",
  ]);
  assert.deepEqual(sockets("{proxyProtocol: {version: V2}, tls: {mode: ISTIO_MUTUAL}}"), [
    wrapper,
    "V2",
    "envoy.transport_sockets.tls",
  ]);
  assert.deepEqual(sockets("{proxyProtocol: {version: V2}}"), [
    ["tlsMode-istio", wrapper, "V2", "envoy.transport_sockets.tls"],
    ["tlsMode-disabled", wrapper, "V2", "envoy.transport_sockets.raw_buffer"],
  ]);
});

test("TCP: times, hashing by address, and tunnels", () => {
  const proxy = (policy: string): Json => compiled(rule(policy)).tcpProxy();
  assert.equal(proxy("{connectionPool: {tcp: {idleTimeout: 9s}}}")["idleTimeout"], "9s");
  assert.equal(proxy("{connectionPool: {tcp: {maxConnectionDuration: 9s}}}")["maxDownstreamConnectionDuration"], "9s");
  assert.deepEqual(proxy("{loadBalancer: {consistentHash: {useSourceIp: true}}}")["hashPolicy"], [{ sourceIp: {} }]);
  assert.equal(proxy("{loadBalancer: {consistentHash: {httpHeaderName: a}}}")["hashPolicy"], undefined);
  assert.deepEqual(proxy("{tunnel: {targetHost: ext.example.com, targetPort: 443}}")["tunnelingConfig"], {
    hostname: "ext.example.com:443",
  });
  assert.deepEqual(proxy("{tunnel: {protocol: POST, targetHost: '::1', targetPort: 443}}")["tunnelingConfig"], {
    hostname: "[::1]:443",
    usePost: true,
  });
});
