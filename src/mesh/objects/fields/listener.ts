// A listener of a Gateway or of a ListenerSet (Gateway API): a port, for which hosts, and which routes may attach.
import {
  type Decoder,
  integer,
  list,
  oneOf,
  optional,
  record,
  string,
  stringMap,
  strings,
  text,
  withDefault,
} from "../decode.ts";
import type { Report } from "../report.ts";
import {
  decodeSecretReference,
  gatewayApiGroup,
  type ObjectReference,
  validateGatewayHostname,
  validateUniqueNames,
} from "./route-reference.ts";
import type { KubernetesSelector } from "./selector.ts";

export interface Listener {
  readonly name: string;
  /** Empty means every host. */
  readonly hostname: string;
  readonly port: number;
  /** HTTP, HTTPS, TLS, TCP; others are refused in the status. */
  readonly protocol: string;
  readonly tls?: ListenerTls;
  readonly allowedRoutes?: AllowedRoutes;
}

export interface ListenerTls {
  readonly mode: "Terminate" | "Passthrough";
  readonly certificateRefs: readonly ObjectReference[];
  readonly options: Readonly<Record<string, string>>;
}

interface AllowedRoutes {
  readonly namespaces?: RouteNamespaces;
  readonly kinds: readonly RouteKind[];
}

export interface RouteNamespaces {
  readonly from: "All" | "Selector" | "Same" | "None";
  readonly selector?: KubernetesSelector;
}

interface RouteKind {
  readonly group: string;
  readonly kind: string;
}

const selector = record<KubernetesSelector>({
  matchLabels: optional(stringMap.decode),
  matchExpressions: optional(
    list(
      record<NonNullable<KubernetesSelector["matchExpressions"]>[number]>({
        key: text,
        operator: text,
        values: optional(strings.decode),
      }),
    ).decode,
  ),
});

export const decodeRouteNamespaces = (absent: RouteNamespaces["from"]): Decoder<RouteNamespaces> =>
  record<RouteNamespaces>({
    from: withDefault(oneOf(["All", "Selector", "Same", "None"]), absent),
    selector: optional(selector),
  });

export const decodeListener: Decoder<Listener> = record<Listener>({
  name: text,
  hostname: text,
  port: withDefault(integer(1, 65535), 0),
  protocol: text,
  tls: optional(
    record<ListenerTls>({
      mode: withDefault(oneOf(["Terminate", "Passthrough"]), "Terminate"),
      certificateRefs: list(decodeSecretReference, 64),
      options: stringMap,
    }),
  ),
  allowedRoutes: optional(
    record<AllowedRoutes>({
      namespaces: optional(decodeRouteNamespaces("Same")),
      kinds: list(record<RouteKind>({ group: withDefault(string, gatewayApiGroup), kind: text }), 8),
    }),
  ),
});

/** At least one, told apart by name and by place. */
export function validateListeners(listeners: readonly Listener[], report: Report): void {
  if (listeners.length === 0) report({ path: "spec.listeners", message: "at least one listener is needed" });
  validateUniqueNames(listeners, "spec.listeners", report);
  const places = new Map<string, number>();
  for (const [index, listener] of listeners.entries()) {
    const path = `spec.listeners[${index}]`;
    validateListener(listener, path, report);
    const place = `${listener.port} ${listener.protocol} ${listener.hostname}`;
    const earlier = places.get(place);
    if (earlier === undefined) places.set(place, index);
    else {
      const name = listeners[earlier]?.name ?? "";
      report({ path, message: `port, protocol and hostname are those of the listener ${name}` });
    }
  }
}

function validateListener(listener: Listener, path: string, report: Report): void {
  const { name, hostname, port, protocol, tls, allowedRoutes } = listener;
  if (name === "") report({ path: `${path}.name`, message: "a name is needed" });
  if (port === 0) report({ path: `${path}.port`, message: "a port is needed" });
  if (protocol === "") {
    report({ path: `${path}.protocol`, message: "a protocol is needed", fix: "HTTP, HTTPS, TLS or TCP" });
  }
  if (hostname !== "") validateGatewayHostname(hostname, `${path}.hostname`, report);
  if (hostname !== "" && ["TCP", "UDP"].includes(protocol)) {
    report({ path: `${path}.hostname`, message: `${protocol} has no hosts` });
  }
  if (tls !== undefined && ["HTTP", "TCP", "UDP"].includes(protocol)) {
    report({ path: `${path}.tls`, message: `${protocol} has no tls`, fix: protocol === "HTTP" ? "HTTPS" : "TLS" });
  }
  if (["HTTPS", "TLS"].includes(protocol) && tls === undefined) {
    report({ path, message: `${protocol} needs tls`, fix: "tls: { certificateRefs: [{ name: a Secret }] }" });
  }
  if (protocol === "HTTPS" && tls?.mode === "Passthrough") {
    report({ path: `${path}.tls.mode`, message: "HTTPS ends TLS", fix: "protocol: TLS" });
  }
  const isWithoutCertificate = tls?.certificateRefs.length === 0 && Object.keys(tls.options).length === 0;
  if (tls?.mode === "Terminate" && isWithoutCertificate) {
    report({ path: `${path}.tls`, message: "Terminate needs certificateRefs or options" });
  }
  const { from, selector } = allowedRoutes?.namespaces ?? {};
  if (from === "None") report({ path: `${path}.allowedRoutes.namespaces.from`, message: "None is for listeners" });
  if (from === "Selector" && selector === undefined) {
    report({ path: `${path}.allowedRoutes.namespaces`, message: "Selector needs a selector" });
  }
}
