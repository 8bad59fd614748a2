// Wasm modules and scripts: what is not loaded, and fields of modules that nobody acts on.
import { Severity } from "#base/issue.ts";
import { isImage, type WasmModule } from "../../objects/fields/wasm-module.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

export function checkExtensions({ objects }: CheckContext): Finding[] {
  return [
    ...objects.all("WasmPlugin").flatMap((plugin) => checkModule(plugin, plugin.spec, "spec")),
    ...objects.all("TrafficExtension").flatMap((extension) => {
      const { wasm } = extension.spec;
      if (wasm !== undefined) return checkModule(extension, wasm, "spec.wasm");
      const message = "Lua scripts are not run: traffic passes without this one";
      return [notInForce(extension, "spec.lua", message, "write it as a Wasm module")];
    }),
  ];
}

function checkModule(object: MeshObject<unknown>, module: WasmModule, path: string): Finding[] {
  if (isImage(module.url)) {
    const message = "images of a registry are not pulled yet: traffic passes without the module";
    return [notInForce(object, `${path}.url`, message, "https:// or http:// with its sha256, or file:// of an image")];
  }
  const code = "IST0133";
  if (module.url.startsWith("http://") && module.sha256 === "") {
    const message = "whoever stands between can put another module in its place: there is no checksum";
    return [finding(object, { code, severity: Severity.Warning, path: `${path}.url`, message, fix: "sha256" })];
  }
  return [];
}

function notInForce(object: MeshObject<unknown>, path: string, message: string, fix: string): Finding {
  return finding(object, { code: "OUT0003", severity: Severity.Warning, path, message, fix }, "not in force");
}
