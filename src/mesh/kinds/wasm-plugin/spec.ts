// WasmPlugin (extensions.istio.io): a Wasm module among the filters of workloads.
import type { PolicyTarget } from "../../objects/fields/policy-target.ts";
import type { TrafficSelector, WasmModule } from "../../objects/fields/wasm-module.ts";

export interface WasmPluginSpec extends PolicyTarget, WasmModule {
  readonly phase: string;
  /** Of two in one phase the greater comes first. */
  readonly priority: number;
  readonly match: readonly TrafficSelector[];
}
