// Reads a Kubernetes Pod: from its spec who it is, from its status where it is and whether it serves.

import { count, decodeSpec, flag, lenientRecord, list, text, withDefault } from "../../objects/decode.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import { child } from "../../objects/path.ts";
import type { Report } from "../../objects/report.ts";
import type { ContainerPort, PodSpec } from "./spec.ts";

interface Declared {
  readonly serviceAccountName: string;
  readonly nodeName: string;
  readonly hostname: string;
  readonly subdomain: string;
  readonly hostNetwork: boolean;
  readonly containers: PodSpec["containers"];
  readonly initContainers: readonly {
    readonly name: string;
    readonly restartPolicy: string;
    readonly ports: readonly ContainerPort[];
  }[];
}

interface Status {
  readonly phase: string;
  readonly podIP: string;
  readonly podIPs: readonly { readonly ip: string }[];
  readonly conditions: readonly { readonly type: string; readonly status: string }[];
}

const ports = list(
  lenientRecord<ContainerPort>({ name: text, containerPort: count, protocol: withDefault(text.decode, "TCP") }),
);

const declared = lenientRecord<Declared>({
  serviceAccountName: withDefault(text.decode, "default"),
  nodeName: text,
  hostname: text,
  subdomain: text,
  hostNetwork: flag,
  containers: list(lenientRecord({ name: text, ports })),
  initContainers: list(lenientRecord({ name: text, restartPolicy: text, ports })),
});

const status = lenientRecord<Status>({
  phase: text,
  podIP: text,
  podIPs: list(lenientRecord({ ip: text })),
  conditions: list(lenientRecord({ type: text, status: text })),
});

export function decodePod(object: KubernetesObject, report: Report): PodSpec | undefined {
  const spec = decodeSpec(object, declared, report);
  const seen = status(object["status"] ?? {}, child(undefined, "status"), report);
  if (spec === undefined || seen === undefined) return undefined;
  const addresses = seen.podIPs.map((item) => item.ip).filter((ip) => ip !== "");
  const sidecars = spec.initContainers.filter((container) => container.restartPolicy === "Always");
  return {
    serviceAccountName: spec.serviceAccountName,
    nodeName: spec.nodeName,
    hostname: spec.hostname,
    subdomain: spec.subdomain,
    hostNetwork: spec.hostNetwork,
    containers: [
      ...spec.containers,
      ...sidecars.map(({ name, ports: declaredPorts }) => ({ name, ports: declaredPorts })),
    ],
    phase: seen.phase,
    podIPs: addresses.length > 0 || seen.podIP === "" ? addresses : [seen.podIP],
    ready: seen.conditions.some((condition) => condition.type === "Ready" && condition.status === "True"),
    terminating: object.metadata.deletionTimestamp !== undefined,
  };
}
