// What the fields of a Kubernetes Service mean to the mesh.
import { Protocol, parseProtocol } from "../../objects/fields/port.ts";
import type { ObjectMeta } from "../../objects/kubernetes-object.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import {
  exportToAnnotation,
  type ServicePortSpec,
  type ServiceSpec,
  type TrafficDistribution,
  trafficDistributionAnnotation,
} from "./spec.ts";

/** Ports whose protocols speak first, so that sniffing would wait for ever. */
const serverFirstPorts: ReadonlySet<number> = new Set([25, 53, 3306, 27017]);

const standardAppProtocols: ReadonlyMap<string, Protocol> = new Map<string, Protocol>([
  ["kubernetes.io/h2c", Protocol.Http2],
  ["kubernetes.io/ws", Protocol.Http],
  ["kubernetes.io/wss", Protocol.Https],
]);

/** The protocol of a port: appProtocol, else the name's prefix, else known ports, else unsupported (sniffed). */
export function portProtocol(port: Pick<ServicePortSpec, "name" | "port" | "protocol" | "appProtocol">): Protocol {
  if (port.protocol.toUpperCase() === "UDP") return Protocol.Udp;
  const standard = standardAppProtocols.get(port.appProtocol.toLowerCase());
  if (standard !== undefined) return standard;
  const declared = protocolOfName(port.appProtocol === "" ? port.name : port.appProtocol);
  if (declared !== Protocol.Unsupported) return declared;
  return serverFirstPorts.has(port.port) ? Protocol.Tcp : Protocol.Unsupported;
}

/** `http-web` → HTTP; `grpc-web` and `grpc-web-ui` → GRPC-Web. */
function protocolOfName(name: string): Protocol {
  const lower = name.toLowerCase();
  if (lower === "grpc-web" || lower.startsWith("grpc-web-")) return Protocol.GrpcWeb;
  const dash = lower.indexOf("-");
  return parseProtocol(dash === -1 ? lower : lower.slice(0, dash));
}

/** Reads the annotation `networking.istio.io/exportTo`; empty when it says nothing. */
export function annotatedExportTo(service: MeshObject<ServiceSpec>): string[] {
  const annotation = service.metadata.annotations?.[exportToAnnotation] ?? "";
  return annotation
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}

export function isHeadless(spec: ServiceSpec): boolean {
  return spec.clusterIP === "None" && spec.type !== "ExternalName";
}

/** What the field says, else the annotation in any case. PreferClose is the older name of PreferSameZone. */
export function trafficDistributionOf(field: string, metadata: ObjectMeta): TrafficDistribution {
  const said = field || (metadata.annotations?.[trafficDistributionAnnotation] ?? "");
  switch (said.toLowerCase()) {
    case "preferclose":
    case "prefersamezone":
      return "same-zone";
    case "prefersamenode":
      return "same-node";
    default:
      return "any";
  }
}
