// What the built-in templates read: the pod as the user wrote it, and settings that are already resolved.
import type { Pod } from "../pod.ts";
import { podAnnotations } from "../pod.ts";
import type { ProxyConfig } from "../proxy-config.ts";
import type { InjectionValues } from "../values.ts";
import type { WorkloadOwner } from "../workload-owner.ts";

export interface TemplateInput {
  readonly pod: Pod;
  readonly namespace: string;
  readonly owner: WorkloadOwner;
  readonly values: InjectionValues;
  readonly proxyConfig: ProxyConfig;
  /** JSON of what differs from the default ProxyConfig. */
  readonly proxyConfigJson: string;
  readonly trustDomain: string;
  readonly proxyListenPort: string;
  readonly proxyInboundListenPort: string;
  readonly revision: string;
  readonly clusterId: string;
  readonly network: string;
  /** A tracing provider wants OpenTelemetry's service attributes. */
  readonly otelAttributes: boolean;
  readonly injectedEnv: Readonly<Record<string, string>>;
  readonly nativeSidecar: boolean;
  readonly proxyUid: number;
  readonly proxyGid: number;
  readonly image: string;
}

/** The pod's annotation, or else the installation's setting. */
export function setting(input: TemplateInput, annotation: string, fallback: string): string {
  return podAnnotations(input.pod)[annotation] ?? fallback;
}
