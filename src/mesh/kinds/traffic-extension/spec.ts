// TrafficExtension (extensions.istio.io): a Wasm module or a Lua script among the filters of workloads.
import type { PolicyTarget } from "../../objects/fields/policy-target.ts";
import type { TrafficSelector, WasmModule } from "../../objects/fields/wasm-module.ts";

export interface TrafficExtensionSpec extends PolicyTarget {
  readonly phase: string;
  readonly priority: number;
  readonly match: readonly TrafficSelector[];
  readonly wasm?: WasmModule;
  readonly lua?: { readonly inlineCode: string };
}
