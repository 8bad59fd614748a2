// ProxyConfig for the rest of the mesh.
import { validateSelector, warnOfEmptySelector } from "../../objects/fields/selector.ts";
import type { Kind } from "../../objects/kind.ts";
import { decodeProxyConfig } from "./decode.ts";
import type { ProxyConfigSpec } from "./spec.ts";

export const proxyConfig: Kind<ProxyConfigSpec> = {
  kind: "ProxyConfig",
  decode: decodeProxyConfig,
  validate: ({ selector }, report) => {
    validateSelector(selector?.matchLabels ?? {}, "spec.selector.matchLabels", report);
    warnOfEmptySelector(selector?.matchLabels, "spec.selector", report);
  },
};
