// Settings of filters that a proxy gets by themselves (ECDS), and who wrote them.
import type { Origin } from "#base/issue.ts";
import type { TypedExtensionConfig } from "#wire/gen/envoy/config/core/v3/extension_pb.ts";
import { isImage } from "../objects/fields/wasm-module.ts";
import type { WorkloadExtension } from "../snapshot/workload-extensions.ts";
import { extensionConfig } from "./filters/extensions.ts";
import type { PatchSet } from "./patches/patch-set.ts";

export interface CompiledExtensions {
  readonly extensions: ReadonlyMap<string, TypedExtensionConfig>;
  /** By the name of the extension: its message has no place for where it was written. */
  readonly extensionOrigins: ReadonlyMap<string, readonly Origin[]>;
  /** Secrets that pull the images of extensions, by their names: only proxies that are known for certain get their content. */
  readonly pullSecrets: ReadonlyMap<string, PullSecretName>;
}

export interface PullSecretName {
  readonly namespace: string;
  readonly name: string;
}

/**
 * Wasm modules, and what EnvoyFilters add. `applied` are the patches that changed listeners; those whose extension a
 * filter of these asks for are added to it.
 */
export function compileExtensions(
  modules: readonly WorkloadExtension[],
  patches: PatchSet | undefined,
  applied: Set<string>,
): CompiledExtensions {
  const patched = patches?.extensions.size ?? 0;
  if (modules.length === 0 && patched === 0) return none;
  const extensions = new Map<string, TypedExtensionConfig>();
  const extensionOrigins = new Map<string, readonly Origin[]>();
  const pullSecrets = new Map<string, PullSecretName>();
  for (const extension of modules) {
    const { object, module } = extension;
    if (module.imagePullSecret !== undefined && isImage(module.url)) {
      pullSecrets.set(extension.resourceName, { namespace: object.namespace, name: module.imagePullSecret });
    }
    extensions.set(extension.resourceName, extensionConfig(extension));
    extensionOrigins.set(extension.resourceName, [extension.object.origin]);
  }
  if (patches === undefined) return { extensions, extensionOrigins, pullSecrets };
  const discovered = patches.discovered(applied);
  for (const [name, { key, value, origin }] of patches.extensions) {
    if (extensions.has(name)) continue;
    extensions.set(name, value as TypedExtensionConfig);
    extensionOrigins.set(name, [origin]);
    if (discovered.has(name)) applied.add(key);
  }
  return { extensions, extensionOrigins, pullSecrets };
}

const none: CompiledExtensions = { extensions: new Map(), extensionOrigins: new Map(), pullSecrets: new Map() };
