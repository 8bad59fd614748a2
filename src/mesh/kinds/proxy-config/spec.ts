// ProxyConfig (the kind) as decoded: settings that a proxy starts with.
import type { WorkloadSelector } from "../../objects/fields/selector.ts";

export interface ProxyConfigSpec {
  readonly selector?: WorkloadSelector;
  /** 0 means all cores. */
  readonly concurrency?: number;
  readonly environmentVariables: Readonly<Record<string, string>>;
  readonly image?: { readonly imageType: string };
}
