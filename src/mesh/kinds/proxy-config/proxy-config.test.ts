import assert from "node:assert/strict";
import { test } from "node:test";
import { injectPod } from "../../inject/inject-pod.ts";
import type { Pod } from "../../inject/pod.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { meshFromYaml } from "../../snapshot/testing/mesh-from-yaml.ts";

interface Written {
  readonly name: string;
  readonly namespace?: string;
  readonly created?: string;
  readonly spec: string;
}

const proxyConfig = ({ name, namespace = "default", created = "2026-01-01", spec }: Written) => `
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: ${name}, namespace: ${namespace}, creationTimestamp: "${created}T00:00:00Z"}
spec: ${spec}
`;

/** What the proxy of an injected pod is told. */
function proxyOf(snapshot: MeshSnapshot, annotation: string): { config: unknown; env: string; image: string } {
  const pod: Pod = {
    metadata: { name: "web", labels: { app: "web" }, annotations: { "proxy.istio.io/config": annotation } },
    spec: { containers: [{ name: "web", image: "web" }] },
  };
  const context = {
    meshConfig: { defaultConfig: { concurrency: 9, proxyMetadata: { LEVEL: "mesh", MESH: "on" } } },
    proxyConfigs: snapshot.proxyConfig,
  };
  const result = injectPod({ pod, namespace: "default", context });
  const containers =
    "pod" in result ? [...(result.pod.spec.initContainers ?? []), ...(result.pod.spec.containers ?? [])] : [];
  const proxy = containers.find(({ name }) => name === "istio-proxy") ?? assert.fail("not injected");
  const value = (name: string) => proxy.env?.find((variable) => variable.name === name)?.value ?? "";
  return { config: JSON.parse(value("PROXY_CONFIG")), env: value("LEVEL"), image: String(proxy["image"]) };
}

const workload = {
  name: "workload",
  spec: "{selector: {matchLabels: {app: web}}, concurrency: 1, environmentVariables: {LEVEL: workload}}",
};
const own = {
  name: "own",
  spec: "{concurrency: 2, environmentVariables: {LEVEL: namespace, OWN: mine}, image: {imageType: distroless}}",
};
const root = {
  name: "root",
  namespace: "istio-system",
  spec: "{concurrency: 3, environmentVariables: {LEVEL: root, ROOT: its}}",
};
const other = { name: "other", created: "2025-01-01", spec: "{selector: {matchLabels: {app: other}}, concurrency: 7}" };
const annotation = "{concurrency: 5, proxyMetadata: {LEVEL: annotation}}";

const levels: readonly [what: string, written: Written[], annotation: string, concurrency: number, level: string][] = [
  ["the mesh's default", [], "", 9, "mesh"],
  ["the root namespace's over the mesh's", [root], "", 3, "root"],
  ["the namespace's over the root namespace's", [root, own], "", 2, "namespace"],
  ["the annotation over the namespace's", [root, own], annotation, 5, "annotation"],
  ["the workload's over the annotation", [root, own, workload], annotation, 1, "workload"],
  ["one for other workloads is not for this one", [other], "", 9, "mesh"],
];
for (const [what, written, text, concurrency, level] of levels) {
  test(`proxy settings: ${what}`, () => {
    const { config, env } = proxyOf(meshFromYaml(written.map(proxyConfig).join("---")), text);
    assert.equal((config as { concurrency: number }).concurrency, concurrency);
    assert.equal(env, level);
  });
}

test("environment variables of all levels come together, and the image is of the type that is asked for", () => {
  const { config, image } = proxyOf(meshFromYaml([root, own, workload].map(proxyConfig).join("---")), annotation);
  assert.deepEqual((config as { proxyMetadata: unknown }).proxyMetadata, {
    LEVEL: "workload",
    MESH: "on",
    ROOT: "its",
    OWN: "mine",
  });
  assert.match(image, /-distroless$/);
});

test("of two for one namespace the older one counts, and the other is said to be shadowed", () => {
  const younger = { name: "younger", created: "2026-02-01", spec: "{concurrency: 8}" };
  const snapshot = meshFromYaml([younger, own].map(proxyConfig).join("---"));
  assert.equal((proxyOf(snapshot, "").config as { concurrency: number }).concurrency, 2);
  const state = snapshot.resourceStates().find(({ origin }) => origin.name === "younger");
  assert.equal(state?.state, "shadowed");
});
