// The mesh compiler behind the push pipeline. Loaded lazily: it brings the Envoy messages with it.
import { compileEndpoints, compileProxy, compileStepOfRoutes, compileStepOfServices } from "#mesh/compile/compile.ts";
import { compileNameTable } from "#mesh/compile/name-table.ts";
import { compileSecret } from "#mesh/compile/tls/secrets.ts";
import type { MeshCompiler } from "../push/compile.ts";
import { isProxyless, toProxyless } from "./proxyless.ts";

export const meshCompiler: MeshCompiler = {
  compile: (snapshot, node) => {
    const compiled = compileProxy(snapshot, node);
    if (isProxyless(node)) return toProxyless(snapshot, node, compiled);
    return node.dnsCapture && node.type === "sidecar"
      ? { ...compiled, names: compileNameTable(snapshot, node) }
      : compiled;
  },
  compileRouting: (snapshot, node) => (isProxyless(node) ? undefined : compileStepOfRoutes(snapshot, node)),
  compileServices: (snapshot, node, hostnames) =>
    isProxyless(node) || node.dnsCapture ? undefined : compileStepOfServices(snapshot, node, hostnames),
  compileEndpoints,
  compileSecret,
};
