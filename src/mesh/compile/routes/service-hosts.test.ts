// The plan for a namespace is made of the one for none: here against the plan that is worked out by itself.
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadEnvoyTypes } from "../../objects/envoy-types.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import { buildSnapshot } from "../../snapshot/build.ts";
import { fromYaml, service, sidecarOf } from "../testing/mesh.ts";
import { planHosts, serviceHosts } from "./service-hosts.ts";

await loadEnvoyTypes();

const http = [{ name: "http", number: 80 }];
const mesh: readonly KubernetesObject[] = [
  service("a", "10.96.0.1", http),
  service("b", "10.96.0.2", http),
  service("a", "10.96.0.3", http, { namespace: "shop" }),
  service("headless", "None", http, { namespace: "shop" }),
  ...fromYaml(`
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: shop}
spec: {type: ExternalName, externalName: b.default.svc.cluster.local}
`),
];
const entry = (host: string): KubernetesObject[] =>
  fromYaml(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: entry}
spec: {hosts: ["${host}"], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
`);

const meshes: readonly (readonly [string, readonly KubernetesObject[]])[] = [
  ["services of two namespaces, and an alias", mesh],
  ["a short name that is somebody's full name", [...mesh, ...entry("a")]],
  ["a short name of another namespace that is somebody's full name", [...mesh, ...entry("a.shop")]],
  ["two services with one address", [...mesh, service("twin", "10.96.0.1", http)]],
  ["a host that differs in case", [...mesh, ...entry("B")]],
];

for (const [what, objects] of meshes) {
  test(`seen from any namespace hosts and domains are those of a plan of its own: ${what}`, () => {
    const snapshot = buildSnapshot(objects.map((object) => ({ object })));
    for (const namespace of ["default", "shop", "elsewhere"]) {
      const proxy = sidecarOf("client", "10.0.0.1", { namespace });
      const { services } = snapshot.scope(proxy);
      const [made, expected] = [serviceHosts(services, 80, proxy), planHosts(services, 80, proxy)];
      const told = ({ hosts }: typeof made): unknown => hosts.map(({ name, domains }) => [name, domains]);
      assert.deepEqual(told(made), told(expected), namespace);
      for (const { domains } of expected.hosts) {
        for (const domain of domains) assert.ok(made.domains.has(domain.toLowerCase()), `${domain} from ${namespace}`);
      }
      assert.equal(made.domains.has("nobody"), false);
    }
  });
}

test("namespaces that see the same have one list, and hosts of others in common", () => {
  const snapshot = buildSnapshot(mesh.map((object) => ({ object })));
  const [near, far] = ["default", "elsewhere"].map((namespace) => {
    const proxy = sidecarOf("client", "10.0.0.1", { namespace });
    const { services } = snapshot.scope(proxy);
    return { services, hosts: serviceHosts(services, 80, proxy).hosts };
  });
  assert.equal(near?.services, far?.services);
  const common = near?.hosts.filter((host) => far?.hosts.includes(host)).map(({ name }) => name);
  assert.deepEqual(common, ["a.shop.svc.cluster.local:80", "headless.shop.svc.cluster.local:80"]);
});
