// The WorkloadEntry of a workload that registers itself: its name, what it is made of, and the annotations by which the
// replicas of the control plane know who holds its proxy. As istiod writes it, so that either can take over.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";

export const annotation = {
  group: "istio.io/autoRegistrationGroup",
  controller: "istio.io/workloadController",
  connectedAt: "istio.io/connectedAt",
  disconnectedAt: "istio.io/disconnectedAt",
  hasHealthChecks: "proxy.istio.io/health-checks-enabled",
} as const;

/** The group that the proxy wants to be registered by; empty: it does not. */
export function groupOf({ metadata }: ProxyNode): string {
  return text(metadata["AUTO_REGISTER_GROUP"]);
}

/** Of the entry that the proxy stands for, its own or one that is there; empty: it stands for none. */
export function entryNameOf(node: ProxyNode): string {
  const group = groupOf(node);
  if (group === "") return text(node.metadata["WORKLOAD_ENTRY"]);
  const address = (node.ipAddresses[0] ?? "").replaceAll(":", "-");
  const name = [group, address, ...(node.network === "" ? [] : [node.network])].join("-");
  // The end tells workloads apart.
  return name.slice(-longestName);
}

const longestName = 253;

/** Labels: the proxy's own over those of the group's metadata over those of its template. */
export function entryFromGroup(node: ProxyNode, group: KubernetesObject): KubernetesObject {
  const spec = record(group["spec"]);
  const template = record(spec["template"]);
  const metadata = record(spec["metadata"]);
  const labels = { ...record(template["labels"]), ...record(metadata["labels"]), ...node.labels };
  const { region, zone, subzone } = node.locality;
  const locality = [region, zone, subzone].filter((part) => part !== "").join("/");
  const hasProbe = record(node.metadata["PROXY_CONFIG"])["readinessProbe"] !== undefined;
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "WorkloadEntry",
    metadata: {
      name: entryNameOf(node),
      namespace: node.namespace,
      labels: labels as Record<string, string>,
      annotations: {
        [annotation.group]: group.metadata.name,
        ...(record(metadata["annotations"]) as Record<string, string>),
        ...(hasProbe && { [annotation.hasHealthChecks]: "true" }),
      },
      ownerReferences: [
        {
          apiVersion: group.apiVersion,
          kind: group.kind,
          name: group.metadata.name,
          uid: group.metadata.uid ?? "",
          controller: true,
        },
      ],
    },
    spec: {
      ...template,
      address: node.ipAddresses[0],
      labels,
      ...(node.network !== "" && { network: node.network }),
      ...(locality !== "" && { locality }),
    },
  };
}

export function withAnnotations(
  object: KubernetesObject,
  changes: Readonly<Record<string, string | undefined>>,
): KubernetesObject {
  const annotations = Object.entries({ ...object.metadata.annotations, ...changes }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  return { ...object, metadata: { ...object.metadata, annotations: Object.fromEntries(annotations) } };
}

/** Milliseconds since 1970; 0 without the annotation. */
export function timeOf({ metadata }: KubernetesObject, name: string): number {
  return Date.parse(metadata.annotations?.[name] ?? "") || 0;
}

export interface Patience {
  /** After a disconnect. */
  readonly graceMs: number;
  /** After a connect of which nobody has said the end; null: it may last for ever. */
  readonly connectionMs: number | null;
}

/** Whether an entry that was registered has outlived its workload. */
export function isAbandoned(entry: KubernetesObject, now: number, { graceMs, connectionMs }: Patience): boolean {
  if (!entry.metadata.annotations?.[annotation.group]) return false;
  const connectedAt = timeOf(entry, annotation.connectedAt);
  if (connectedAt > 0) return connectionMs !== null && now - connectedAt > connectionMs;
  const disconnectedAt = timeOf(entry, annotation.disconnectedAt);
  return disconnectedAt > 0 && now - disconnectedAt >= graceMs;
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
