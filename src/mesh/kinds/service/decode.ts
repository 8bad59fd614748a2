// Reads a Kubernetes Service. The API server has validated it; fields the mesh does not read are passed over.
import {
  count,
  type Decoder,
  decodeSpec,
  flag,
  lenientRecord,
  list,
  stringMap,
  strings,
  text,
  withDefault,
} from "../../objects/decode.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import { child } from "../../objects/path.ts";
import type { Report } from "../../objects/report.ts";
import type { ServicePortSpec, ServiceSpec } from "./spec.ts";

const targetPort: Decoder<number | string> = (value) =>
  typeof value === "number" || typeof value === "string" ? value : undefined;

const port = lenientRecord<ServicePortSpec>({
  name: text,
  port: count,
  protocol: withDefault(text.decode, "TCP"),
  targetPort: withDefault(targetPort, 0),
  nodePort: count,
  appProtocol: text,
});

const spec = lenientRecord<Omit<ServiceSpec, "ingressIPs" | "ingressHostnames">>({
  type: withDefault(text.decode, "ClusterIP"),
  clusterIP: text,
  clusterIPs: strings,
  externalName: text,
  externalIPs: strings,
  ports: list((value, path, report) => {
    const decoded = port(value, path, report);
    if (decoded === undefined) return undefined;
    const target = decoded.targetPort;
    return target === 0 || target === "" ? { ...decoded, targetPort: decoded.port } : decoded;
  }),
  selector: stringMap,
  publishNotReadyAddresses: flag,
  internalTrafficPolicy: text,
  trafficDistribution: text,
});

export function decodeService(object: KubernetesObject, report: Report): ServiceSpec | undefined {
  const decoded = decodeSpec(object, spec, report);
  return decoded && { ...decoded, ...ingress(object["status"], report) };
}

const balanced = lenientRecord<{ readonly loadBalancer: { readonly ingress: readonly IngressPoint[] } }>({
  loadBalancer: withDefault(
    lenientRecord<{ readonly ingress: readonly IngressPoint[] }>({
      ingress: list(lenientRecord<IngressPoint>({ ip: text, hostname: text })),
    }),
    { ingress: [] },
  ),
});

interface IngressPoint {
  readonly ip: string;
  readonly hostname: string;
}

function ingress(status: unknown, report: Report): Pick<ServiceSpec, "ingressIPs" | "ingressHostnames"> {
  const points = balanced(status ?? {}, child(undefined, "status"), report)?.loadBalancer.ingress ?? [];
  return {
    ingressIPs: points.flatMap(({ ip }) => (ip === "" ? [] : [ip])),
    ingressHostnames: points.flatMap(({ ip, hostname }) => (ip === "" && hostname !== "" ? [hostname] : [])),
  };
}
