import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIssue } from "#base/issue.ts";
import { parseMeshNetworks } from "../../kinds/mesh-config/networks.ts";
import type { MeshConfig } from "../../kinds/mesh-config/spec.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { compileProxy } from "../compile.ts";
import { mesh, service, sidecarOf, workload } from "../testing/mesh.ts";

const near = { "topology.istio.io/network": "near" };
const far = { "topology.istio.io/network": "far" };

function gatewayService(name: string, addresses: string[], more = "", ports = "[{name: tls, port: 15443}]"): string {
  return `---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: istio-system, labels: {topology.istio.io/network: far${more}}}
spec: {externalIPs: [${addresses.join()}], ports: ${ports}}
`;
}

/** Reviews: two near, two far, of which one has no sidecar. */
function reviews(
  yaml: string,
  config: Partial<MeshConfig> = {},
  options: Parameters<typeof mesh>[3] = {},
): MeshSnapshot {
  const port = [{ name: "http", number: 9080 }];
  return mesh(
    [
      service("reviews", "10.96.0.1", port),
      ...workload("reviews", port, { ip: "10.0.0.1", labels: near }),
      ...workload("reviews", port, { ip: "10.0.0.2", labels: near }),
      ...workload("reviews", port, { ip: "10.1.0.1", labels: far }),
      ...workload("reviews", port, { ip: "10.1.0.2", labels: far, sidecar: false }),
    ],
    yaml,
    config,
    options,
  );
}

/** `address:port weight tlsMode`. */
function endpointsAs(snapshot: MeshSnapshot, proxy: Partial<ProxyNode>, host = "reviews"): string[] {
  const { endpoints } = compileProxy(snapshot, sidecarOf("client", "10.0.0.9", proxy));
  const port = host === "reviews" ? 9080 : 80;
  const assignment = endpoints.get(
    `outbound|${port}||${host}${host === "reviews" ? ".default.svc.cluster.local" : ""}`,
  );
  return (assignment?.endpoints ?? []).flatMap(({ lbEndpoints }) =>
    lbEndpoints.map(({ hostIdentifier, loadBalancingWeight, metadata }) => {
      assert.equal(hostIdentifier.case, "endpoint");
      const address = hostIdentifier.value.address?.address;
      assert.equal(address?.case, "socketAddress");
      const mode = metadata?.filterMetadata["envoy.transport_socket_match"]?.["tlsMode"] ?? "-";
      const at = address.value.portSpecifier.value;
      return `${address.value.address}:${at} ${loadBalancingWeight} ${mode}`;
    }),
  );
}

const direct = ["10.0.0.1:9080 1 istio", "10.0.0.2:9080 1 istio", "10.1.0.1:9080 1 istio", "10.1.0.2:9080 1 -"];

test("without gateways every network is reached directly", () => {
  assert.deepEqual(endpointsAs(reviews(""), { network: "near" }), direct);
});

test("what is on another network is reached through its gateways, if it takes mutual TLS", () => {
  const snapshot = reviews(gatewayService("east-west", ["192.0.2.1"]));
  assert.deepEqual(endpointsAs(snapshot, { network: "near" }), [
    "10.0.0.1:9080 1 istio",
    "10.0.0.2:9080 1 istio",
    "192.0.2.1:15443 1 istio",
  ]);
  // The near network has no gateway.
  assert.deepEqual(endpointsAs(snapshot, { network: "far" }), direct);
  assert.deepEqual(endpointsAs(snapshot, { network: "" }), direct);
});

test("gateways share the weight of what is behind them", () => {
  const snapshot = reviews(
    gatewayService("east-west", ["192.0.2.1", "192.0.2.2"]) +
      gatewayService("another", ["192.0.2.3"], ', networking.istio.io/gatewayPort: "443"'),
  );
  assert.deepEqual(endpointsAs(snapshot, { network: "near" }), [
    "10.0.0.1:9080 3 istio",
    "10.0.0.2:9080 3 istio",
    "192.0.2.1:15443 1 istio",
    "192.0.2.2:15443 1 istio",
    "192.0.2.3:443 1 istio",
  ]);
});

test("a proxy sees the networks only that it asks for", () => {
  const snapshot = reviews(gatewayService("east-west", ["192.0.2.1"]));
  const metadata = { REQUESTED_NETWORK_VIEW: "near, elsewhere" };
  assert.deepEqual(endpointsAs(snapshot, { network: "near", metadata }), direct.slice(0, 2));
});

test("a gateway behind node ports is at the external addresses of the nodes that its annotation selects", () => {
  const snapshot = reviews(`
apiVersion: v1
kind: Service
metadata:
  name: east-west
  namespace: istio-system
  labels: {topology.istio.io/network: far}
  annotations: {traffic.istio.io/nodeSelector: '{"edge": "yes"}'}
spec: {type: NodePort, ports: [{name: tls, port: 15443, nodePort: 31443}]}
---
apiVersion: v1
kind: Node
metadata: {name: one, labels: {edge: "yes"}}
status: {addresses: [{type: InternalIP, address: 10.9.0.1}, {type: ExternalIP, address: 192.0.2.7}]}
---
apiVersion: v1
kind: Node
metadata: {name: two}
status: {addresses: [{type: ExternalIP, address: 192.0.2.8}]}
`);
  assert.deepEqual(endpointsAs(snapshot, { network: "near" }).slice(2), ["192.0.2.7:31443 1 istio"]);
});

test("entries name their network, and need no address when gateways lead there", () => {
  const snapshot = reviews(`${gatewayService("east-west", ["192.0.2.1"])}---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: machines}
spec:
  hosts: [machines.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  location: MESH_INTERNAL
  resolution: STATIC
  endpoints:
    - {address: 10.0.0.5, network: near, labels: {security.istio.io/tlsMode: istio}}
    - {address: "", network: far, labels: {security.istio.io/tlsMode: istio}}
    - {address: 10.1.0.5, network: far}
`);
  assert.deepEqual(endpointsAs(snapshot, { network: "near" }, "machines.example"), [
    "10.0.0.5:80 1 istio",
    "192.0.2.1:15443 1 istio",
  ]);
  assert.deepEqual(endpointsAs(snapshot, { network: "far" }, "machines.example"), [
    "10.0.0.5:80 1 istio",
    "10.1.0.5:80 1 -",
  ]);
});

test("meshNetworks say which addresses are of a network, and where its gateways are", () => {
  const { networks, issues } = parseMeshNetworks(`
networks:
  distant:
    endpoints: [{fromCidr: 10.2.0.0/16}]
    gateways: [{address: 192.0.2.4, port: 443}, {registryServiceName: edge.istio-system.svc.cluster.local, port: 8443}]
`);
  assert.deepEqual(issues, []);
  const port = [{ name: "http", number: 9080 }];
  const snapshot = mesh(
    [
      service("reviews", "10.96.0.1", port),
      ...workload("reviews", port, { ip: "10.0.0.1" }),
      ...workload("reviews", port, { ip: "10.2.0.1" }),
    ],
    `
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: istio-system}
spec: {type: LoadBalancer, ports: [{name: tls, port: 8443}]}
status: {loadBalancer: {ingress: [{ip: 192.0.2.5}]}}
`,
    { meshNetworks: networks },
  );
  assert.deepEqual(endpointsAs(snapshot, { network: "near" }), [
    "10.0.0.1:9080 2 istio",
    "192.0.2.4:443 1 istio",
    "192.0.2.5:8443 1 istio",
  ]);
});

test("gateways that have names are at the addresses that the names were resolved to", () => {
  const { networks, issues } = parseMeshNetworks(
    "networks: {far: {gateways: [{address: edge.example, port: 443}, {address: gone.example, port: 443}]}}",
  );
  assert.deepEqual(issues, []);
  const balancer = `
apiVersion: v1
kind: Service
metadata: {name: east-west, namespace: istio-system, labels: {topology.istio.io/network: far}}
spec: {type: LoadBalancer, ports: [{name: tls, port: 15443}]}
status: {loadBalancer: {ingress: [{hostname: lb.example}]}}
`;
  const nobodyResolves = reviews(balancer, { meshNetworks: networks });
  assert.deepEqual(nobodyResolves.networks.hostNames, ["edge.example", "gone.example", "lb.example"]);
  assert.equal(nobodyResolves.networks.isSplit, false);
  assert.deepEqual(nobodyResolves.networks.issues, []);
  const hostAddresses = new Map([
    ["edge.example", { addresses: ["192.0.2.10", "192.0.2.11"] }],
    ["gone.example", { addresses: [], failure: "getaddrinfo ENOTFOUND gone.example" }],
    ["lb.example", { addresses: ["192.0.2.12"], failure: "queryA ETIMEOUT lb.example" }],
  ]);
  const snapshot = reviews(balancer, { meshNetworks: networks }, { hostAddresses });
  assert.deepEqual(endpointsAs(snapshot, { network: "near" }).slice(2), [
    "192.0.2.10:443 1 istio",
    "192.0.2.11:443 1 istio",
    "192.0.2.12:15443 1 istio",
  ]);
  assert.deepEqual(snapshot.issues.map(formatIssue), [
    "ConfigMap istio-system/istio warning OUT0022 the gateway gone.example of network far has no address, so that " +
      "nothing goes through it: getaddrinfo ENOTFOUND gone.example",
  ]);
});

test("meshNetworks that are wrong are reported, and cost what is wrong", () => {
  const read = (yaml: string) => {
    const { networks, issues } = parseMeshNetworks(yaml);
    return [networks.map(({ name }) => name), issues.map(({ path, message }) => `${path ?? ""} ${message}`)];
  };
  assert.deepEqual(read("networks: {}"), [[], []]);
  assert.deepEqual(read(""), [[], []]);
  assert.deepEqual(
    read("networks: {a: {endpoints: [{}, {fromCidr: x}], gateways: [{address: 1.2.3.4}, {address: b_x/, port: 1}]}}"),
    [
      ["a"],
      [
        "networks.a.endpoints[0] exactly one of fromCidr and fromRegistry is needed",
        'networks.a.endpoints[1].fromCidr "x" is no CIDR block',
        "networks.a.gateways[0].port 0 is not between 1 and 65535",
        'networks.a.gateways[1].address "b_x/" is neither an IP address nor a host name',
      ],
    ],
  );
  assert.match(String(read("networks: [")[1]), /not valid YAML/);
  assert.match(String(read("[a]")[1]), /needs the field networks/);
});
