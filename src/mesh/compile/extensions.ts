// Settings of filters that a proxy gets by themselves (ECDS), and who wrote them.
import type { Origin } from "#base/issue.ts";
import type { TypedExtensionConfig } from "#wire/gen/envoy/config/core/v3/extension_pb.ts";
import type { PatchSet } from "./patches/patch-set.ts";

export interface CompiledExtensions {
  readonly extensions: ReadonlyMap<string, TypedExtensionConfig>;
  /** By the name of the extension: its message has no place for where it was written. */
  readonly extensionOrigins: ReadonlyMap<string, readonly Origin[]>;
}

/** `applied` are the patches that changed listeners; those whose extension a filter of these asks for are added. */
export function compileExtensions(patches: PatchSet | undefined, applied: Set<string>): CompiledExtensions {
  if (patches === undefined || patches.extensions.size === 0) return none;
  const discovered = patches.discovered(applied);
  const extensions = new Map<string, TypedExtensionConfig>();
  const extensionOrigins = new Map<string, readonly Origin[]>();
  for (const [name, { key, value, origin }] of patches.extensions) {
    extensions.set(name, value as TypedExtensionConfig);
    extensionOrigins.set(name, [origin]);
    if (discovered.has(name)) applied.add(key);
  }
  return { extensions, extensionOrigins };
}

const none: CompiledExtensions = { extensions: new Map(), extensionOrigins: new Map() };
