// Which policy wants an external service to be asked: the one whose name shadow rules left in the metadata that switches
// the asking on.
import type { Origin } from "#base/issue.ts";
import type { MetadataTest } from "./matcher.ts";

export interface AskedPolicy {
  /** ` for ns[default]-policy[ask]-rule[0]`; empty when no policy is known. */
  readonly words: string;
  readonly origins: readonly Origin[];
}

export function askedPolicy(
  enabledBy: MetadataTest | null,
  metadata: unknown,
  policyOrigins: ReadonlyMap<string, Origin>,
): AskedPolicy {
  const name = enabledBy?.read(metadata);
  if (typeof name !== "string") return { words: "", origins: [] };
  const origin = policyOrigins.get(name);
  return { words: ` for ${name}`, origins: origin === undefined ? [] : [origin] };
}
