import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ClusterLoadAssignment } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { parseMeshConfig } from "../../kinds/mesh-config/decode.ts";
import type { Labels } from "../../objects/fields/selector.ts";
import type { LocalityLbSetting } from "../../objects/fields/traffic-policy.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import { type Endpoint, parseLocality } from "../../snapshot/endpoint.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import { compileClusters, compileProxy } from "../compile.ts";
import { refusals } from "../testing/accepted.ts";
import { mesh, service, sidecarOf, workload } from "../testing/mesh.ts";
import { type LocalityGroup, localityMatches, preferLocalities } from "./locality.ts";

const nothing: LocalityLbSetting = { distribute: [], failover: [], failoverPriority: [] };

function endpoint(address: string, locality: string, labels: Labels = {}, network = ""): Endpoint {
  return {
    address,
    port: 80,
    servicePortName: "http",
    health: "healthy",
    weight: 1,
    network,
    workload: {
      name: "",
      namespace: "default",
      labels,
      serviceAccount: "",
      identity: "",
      clusterId: labels["topology.istio.io/cluster"] ?? "",
      canonicalName: "",
      canonicalRevision: "",
      locality: parseLocality(locality),
      tlsMode: "disabled",
      nodeName: "",
      hostname: "",
    },
  };
}

function group(
  locality: string,
  weight = 1,
  endpoints: readonly Endpoint[] = [endpoint("1", locality)],
): LocalityGroup {
  return { locality: parseLocality(locality), endpoints, weight, priority: 0 };
}

/** `locality weight priority` of every group that has endpoints left. */
function preferred(
  groups: readonly LocalityGroup[],
  setting: Partial<LocalityLbSetting>,
  from: string,
  labels: Labels = {},
  failover = true,
): string[] {
  const client = { locality: parseLocality(from), labels };
  return preferLocalities(groups, { setting: { ...nothing, ...setting }, failover, isRegional: false }, client)
    .filter(({ endpoints }) => endpoints.length > 0)
    .map(({ locality: { region, zone, subzone }, weight, priority }) =>
      [[region, zone, subzone].filter((part) => part !== "").join("/"), weight, priority].join(" "),
    );
}

const world = ["eu/a/1", "eu/a/2", "eu/b/1", "us/a/1", "asia/a/1"].map((locality) => group(locality));

test("without a setting the nearest come first: subzone, zone, region, elsewhere", () => {
  assert.deepEqual(preferred(world, {}, "eu/a/1"), [
    "eu/a/1 1 0",
    "eu/a/2 1 1",
    "eu/b/1 1 2",
    "us/a/1 1 3",
    "asia/a/1 1 3",
  ]);
  // Priorities have no gaps.
  assert.deepEqual(preferred(world.slice(1), {}, "eu/c/1"), ["eu/a/2 1 0", "eu/b/1 1 0", "us/a/1 1 1", "asia/a/1 1 1"]);
  assert.deepEqual(
    preferred(world, {}, "eu/a/1", {}, false),
    world.map(({ locality }) => `${Object.values(locality).join("/")} 1 0`),
  );
});

test("failover names the region that comes after the own one", () => {
  const failover = [{ from: "eu", to: "asia" }];
  assert.deepEqual(preferred(world, { failover }, "eu/b/1"), [
    "eu/a/1 1 1",
    "eu/a/2 1 1",
    "eu/b/1 1 0",
    "us/a/1 1 3",
    "asia/a/1 1 2",
  ]);
  assert.deepEqual(preferred(world, { failover }, "us/a/1"), [
    "eu/a/1 1 1",
    "eu/a/2 1 1",
    "eu/b/1 1 1",
    "us/a/1 1 0",
    "asia/a/1 1 1",
  ]);
});

test("distribute gives weights to the localities it names, and the others nothing", () => {
  const distribute = [
    { from: "eu/a/*", to: { "eu/a/*": 80, "us/*": 20 } },
    { from: "eu/*", to: { "asia/a/1": 100 } },
  ];
  assert.deepEqual(preferred(world, { distribute }, "eu/a/1"), ["eu/a/1 40 0", "eu/a/2 40 0", "us/a/1 20 0"]);
  assert.deepEqual(preferred(world, { distribute }, "eu/b/1"), ["asia/a/1 100 0"]);
  // A client that no rule is for uses all alike; and outlier detection is not needed.
  assert.equal(preferred(world, { distribute }, "us/a/1").length, world.length);
  assert.deepEqual(preferred(world, { distribute }, "eu/b/1", {}, false), ["asia/a/1 100 0"]);
  // Localities under one name share by their own weights, rounded up.
  const uneven = [group("eu/a/1", 2), group("eu/a/2", 1)];
  const all = [{ from: "*", to: { "eu/*": 100 } }];
  assert.deepEqual(preferred(uneven, { distribute: all }, "us/a/1"), ["eu/a/1 67 0", "eu/a/2 34 0"]);
});

test("failoverPriority ranks by the first label that differs, and splits localities", () => {
  const groups = [
    group("eu/a/1", 2, [
      endpoint("1", "eu/a/1", { version: "v1", tier: "gold" }),
      endpoint("2", "eu/a/1", { version: "v2", tier: "gold" }),
    ]),
    group("us/a/1", 1, [endpoint("3", "us/a/1", { version: "v1", tier: "iron" })]),
  ];
  const client = { version: "v1", tier: "gold" };
  const rank = (failoverPriority: string[], more = {}): string[] =>
    preferred(groups, { failoverPriority, ...more }, "us/a/1", client);
  assert.deepEqual(rank(["version", "tier"]), ["eu/a/1 1 0", "eu/a/1 1 2", "us/a/1 1 1"]);
  assert.deepEqual(rank(["tier", "version"]), ["eu/a/1 1 0", "eu/a/1 1 1", "us/a/1 1 2"]);
  // A value of its own instead of the client's; a label that nobody has says nothing.
  assert.deepEqual(rank(["version=v2"]), ["eu/a/1 1 0", "eu/a/1 1 1", "us/a/1 1 1"]);
  assert.deepEqual(rank(["nobody"]), ["eu/a/1 2 0", "us/a/1 1 0"]);
  // Places are labels too.
  assert.deepEqual(
    preferred(groups, { failoverPriority: ["topology.kubernetes.io/region"] }, "", {
      "topology.kubernetes.io/region": "us",
    }),
    ["eu/a/1 2 1", "us/a/1 1 0"],
  );
  // Failover within the ranks that labels give.
  assert.deepEqual(rank(["version"], { failover: [{ from: "us", to: "eu" }] }), [
    "eu/a/1 1 1",
    "eu/a/1 1 2",
    "us/a/1 1 0",
  ]);
});

const nodes: KubernetesObject[] = [
  ["node-a", "eu", "a"],
  ["node-b", "eu", "b"],
  ["node-c", "us", "a"],
].map(([name = "", region = "", zone = ""]) => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: {
    name,
    namespace: "",
    labels: { "topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone },
  },
}));

const ports = [{ name: "http", number: 80 }];

/** Pods of `app` on the nodes, as `a b c`; the client is on node-a. */
function cluster(serviceSpec: object = {}): KubernetesObject[] {
  const on = (objects: readonly KubernetesObject[], nodeName: string): KubernetesObject[] =>
    objects.map((object) => ({
      ...object,
      ...(object.kind === "Pod" && { spec: { ...(object["spec"] as object), nodeName } }),
    }));
  const app = service("app", "10.96.0.50", ports);
  return [
    ...nodes,
    { ...app, spec: { ...(app["spec"] as object), ...serviceSpec } },
    ...on(workload("app", ports, { ip: "10.244.1.1" }), "node-a"),
    ...on(workload("app", ports, { ip: "10.244.1.2" }), "node-b"),
    ...on(workload("app", ports, { ip: "10.244.1.3" }), "node-c"),
    ...on(workload("client", ports, { ip: "10.244.1.9" }), "node-a"),
  ];
}

function rule(policy: string): string {
  return `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: app}
spec: {host: app, trafficPolicy: ${policy}}
`;
}

const onNodeA = sidecarOf("client", "10.244.1.9", { nodeName: "" });
const name = "outbound|80||app.default.svc.cluster.local";

function assignment(objects: KubernetesObject[], yaml = "", meshYaml = "", proxy: ProxyNode = onNodeA) {
  const snapshot = mesh(objects, yaml, parseMeshConfig(meshYaml).meshConfig);
  const compiled = compileProxy(snapshot, proxy);
  assert.deepEqual(refusals(compiled), []);
  return { endpoints: compiled.endpoints.get(name), cluster: compileClusters(snapshot, proxy).get(name) };
}

function places(found: ClusterLoadAssignment | undefined): string[] {
  return (found?.endpoints ?? []).flatMap(({ locality, lbEndpoints, priority, loadBalancingWeight }) =>
    lbEndpoints.length === 0
      ? []
      : [`${locality?.region}/${locality?.zone} ${priority} x${loadBalancingWeight} (${lbEndpoints.length})`],
  );
}

const alike = ["eu/a 0 x1 (1)", "eu/b 0 x1 (1)", "us/a 0 x1 (1)"];
const nearestFirst = ["eu/a 0 x1 (1)", "eu/b 1 x1 (1)", "us/a 2 x1 (1)"];

test("endpoints are preferred by place when something takes failing ones out, and unless that is switched off", () => {
  const outlier = "outlierDetection: {consecutive5xxErrors: 5}";
  const off = "loadBalancer: {localityLbSetting: {enabled: false}}";
  const cases: [rule: string, mesh: string, expected: string[], weighs: boolean][] = [
    ["", "", alike, false],
    [rule(`{${outlier}}`), "", nearestFirst, false],
    [rule(`{${outlier}, ${off}}`), "", alike, false],
    [rule(`{${outlier}}`), "localityLbSetting: {enabled: false}", alike, false],
    [
      rule(`{loadBalancer: {localityLbSetting: {enabled: true}}, ${outlier}}`),
      "localityLbSetting: {enabled: false}",
      nearestFirst,
      false,
    ],
    [rule("{loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}}"), "", alike, false],
    [rule(`{${outlier}, loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}}`), "", nearestFirst, true],
    [rule(`{${outlier}}`), "localityLbSetting: {failover: [{from: eu, to: us}]}", nearestFirst, true],
    [
      rule("{loadBalancer: {localityLbSetting: {distribute: [{from: eu/*, to: {us: 100}}]}}}"),
      "",
      ["us/a 0 x100 (1)"],
      true,
    ],
    [
      "",
      "localityLbSetting: {distribute: [{from: eu/*, to: {eu/a: 90, us: 10}}]}",
      ["eu/a 0 x90 (1)", "us/a 0 x10 (1)"],
      true,
    ],
    ["", "defaultTrafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}}", nearestFirst, false],
  ];
  for (const [yaml, meshYaml, expected, weighs] of cases) {
    const { endpoints, cluster: compiled } = assignment(cluster(), yaml, meshYaml);
    assert.deepEqual(places(endpoints), expected, yaml + meshYaml);
    const specifier = compiled?.commonLbConfig?.localityConfigSpecifier.case;
    assert.equal(specifier === "localityWeightedLbConfig", weighs, yaml + meshYaml);
  }
});

test("trafficDistribution of a Service prefers zone or node, unless a rule says otherwise", () => {
  const cases: [object, string, string[]][] = [
    [{ trafficDistribution: "PreferClose" }, "", nearestFirst],
    [{ trafficDistribution: "PreferSameZone" }, "", nearestFirst],
    [{ trafficDistribution: "PreferSameNode" }, "", nearestFirst],
    [{ trafficDistribution: "PreferClose" }, rule("{loadBalancer: {localityLbSetting: {enabled: false}}}"), alike],
    [{}, "", alike],
  ];
  for (const [spec, yaml, expected] of cases) {
    assert.deepEqual(places(assignment(cluster(spec), yaml).endpoints), expected, JSON.stringify(spec) + yaml);
  }
  const annotated = cluster().map((object) =>
    object.kind === "Service"
      ? {
          ...object,
          metadata: { ...object.metadata, annotations: { "networking.istio.io/traffic-distribution": "PreferClose" } },
        }
      : object,
  );
  assert.deepEqual(places(assignment(annotated).endpoints), nearestFirst);
});

test("zoneAwareLbSetting tells regions apart, and leaves zones to the proxy", () => {
  const outlier = "outlierDetection: {consecutive5xxErrors: 5}";
  const on = (rest = ""): string => rule(`{loadBalancer: {zoneAwareLbSetting: {enabled: true${rest}}}}`);
  const byRegion = ["eu/a 0 x1 (1)", "eu/b 0 x1 (1)", "us/a 1 x1 (1)"];
  const routed = (value: object): object => ({ case: "zoneAwareLbConfig", value });
  const cases: [rule: string, mesh: string, expected: string[], specifier: object | undefined][] = [
    ["", "", alike, undefined],
    [on(), "", byRegion, routed({})],
    [on(", minClusterSize: 2"), "", byRegion, routed({ minClusterSize: 2n })],
    [on(", failover: [{from: eu, to: us}]"), "", byRegion, routed({})],
    [on(', failoverPriority: ["version"]'), "", byRegion, routed({})],
    // Off is said, for proxies that look at zones by themselves.
    [rule("{loadBalancer: {zoneAwareLbSetting: {enabled: false}}}"), "", alike, routed({ routingEnabled: 0 })],
    ["", "zoneAwareLbSetting: {enabled: true, minClusterSize: 3}", byRegion, routed({ minClusterSize: 3n })],
    ["", "zoneAwareLbSetting: {enabled: true}\nlocalityLbSetting: {enabled: true}", byRegion, routed({})],
    [
      rule(`{${outlier}, loadBalancer: {localityLbSetting: {enabled: true}}}`),
      "zoneAwareLbSetting: {enabled: true}",
      nearestFirst,
      undefined,
    ],
    [
      rule("{loadBalancer: {zoneAwareLbSetting: {enabled: false}}}"),
      "zoneAwareLbSetting: {enabled: true}",
      alike,
      routed({ routingEnabled: 0 }),
    ],
  ];
  for (const [yaml, meshYaml, expected, specifier] of cases) {
    const { endpoints, cluster: compiled } = assignment(cluster(), yaml, meshYaml);
    assert.deepEqual(places(endpoints), expected, yaml + meshYaml);
    const found = compiled?.commonLbConfig?.localityConfigSpecifier;
    const value = found?.case === "zoneAwareLbConfig" ? found.value : undefined;
    const said = value && {
      ...(value.minClusterSize !== undefined && { minClusterSize: value.minClusterSize }),
      ...(value.routingEnabled && { routingEnabled: value.routingEnabled.value }),
    };
    assert.deepEqual(found?.case && { case: found.case, value: said }, specifier, yaml + meshYaml);
  }
  assert.deepEqual(
    preferLocalities(
      ["eu/a", "us/a", "asia/a"].map((locality) => group(locality)),
      { setting: { ...nothing, failover: [{ from: "eu", to: "asia" }] }, failover: true, isRegional: true },
      { locality: parseLocality("eu/b"), labels: {} },
    ).map(({ priority }) => priority),
    [0, 2, 1],
  );
});

test("a sidecar that discovers itself gets its own peers: its region, its workload, its revision of pods", () => {
  const discovering = (settings: Partial<ProxyNode> = {}): ProxyNode =>
    sidecarOf("app", "10.244.1.1", {
      nodeName: "node-a",
      metadata: { ENABLE_SELF_DISCOVERY: "true" },
      workloadName: "app-v1-10-244-1-1",
      ...settings,
    });
  const peers = (proxy: ProxyNode, objects = cluster()): string[] =>
    places(compileProxy(mesh(objects), proxy).endpoints.get("local_cluster"));
  const pods = cluster().map((object) =>
    object.kind === "Pod"
      ? {
          ...object,
          metadata: {
            ...object.metadata,
            labels: { ...object.metadata.labels, "pod-template-hash": "5d" },
            ownerReferences: [
              { apiVersion: "apps/v1", kind: "ReplicaSet", name: "app-5d", controller: true, uid: "1" },
            ],
          },
        }
      : object,
  );
  const labels = { "pod-template-hash": "5d" };
  assert.deepEqual(peers(discovering()), ["eu/a 0 x1 (1)"]);
  assert.deepEqual(peers(discovering({ workloadName: "app", labels }), pods), ["eu/a 0 x1 (1)", "eu/b 0 x1 (1)"]);
  assert.deepEqual(peers(discovering({ workloadName: "app", labels: { "pod-template-hash": "6e" } }), pods), []);
  assert.deepEqual(peers(discovering({ workloadName: "other", labels }), pods), []);
  assert.equal(compileProxy(mesh(cluster()), discovering({ metadata: {} })).endpoints.get("local_cluster"), undefined);
  assert.equal(
    compileProxy(mesh(cluster()), discovering({ type: "router" })).endpoints.get("local_cluster"),
    undefined,
  );
});

test("internalTrafficPolicy Local uses the endpoints of the client's node only", () => {
  const spec = { internalTrafficPolicy: "Local" };
  assert.deepEqual(places(assignment(cluster(spec)).endpoints), ["eu/a 0 x1 (1)"]);
  const elsewhere = sidecarOf("client", "10.244.9.9", { nodeName: "node-z" });
  assert.deepEqual(places(assignment(cluster(spec), "", "", elsewhere).endpoints), []);
});

test("a proxy's place is what it says, else its label, else its node", () => {
  const outlier = rule("{outlierDetection: {consecutive5xxErrors: 5}}");
  const from = (settings: Partial<ProxyNode>): string[] =>
    places(assignment(cluster(), outlier, "", sidecarOf("other", "10.244.9.9", settings)).endpoints);
  const fromUs = ["eu/a 1 x1 (1)", "eu/b 1 x1 (1)", "us/a 0 x1 (1)"];
  assert.deepEqual(from({ locality: parseLocality("us/a") }), fromUs);
  assert.deepEqual(from({ labels: { "istio-locality": "us.a" } }), fromUs);
  assert.deepEqual(from({}), alike);
});

test("endpoints that are not ready stay out where a rule wants panic to count", () => {
  const objects = [
    service("app", "10.96.0.50", ports),
    ...workload("app", ports, { ip: "10.244.1.1" }),
    ...workload("app", ports, { ip: "10.244.1.2", ready: false }),
  ];
  const count = (yaml: string): number =>
    assignment(objects, yaml).endpoints?.endpoints.flatMap(({ lbEndpoints }) => lbEndpoints).length ?? 0;
  assert.equal(count(""), 2);
  assert.equal(count(rule("{outlierDetection: {minHealthPercent: 50}}")), 1);
});

test("the endpoints of a name that the proxy resolves are preferred too, by place only", () => {
  const entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext}
spec:
  hosts: [ext.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
  endpoints: [{address: us.example.com, locality: us/a}, {address: eu.example.com, locality: eu/a}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ext}
spec: {host: ext.example.com, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 1}}}
`;
  const snapshot = mesh(cluster(), entry);
  const compiled = compileClusters(snapshot, onNodeA).get("outbound|80||ext.example.com");
  assert.deepEqual(places(compiled?.loadAssignment), ["eu/a 0 x1 (1)", "us/a 1 x1 (1)"]);
  const elsewhere = sidecarOf("other", "10.244.9.9", { locality: parseLocality("us/a") });
  const other = compileClusters(snapshot, elsewhere).get("outbound|80||ext.example.com");
  assert.deepEqual(places(other?.loadAssignment), ["eu/a 1 x1 (1)", "us/a 0 x1 (1)"]);
});

const file = join(import.meta.dirname, "../../../../../shared/testdata/tables.json");
const options = existsSync(file) ? {} : { skip: `${file} is not there` };

function rows(id: string): Record<string, unknown>[] {
  const { cases } = JSON.parse(readFileSync(file, "utf8")) as {
    cases: { id: string; rows: Record<string, unknown>[] }[];
  };
  return cases.find((item) => item.id.includes(id))?.rows ?? assert.fail(id);
}

test("Istio's table of localities and rules", options, () => {
  for (const row of rows("TestLocalityMatch")) {
    const { region = "", zone = "", subZone = "" } = row["locality"] as Record<string, string>;
    assert.equal(
      localityMatches({ region, zone, subzone: subZone }, String(row["rule"])),
      row["match"],
      JSON.stringify(row),
    );
  }
});

test("Istio's table of failover by labels", options, () => {
  // The rows that are left out name endpoints twice, which no mesh has.
  const exceptions = ["match none label", "not match the first n label"];
  const labeled = (address: string, locality: string, network: string, key: string, clusterId: string): Endpoint =>
    endpoint(address, locality, { ...(key && { key }), "topology.istio.io/cluster": clusterId }, network);
  const groups = [
    group("region1/zone1/subzone1", 2, [
      labeled("1.1.1.1", "region1/zone1/subzone1", "n1", "", "c1"),
      labeled("2.2.2.2", "region1/zone1/subzone1", "n2", "value", "c2"),
    ]),
    group("region2/zone2/subzone2", 2, [
      labeled("3.3.3.3", "region2/zone2/subzone2", "n1", "value", "c3"),
      labeled("4.4.4.4", "region2/zone2/subzone2", "n2", "value", "c4"),
    ]),
    group("region3/zone3/subzone3", 2, [
      labeled("1.2.3.4", "region3/zone3/subzone3", "n1", "value", "c2"),
      labeled("2.3.4.5", "region3/zone3/subzone3", "n2", "value", "c2"),
    ]),
  ];
  interface Expected {
    readonly priority?: number;
    readonly loadBalancingWeight: number;
    readonly lbEndpoints: { endpoint: { address: { socketAddress: { address: string } } } }[];
  }
  for (const row of rows("TestApplyLocalitySetting@846")) {
    if (exceptions.includes(String(row["name"]))) continue;
    const client = { locality: parseLocality(""), labels: row["proxyLabels"] as Labels };
    const setting = { ...nothing, failoverPriority: row["failoverPriority"] as string[] };
    const actual = preferLocalities(groups, { setting, failover: true, isRegional: false }, client).map(
      ({ priority, weight, endpoints }) => [priority, weight, endpoints.map(({ address }) => address)],
    );
    const expected = (row["expected"] as Expected[]).map(({ priority = 0, loadBalancingWeight, lbEndpoints }) => [
      priority,
      loadBalancingWeight,
      lbEndpoints.map((item) => item.endpoint.address.socketAddress.address),
    ]);
    assert.deepEqual(actual, expected, String(row["name"]));
  }
});
