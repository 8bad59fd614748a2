// The workloads behind endpoints: of pods and of workload entries.
import { localityLabels } from "../kinds/node/spec.ts";
import { canonicalName, canonicalRevision, tlsModeLabel, workloadNameOf } from "../kinds/pod/resolve.ts";
import type { PodSpec } from "../kinds/pod/spec.ts";
import type { Labels } from "../objects/fields/selector.ts";
import type { WorkloadAddress } from "../objects/fields/workload.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { type Locality, noLocality, parseLocality, type Workload } from "./endpoint.ts";
import type { Networks } from "./networks.ts";
import type { ObjectTable } from "./object-table.ts";

export interface WorkloadContext {
  readonly objects: ObjectTable;
  readonly trustDomain: string;
  readonly clusterId: string;
  readonly networks: Pick<Networks, "networkOf">;
}

export function workloadOfPod(pod: MeshObject<PodSpec>, context: WorkloadContext): Workload {
  const labels = pod.metadata.labels ?? {};
  const name = workloadNameOf(pod);
  return {
    name,
    namespace: pod.namespace,
    labels,
    serviceAccount: pod.spec.serviceAccountName,
    identity: spiffeId(context.trustDomain, pod.namespace, pod.spec.serviceAccountName),
    clusterId: context.clusterId,
    canonicalName: canonicalName(labels, name),
    canonicalRevision: canonicalRevision(labels),
    locality: podLocality(labels, pod.spec.nodeName, context.objects),
    tlsMode: tlsModeOf(labels),
    nodeName: pod.spec.nodeName,
    hostname: pod.spec.hostname,
  };
}

/** Of a WorkloadEntry, or of an endpoint that stands in a ServiceEntry. */
export function workloadOfAddress(
  entry: WorkloadAddress,
  owner: { readonly name: string; readonly namespace: string; readonly labels?: Labels },
  context: WorkloadContext,
): Workload {
  const labels = { ...owner.labels, ...entry.labels };
  return {
    name: owner.name,
    namespace: owner.namespace,
    labels,
    serviceAccount: entry.serviceAccount,
    identity: entry.serviceAccount === "" ? "" : spiffeId(context.trustDomain, owner.namespace, entry.serviceAccount),
    clusterId: context.clusterId,
    canonicalName: canonicalName(labels, owner.name),
    canonicalRevision: canonicalRevision(labels),
    locality: entry.locality === "" ? (labeledLocality(labels) ?? noLocality) : parseLocality(entry.locality),
    tlsMode: tlsModeOf(labels),
    nodeName: "",
    hostname: "",
  };
}

/** A workload of which only the address is known. */
export function unknownWorkload(
  namespace: string,
  nodeName: string,
  hostname: string,
  context: WorkloadContext,
): Workload {
  return {
    name: "",
    namespace,
    labels: {},
    serviceAccount: "",
    identity: "",
    clusterId: context.clusterId,
    canonicalName: "",
    canonicalRevision: "latest",
    locality: nodeLocality(nodeName, context.objects),
    tlsMode: "disabled",
    nodeName,
    hostname,
  };
}

function spiffeId(trustDomain: string, namespace: string, serviceAccount: string): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}

function tlsModeOf(labels: Labels): "istio" | "disabled" {
  return labels[tlsModeLabel] === "istio" ? "istio" : "disabled";
}

/** Its label says where a pod runs, else its node's labels do. */
export function podLocality(labels: Labels, nodeName: string, objects: ObjectTable): Locality {
  return labeledLocality(labels) ?? nodeLocality(nodeName, objects);
}

/** What a workload's labels say of its locality. */
export function labeledLocality(labels: Labels): Locality | undefined {
  const label = labels["topology.istio.io/locality"] ?? labels["istio-locality"];
  if (label === undefined || label === "") return undefined;
  return parseLocality(label, label.includes("/") ? "/" : ".");
}

function nodeLocality(nodeName: string, objects: ObjectTable): Locality {
  const labels = objects.find("Node", "", nodeName)?.metadata.labels;
  if (labels === undefined) return noLocality;
  return {
    region: labels[localityLabels.region] ?? "",
    zone: labels[localityLabels.zone] ?? "",
    subzone: labels[localityLabels.subzone] ?? "",
  };
}
