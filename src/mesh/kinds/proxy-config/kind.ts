// ProxyConfig for the rest of the mesh.
import { validateSelector } from "../../objects/fields/selector.ts";
import type { Kind } from "../../objects/kind.ts";
import { decodeProxyConfig } from "./decode.ts";
import type { ProxyConfigSpec } from "./spec.ts";

export const proxyConfig: Kind<ProxyConfigSpec> = {
  kind: "ProxyConfig",
  decode: decodeProxyConfig,
  validate: (spec, report) => validateSelector(spec.selector?.matchLabels ?? {}, "spec.selector.matchLabels", report),
};
