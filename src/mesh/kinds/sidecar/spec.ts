// Sidecar as decoded: what a workload listens on and what it can see.
import type { OutboundMode } from "../../objects/fields/outbound-traffic-policy.ts";
import type { Port, PortSelector } from "../../objects/fields/port.ts";
import type { LabelSelector } from "../../objects/fields/selector.ts";
import type { ServerTlsSettings } from "../../objects/fields/server-tls.ts";
import type { ConnectionPoolSettings } from "../../objects/fields/traffic-policy.ts";

export interface SidecarSpec {
  readonly workloadSelector?: LabelSelector;
  readonly ingress: readonly IngressListenerSpec[];
  readonly egress: readonly EgressListenerSpec[];
  readonly inboundConnectionPool?: ConnectionPoolSettings;
  /** Undefined means the mesh's policy. */
  readonly outboundTrafficPolicy?: {
    readonly mode: OutboundMode;
    readonly egressProxy?: EgressProxy;
  };
}

/** Takes what has no other destination. */
export interface EgressProxy {
  /** The full name of a service. */
  readonly host: string;
  readonly subset: string;
  readonly port?: PortSelector;
}

export const CaptureMode = { Default: "DEFAULT", Iptables: "IPTABLES", None: "NONE" } as const;
export type CaptureMode = (typeof CaptureMode)[keyof typeof CaptureMode];

export interface IngressListenerSpec {
  readonly port: Port;
  readonly bind: string;
  readonly captureMode: CaptureMode;
  /** `127.0.0.1:P`, `0.0.0.0:P`, `unix:///..`; empty keeps the original destination. */
  readonly defaultEndpoint: string;
  readonly tls?: ServerTlsSettings;
  readonly connectionPool?: ConnectionPoolSettings;
}

export interface EgressListenerSpec {
  readonly port?: Port;
  readonly bind: string;
  readonly captureMode: CaptureMode;
  /** `namespace/dnsName`; a namespace `~ns` excludes. */
  readonly hosts: readonly string[];
}
