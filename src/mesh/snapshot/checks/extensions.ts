// Wasm modules and scripts: what is not loaded, what may be another module, and Secrets that are not there.
import { Severity } from "#base/issue.ts";
import { isImage, type WasmModule } from "../../objects/fields/wasm-module.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

export function checkExtensions({ objects }: CheckContext): Finding[] {
  return [
    ...objects.all("WasmPlugin").flatMap((plugin) => checkModule(plugin, plugin.spec, "spec", objects)),
    ...objects.all("TrafficExtension").flatMap((extension) => {
      const { wasm } = extension.spec;
      if (wasm !== undefined) return checkModule(extension, wasm, "spec.wasm", objects);
      const message = "Lua scripts are not run: traffic passes without this one";
      return [notInForce(extension, "spec.lua", message, "write it as a Wasm module")];
    }),
  ];
}

function checkModule(
  object: MeshObject<unknown>,
  module: WasmModule,
  path: string,
  objects: CheckContext["objects"],
): Finding[] {
  if (isImage(module.url)) return checkPullSecret(object, module, path, objects);
  const code = "IST0133";
  if (module.url.startsWith("http://") && module.sha256 === "") {
    const message = "whoever stands between can put another module in its place: there is no checksum";
    return [finding(object, { code, severity: Severity.Warning, path: `${path}.url`, message, fix: "sha256" })];
  }
  return [];
}

/** Nothing is said while no Secret is known at all: then they are not in this snapshot. */
function checkPullSecret(
  object: MeshObject<unknown>,
  { imagePullSecret }: WasmModule,
  path: string,
  objects: CheckContext["objects"],
): Finding[] {
  if (imagePullSecret === undefined || objects.all("Secret").length === 0) return [];
  const secret = objects.find("Secret", object.namespace, imagePullSecret);
  if (secret?.spec.dockerConfig !== undefined) return [];
  const name = `${object.namespace}/${imagePullSecret}`;
  const problem =
    secret === undefined
      ? `there is no Secret ${name}`
      : `the Secret ${name} is not of type kubernetes.io/dockerconfigjson`;
  const message = `${problem}: the image is pulled without credentials`;
  const code = secret === undefined ? "IST0101" : "IST0161";
  return [finding(object, { code, severity: Severity.Warning, path: `${path}.imagePullSecret`, message }, "partly")];
}

function notInForce(object: MeshObject<unknown>, path: string, message: string, fix: string): Finding {
  return finding(object, { code: "OUT0003", severity: Severity.Warning, path, message, fix }, "not in force");
}
