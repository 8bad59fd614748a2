// Reads a Kubernetes EndpointSlice. Its fields stand at the top level of the object.
import { boolean, count, lenientRecord, list, optional, strings, text, withDefault } from "../../objects/decode.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import { type EndpointSliceSpec, type SliceEndpoint, serviceNameLabel } from "./spec.ts";

interface RawEndpoint {
  readonly addresses: readonly string[];
  readonly conditions: { readonly ready?: boolean; readonly serving?: boolean; readonly terminating?: boolean };
  readonly targetRef?: { readonly kind: string; readonly namespace: string; readonly name: string };
  readonly nodeName: string;
  readonly zone: string;
  readonly hostname: string;
}

interface RawSlice {
  readonly addressType: string;
  readonly endpoints: readonly RawEndpoint[];
  readonly ports: EndpointSliceSpec["ports"];
}

const raw = lenientRecord<RawSlice>({
  addressType: withDefault(text.decode, "IPv4"),
  endpoints: list(
    lenientRecord<RawEndpoint>({
      addresses: strings,
      conditions: withDefault(
        lenientRecord<RawEndpoint["conditions"]>({
          ready: optional(boolean),
          serving: optional(boolean),
          terminating: optional(boolean),
        }),
        {},
      ),
      targetRef: optional(lenientRecord({ kind: text, namespace: text, name: text })),
      nodeName: text,
      zone: text,
      hostname: text,
    }),
  ),
  ports: list(lenientRecord({ name: text, port: count, protocol: withDefault(text.decode, "TCP") })),
});

export function decodeEndpointSlice(object: KubernetesObject, report: Report): EndpointSliceSpec | undefined {
  const slice = raw(object, undefined, report);
  if (slice === undefined) return undefined;
  return {
    serviceName: object.metadata.labels?.[serviceNameLabel] ?? "",
    addressType: slice.addressType,
    endpoints: slice.endpoints.map(toEndpoint),
    ports: slice.ports,
  };
}

function toEndpoint(endpoint: RawEndpoint): SliceEndpoint {
  const ready = endpoint.conditions.ready ?? true;
  return {
    addresses: endpoint.addresses,
    ready,
    serving: endpoint.conditions.serving ?? ready,
    terminating: endpoint.conditions.terminating ?? false,
    ...(endpoint.targetRef !== undefined && { targetRef: endpoint.targetRef }),
    nodeName: endpoint.nodeName,
    zone: endpoint.zone,
    hostname: endpoint.hostname,
  };
}
