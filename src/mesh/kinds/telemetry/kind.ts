// Telemetry for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodeTelemetry } from "./decode.ts";
import type { TelemetrySpec } from "./spec.ts";
import { validateTelemetry } from "./validate.ts";

export const telemetry: Kind<TelemetrySpec> = {
  kind: "Telemetry",
  decode: decodeTelemetry,
  validate: validateTelemetry,
};
