// TrafficExtension for the rest of the mesh: read and validated.
import { decodeSpec, int32, optional, record, text, withDefault } from "../../objects/decode.ts";
import { policyTarget, validateTarget } from "../../objects/fields/policy-target.ts";
import {
  extensionPhase,
  trafficSelectors,
  validateTrafficSelectors,
  validateWasmModule,
  type WasmModule,
  wasmModule,
} from "../../objects/fields/wasm-module.ts";
import type { Kind } from "../../objects/kind.ts";
import type { Report } from "../../objects/report.ts";
import type { TrafficExtensionSpec } from "./spec.ts";

const spec = record<TrafficExtensionSpec>({
  ...policyTarget,
  phase: extensionPhase,
  priority: withDefault(int32, 0),
  match: trafficSelectors,
  wasm: optional(record<WasmModule>(wasmModule)),
  lua: optional(record<NonNullable<TrafficExtensionSpec["lua"]>>({ inlineCode: text })),
});

export const trafficExtension: Kind<TrafficExtensionSpec> = {
  kind: "TrafficExtension",
  decode: (object, report) => decodeSpec(object, spec, report),
  validate: (decoded, report) => {
    const { wasm, lua } = decoded;
    validateTarget(decoded, report);
    validateTrafficSelectors(decoded.match, report);
    if ((wasm === undefined) === (lua === undefined)) {
      report({ path: "spec", message: "exactly one of wasm and lua is needed" });
    }
    if (wasm !== undefined) validateWasmModule(wasm, "spec.wasm", report);
    if (lua !== undefined) validateScript(lua.inlineCode, report);
  },
};

const maxScriptBytes = 65_536;

function validateScript(code: string, report: Report): void {
  const path = "spec.lua.inlineCode";
  if (code === "") report({ path, message: "the script is empty" });
  else if (new TextEncoder().encode(code).length > maxScriptBytes) {
    report({ path, message: `the script has more than ${maxScriptBytes} bytes` });
  } else if (!/\benvoy_on_(?:request|response)\b/.test(code)) {
    const fix = "function envoy_on_request(request_handle) ... end";
    report({ path, message: "the script defines neither envoy_on_request nor envoy_on_response", fix });
  }
}
