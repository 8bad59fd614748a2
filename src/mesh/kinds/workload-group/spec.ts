// WorkloadGroup as decoded.
import type { Labels } from "../../objects/fields/selector.ts";
import type { WorkloadAddress } from "../../objects/fields/workload.ts";

export interface WorkloadGroupSpec {
  /** For the WorkloadEntries that are made. */
  readonly metadata?: { readonly labels: Labels; readonly annotations: Labels };
  readonly template?: WorkloadAddress;
  readonly probe?: ReadinessProbe;
}

export interface ReadinessProbe {
  readonly initialDelaySeconds: number;
  readonly timeoutSeconds: number;
  readonly periodSeconds: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
  readonly httpGet?: {
    readonly path: string;
    readonly port: number;
    readonly host: string;
    readonly scheme: string;
    readonly httpHeaders: readonly { readonly name: string; readonly value: string }[];
  };
  readonly tcpSocket?: { readonly host: string; readonly port: number };
  readonly exec?: { readonly command: readonly string[] };
  readonly grpc?: { readonly port: number; readonly service: string };
}
