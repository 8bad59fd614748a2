// The mesh compiler behind the push pipeline. Loaded lazily: it brings the Envoy messages with it.
import { compileEndpoints, compileProxy } from "#mesh/compile/compile.ts";
import type { MeshCompiler } from "../push/compile.ts";
import { isProxyless, toProxyless } from "./proxyless.ts";

export const meshCompiler: MeshCompiler = {
  compile: (snapshot, node) => {
    const compiled = compileProxy(snapshot, node);
    return isProxyless(node) ? toProxyless(snapshot, node, compiled) : compiled;
  },
  compileEndpoints,
};
