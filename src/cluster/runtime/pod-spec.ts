// The fields of a Pod that the node acts on. Admission has defaulted and validated them, so they are read as they are;
// what the node does not support is found here and refused in words.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../store/json.ts";

export interface PodSpec {
  readonly containers: readonly ContainerSpec[];
  readonly initContainers?: readonly ContainerSpec[];
  readonly volumes?: readonly VolumeSpec[];
  readonly restartPolicy?: RestartPolicy;
  readonly serviceAccountName?: string;
  readonly nodeName?: string;
  readonly hostname?: string;
  readonly subdomain?: string;
  readonly hostNetwork?: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly enableServiceLinks?: boolean;
  readonly dnsPolicy?: string;
  readonly dnsConfig?: DnsConfig;
  readonly hostAliases?: readonly { readonly ip: string; readonly hostnames?: readonly string[] }[];
  readonly securityContext?: PodSecurityContext;
}

export type RestartPolicy = "Always" | "OnFailure" | "Never";

interface DnsConfig {
  readonly nameservers?: readonly string[];
  readonly searches?: readonly string[];
  readonly options?: readonly { readonly name: string; readonly value?: string }[];
}

export interface PodSecurityContext {
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly runAsNonRoot?: boolean;
  readonly fsGroup?: number;
  readonly supplementalGroups?: readonly number[];
  readonly sysctls?: readonly { readonly name: string; readonly value: string }[];
}

export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly workingDir?: string;
  readonly env?: readonly EnvVariable[];
  readonly envFrom?: readonly EnvSource[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: string }[];
  readonly volumeMounts?: readonly VolumeMount[];
  readonly resources?: { readonly limits?: JsonRecord; readonly requests?: JsonRecord };
  readonly securityContext?: ContainerSecurityContext;
  readonly restartPolicy?: RestartPolicy;
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly startupProbe?: Probe;
  readonly lifecycle?: { readonly postStart?: Handler; readonly preStop?: Handler };
}

interface ContainerSecurityContext {
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly runAsNonRoot?: boolean;
  readonly privileged?: boolean;
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
}

export interface EnvVariable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string };
    readonly resourceFieldRef?: ResourceFieldRef;
    readonly configMapKeyRef?: KeyRef;
    readonly secretKeyRef?: KeyRef;
  };
}

export interface ResourceFieldRef {
  readonly containerName?: string;
  readonly resource: string;
  readonly divisor?: string | number;
}

export interface KeyRef {
  readonly name: string;
  readonly key: string;
  readonly optional?: boolean;
}

interface EnvSource {
  readonly prefix?: string;
  readonly configMapRef?: { readonly name: string; readonly optional?: boolean };
  readonly secretRef?: { readonly name: string; readonly optional?: boolean };
}

export interface VolumeMount {
  readonly name: string;
  readonly mountPath: string;
  readonly subPath?: string;
  readonly subPathExpr?: string;
  readonly readOnly?: boolean;
}

export interface VolumeSpec {
  readonly name: string;
  readonly emptyDir?: { readonly medium?: string; readonly sizeLimit?: string };
  readonly configMap?: KeyedSource & { readonly name?: string; readonly defaultMode?: number };
  readonly secret?: KeyedSource & { readonly secretName?: string; readonly defaultMode?: number };
  readonly downwardAPI?: { readonly items?: readonly DownwardItem[]; readonly defaultMode?: number };
  readonly projected?: { readonly sources?: readonly ProjectedSource[]; readonly defaultMode?: number };
}

export interface KeyedSource {
  readonly items?: readonly { readonly key: string; readonly path: string; readonly mode?: number }[];
  readonly optional?: boolean;
}

export interface DownwardItem {
  readonly path: string;
  readonly mode?: number;
  readonly fieldRef?: { readonly fieldPath: string };
  readonly resourceFieldRef?: ResourceFieldRef;
}

export interface ProjectedSource {
  readonly configMap?: KeyedSource & { readonly name?: string };
  readonly secret?: KeyedSource & { readonly name?: string };
  readonly downwardAPI?: { readonly items?: readonly DownwardItem[] };
  readonly clusterTrustBundle?: {
    readonly path: string;
    /** One bundle; or all of a signer that the selector fits. */
    readonly name?: string;
    readonly signerName?: string;
    readonly labelSelector?: JsonRecord;
    readonly optional?: boolean;
  };
  readonly serviceAccountToken?: {
    readonly path: string;
    readonly audience?: string;
    readonly expirationSeconds?: number;
  };
}

export interface HttpGet {
  readonly path?: string;
  readonly port: number | string;
  readonly host?: string;
  readonly scheme?: string;
  readonly httpHeaders?: readonly { readonly name: string; readonly value: string }[];
}

export interface Handler {
  readonly httpGet?: HttpGet;
  readonly tcpSocket?: { readonly port: number | string; readonly host?: string };
  readonly grpc?: { readonly port: number };
  readonly exec?: { readonly command?: readonly string[] };
  readonly sleep?: { readonly seconds: number };
}

export interface Probe extends Handler {
  readonly initialDelaySeconds?: number;
  readonly periodSeconds?: number;
  readonly timeoutSeconds?: number;
  readonly successThreshold?: number;
  readonly failureThreshold?: number;
}

export function podSpec(pod: KubernetesObject): PodSpec {
  return pod["spec"] as PodSpec; // what is in the store has passed admission's validation
}

/** Native sidecars: init containers that keep running. */
export function isSidecar(container: ContainerSpec): boolean {
  return container.restartPolicy === "Always";
}

const volumeKinds = ["emptyDir", "configMap", "secret", "downwardAPI", "projected"];

/** Why this node cannot run the pod at all, or undefined. */
export function findUnsupported(pod: KubernetesObject): string | undefined {
  const spec = podSpec(pod);
  if (spec.hostNetwork === true) return "hostNetwork is not supported: every pod has its own network namespace";
  for (const volume of asArray(spec.volumes).map(asRecord)) {
    const kinds = Object.keys(volume).filter((key) => key !== "name");
    const kind = kinds[0] ?? "emptyDir";
    if (!volumeKinds.includes(kind)) {
      return `volume ${String(volume["name"])}: ${kind} is not supported; there are ${volumeKinds.join(", ")}`;
    }
  }
  const privileged = [...(spec.initContainers ?? []), ...spec.containers].find(
    (container) => container.securityContext?.privileged === true,
  );
  return privileged === undefined ? undefined : `container ${privileged.name}: privileged containers are not supported`;
}

/** Whether the pod's volumes or environment read the ConfigMap or Secret, so that a change matters to it. */
export function refersTo(pod: KubernetesObject, kind: "configMap" | "secret", name: string): boolean {
  const spec = podSpec(pod);
  return (spec.volumes ?? []).some((volume) => {
    const direct = kind === "configMap" ? volume.configMap?.name : volume.secret?.secretName;
    return direct === name || (volume.projected?.sources ?? []).some((source) => source[kind]?.name === name);
  });
}

/** Whether one of the pod's volumes shows ClusterTrustBundles. */
export function showsTrustBundles(pod: KubernetesObject): boolean {
  return (podSpec(pod).volumes ?? []).some(({ projected }) =>
    (projected?.sources ?? []).some(({ clusterTrustBundle }) => clusterTrustBundle !== undefined),
  );
}

/** The number behind a port that may be given by name. */
export function portNumber(container: ContainerSpec, port: number | string): number | undefined {
  const number = Number(port);
  if (Number.isInteger(number)) return number;
  return container.ports?.find((candidate) => candidate.name === port)?.containerPort;
}

export function hostnameOf(pod: KubernetesObject): string {
  const hostname = fieldAt(pod, "spec", "hostname");
  return (typeof hostname === "string" && hostname !== "" ? hostname : pod.metadata.name).slice(0, 63);
}
