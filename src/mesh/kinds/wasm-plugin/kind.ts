// WasmPlugin for the rest of the mesh: read and validated.
import { decodeSpec, int32, record, withDefault } from "../../objects/decode.ts";
import { policyTarget, validateTarget } from "../../objects/fields/policy-target.ts";
import {
  extensionPhase,
  trafficSelectors,
  validateTrafficSelectors,
  validateWasmModule,
  wasmModule,
} from "../../objects/fields/wasm-module.ts";
import type { Kind } from "../../objects/kind.ts";
import type { WasmPluginSpec } from "./spec.ts";

const spec = record<WasmPluginSpec>({
  ...policyTarget,
  ...wasmModule,
  phase: extensionPhase,
  priority: withDefault(int32, 0),
  match: trafficSelectors,
});

export const wasmPlugin: Kind<WasmPluginSpec> = {
  kind: "WasmPlugin",
  decode: (object, report) => decodeSpec(object, spec, report),
  validate: (decoded, report) => {
    validateTarget(decoded, report);
    validateWasmModule(decoded, "spec", report);
    validateTrafficSelectors(decoded.match, report);
  },
};
