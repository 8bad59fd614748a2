// Which columns the tables have, as Kubernetes prints them and as Istio's CRDs define them.

import type { CatalogEntry } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt } from "../../store/json.ts";
import { formatResource } from "../../store/resources.ts";

export interface Column {
  readonly name: string;
  readonly type?: "string" | "integer";
  /** 1 shows only with `-o wide`. */
  readonly priority?: number;
  readonly cell: (object: KubernetesObject, nowMs: number) => unknown;
}

const nameColumn: Column = { name: "Name", cell: (object) => object.metadata.name };
const ageColumn: Column = { name: "Age", cell: (object, nowMs) => age(object.metadata.creationTimestamp, nowMs) };

const field =
  (...path: readonly string[]) =>
  (object: KubernetesObject): unknown => {
    const value = fieldAt(object, ...path);
    return typeof value === "object" && value !== null ? JSON.stringify(value) : (value ?? "");
  };

const count =
  (...path: readonly string[]) =>
  (object: KubernetesObject): number => {
    const value = fieldAt(object, ...path);
    if (typeof value === "number") return value;
    return Array.isArray(value) ? value.length : Object.keys(asRecord(value)).length;
  };

const columnsByResource: Readonly<Record<string, readonly Column[]>> = {
  pods: [
    { name: "Ready", cell: podReady },
    { name: "Status", cell: podStatus },
    { name: "Restarts", type: "integer", cell: podRestarts },
    { name: "IP", priority: 1, cell: field("status", "podIP") },
    { name: "Node", priority: 1, cell: field("spec", "nodeName") },
  ],
  services: [
    { name: "Type", cell: field("spec", "type") },
    { name: "Cluster-IP", cell: field("spec", "clusterIP") },
    { name: "External-IP", cell: (object) => field("spec", "externalName")(object) || "<none>" },
    { name: "Port(s)", cell: servicePorts },
  ],
  namespaces: [{ name: "Status", cell: field("status", "phase") }],
  nodes: [{ name: "Version", cell: field("status", "nodeInfo", "kubeletVersion") }],
  configmaps: [{ name: "Data", type: "integer", cell: count("data") }],
  secrets: [
    { name: "Type", cell: field("type") },
    { name: "Data", type: "integer", cell: count("data") },
  ],
  serviceaccounts: [{ name: "Secrets", type: "integer", cell: count("secrets") }],
  events: [
    { name: "Type", cell: field("type") },
    { name: "Reason", cell: field("reason") },
    {
      name: "Object",
      cell: (object) =>
        `${String(fieldAt(object, "involvedObject", "kind")).toLowerCase()}/${String(fieldAt(object, "involvedObject", "name"))}`,
    },
    { name: "Message", cell: field("message") },
  ],
  "certificatesigningrequests.certificates.k8s.io": [
    { name: "SignerName", cell: field("spec", "signerName") },
    { name: "Requestor", cell: field("spec", "username") },
    { name: "Condition", cell: requestCondition },
  ],
  "clustertrustbundles.certificates.k8s.io": [{ name: "SignerName", cell: field("spec", "signerName") }],
  "deployments.apps": [
    {
      name: "Ready",
      cell: (object) => `${count("status", "readyReplicas")(object)}/${count("spec", "replicas")(object)}`,
    },
    { name: "Up-to-date", type: "integer", cell: count("status", "updatedReplicas") },
    { name: "Available", type: "integer", cell: count("status", "availableReplicas") },
  ],
  "replicasets.apps": [
    { name: "Desired", type: "integer", cell: count("spec", "replicas") },
    { name: "Current", type: "integer", cell: count("status", "replicas") },
    { name: "Ready", type: "integer", cell: count("status", "readyReplicas") },
  ],
  "statefulsets.apps": [
    {
      name: "Ready",
      cell: (object) => `${count("status", "readyReplicas")(object)}/${count("spec", "replicas")(object)}`,
    },
  ],
  "daemonsets.apps": [
    { name: "Desired", type: "integer", cell: count("status", "desiredNumberScheduled") },
    { name: "Current", type: "integer", cell: count("status", "currentNumberScheduled") },
    { name: "Ready", type: "integer", cell: count("status", "numberReady") },
    { name: "Up-to-date", type: "integer", cell: count("status", "updatedNumberScheduled") },
    { name: "Available", type: "integer", cell: count("status", "numberAvailable") },
  ],
  "jobs.batch": [
    { name: "Status", cell: jobStatus },
    { name: "Completions", cell: jobCompletions },
  ],
  "endpointslices.discovery.k8s.io": [
    { name: "AddressType", cell: field("addressType") },
    {
      name: "Ports",
      cell: (object) =>
        asArray(object["ports"])
          .map((port) => asRecord(port)["port"])
          .join(","),
    },
    {
      name: "Endpoints",
      cell: (object) =>
        asArray(object["endpoints"])
          .flatMap((endpoint) => asArray(asRecord(endpoint)["addresses"]))
          .join(","),
    },
  ],
  "virtualservices.networking.istio.io": [
    { name: "Gateways", cell: field("spec", "gateways") },
    { name: "Hosts", cell: field("spec", "hosts") },
  ],
  "destinationrules.networking.istio.io": [{ name: "Host", cell: field("spec", "host") }],
  "serviceentries.networking.istio.io": [
    { name: "Hosts", cell: field("spec", "hosts") },
    { name: "Location", cell: field("spec", "location") },
    { name: "Resolution", cell: field("spec", "resolution") },
  ],
  "workloadentries.networking.istio.io": [{ name: "Address", cell: field("spec", "address") }],
  "peerauthentications.security.istio.io": [{ name: "Mode", cell: field("spec", "mtls", "mode") }],
  "authorizationpolicies.security.istio.io": [{ name: "Action", cell: field("spec", "action") }],
};

export function columnsOf(entry: CatalogEntry): readonly Column[] {
  const all = [nameColumn, ...(columnsByResource[formatResource(entry)] ?? []), ageColumn];
  return [...all.filter((column) => column.priority !== 1), ...all.filter((column) => column.priority === 1)];
}

/** As kubectl writes ages: two units at most. */
function age(timestamp: string | undefined, nowMs: number): string {
  if (timestamp === undefined) return "<unknown>";
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(timestamp)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  return hours < 48 ? `${hours}h` : `${Math.floor(hours / 24)}d`;
}

function podReady(pod: KubernetesObject): string {
  const statuses = runningStatuses(pod);
  const ready = statuses.filter((status) => asRecord(status)["ready"] === true).length;
  const sidecars = asArray(fieldAt(pod, "spec", "initContainers")).filter(
    (container) => asRecord(container)["restartPolicy"] === "Always",
  ).length;
  return `${ready}/${count("spec", "containers")(pod) + sidecars}`;
}

function podStatus(pod: KubernetesObject): string {
  if (pod.metadata.deletionTimestamp !== undefined) return "Terminating";
  const initial = asArray(fieldAt(pod, "status", "initContainerStatuses"));
  for (const status of [...initial, ...asArray(fieldAt(pod, "status", "containerStatuses"))]) {
    const waiting = fieldAt(status, "state", "waiting", "reason");
    const terminated = fieldAt(status, "state", "terminated", "reason");
    if (typeof waiting === "string" && waiting !== "PodInitializing") return waiting;
    if (typeof terminated === "string" && terminated !== "Completed") return terminated;
  }
  return String(fieldAt(pod, "status", "reason") ?? fieldAt(pod, "status", "phase") ?? "Unknown");
}

function podRestarts(pod: KubernetesObject): number {
  return runningStatuses(pod).reduce<number>((sum, status) => sum + Number(asRecord(status)["restartCount"] ?? 0), 0);
}

/** Of containers that keep running: init containers only when they are sidecars. */
function runningStatuses(pod: KubernetesObject): readonly unknown[] {
  const sidecars = asArray(fieldAt(pod, "spec", "initContainers"))
    .filter((container) => asRecord(container)["restartPolicy"] === "Always")
    .map((container) => asRecord(container)["name"]);
  const initial = asArray(fieldAt(pod, "status", "initContainerStatuses"));
  return [
    ...initial.filter((status) => sidecars.includes(asRecord(status)["name"])),
    ...asArray(fieldAt(pod, "status", "containerStatuses")),
  ];
}

function servicePorts(service: KubernetesObject): string {
  return asArray(fieldAt(service, "spec", "ports"))
    .map(asRecord)
    .map(
      (port) =>
        `${String(port["port"])}${port["nodePort"] === undefined ? "" : `:${String(port["nodePort"])}`}/${String(port["protocol"])}`,
    )
    .join(",");
}

/** As kubectl: `Approved,Issued`, or `Pending`. */
function requestCondition(object: KubernetesObject): string {
  const conditions = asArray(fieldAt(object, "status", "conditions")).map((condition) => fieldAt(condition, "type"));
  const isIssued = fieldAt(object, "status", "certificate") !== undefined;
  if (conditions.length === 0) return "Pending";
  return [...conditions, ...(isIssued ? ["Issued"] : [])].join(",");
}

function jobStatus(object: KubernetesObject): string {
  const conditions = asArray(fieldAt(object, "status", "conditions")).map(asRecord);
  const holds = (type: string): boolean =>
    conditions.some((item) => item["type"] === type && item["status"] === "True");
  return ["Complete", "Failed", "Suspended"].find(holds) ?? "Running";
}

function jobCompletions(object: KubernetesObject): string {
  const wanted = fieldAt(object, "spec", "completions");
  return `${count("status", "succeeded")(object)}/${typeof wanted === "number" ? wanted : `1 of ${count("spec", "parallelism")(object)}`}`;
}
