// Whether a listener that a Sidecar resource names is a real one, or reached through the virtual listeners.
import type { CaptureMode } from "../../kinds/sidecar/spec.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";

export function bindsToPort(captureMode: CaptureMode, proxy: ProxyNode): boolean {
  return captureMode === "DEFAULT" ? proxy.interceptionMode === "NONE" : captureMode === "NONE";
}
