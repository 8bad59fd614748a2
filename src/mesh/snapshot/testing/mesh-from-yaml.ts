// For tests: a snapshot from YAML text, and proxies to ask for.
import { parseYamlDocuments } from "../../objects/yaml.ts";
import { type BuiltSnapshot, buildSnapshot, type SnapshotOptions } from "../build.ts";
import { type ProxyNode, parseProxyNode } from "../proxy-node.ts";
import type { SourceObject } from "../read-object.ts";

export function meshFromYaml(yaml: string, options: SnapshotOptions = {}, previous?: BuiltSnapshot): BuiltSnapshot {
  return buildSnapshot(sourcesFromYaml(yaml), options, previous);
}

export function sourcesFromYaml(yaml: string): SourceObject[] {
  const { objects, issues } = parseYamlDocuments("mesh.yaml", yaml);
  if (issues.length > 0) throw new Error(JSON.stringify(issues));
  return objects.map((item) => ({
    object: { ...item.object, metadata: { namespace: "default", ...item.object.metadata } },
    position: (path: string) => item.position(path),
  }));
}

export interface ProxyWish {
  readonly type?: "sidecar" | "router";
  readonly name?: string;
  readonly namespace?: string;
  readonly ip?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export function proxy(wish: ProxyWish = {}): ProxyNode {
  const { type = "sidecar", name = "client-1", namespace = "default", ip = "10.244.0.99", labels = {} } = wish;
  const node = parseProxyNode({
    id: `${type}~${ip}~${name}.${namespace}~${namespace}.svc.cluster.local`,
    metadata: { NAME: name, NAMESPACE: namespace, LABELS: { ...labels }, SERVICE_ACCOUNT: "default" },
  });
  if (typeof node === "string") throw new Error(node);
  return node;
}
