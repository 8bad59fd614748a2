// What a rule's policy does otherwise than one who reads the file would think, in words that refusals repeat.
import type { PolicyOrigin } from "#wire/xds/provenance.ts";
import type { AuthorizationRule } from "../../../kinds/authorization-policy/spec.ts";
import { httpOnlyFields, type RuleSettings } from "./policy.ts";

type Note = Pick<PolicyOrigin, "note" | "neverMatches">;

/**
 * Of a rule on connections without HTTP. One that allows is dropped when it asks for something of HTTP, any other loses
 * what it asks: both err on the side of refusing.
 */
export function withoutHttp(rule: AuthorizationRule, settings: RuleSettings, isThere: boolean): Note {
  const fields = httpOnlyFields(rule, settings);
  if (fields.length === 0) return {};
  if (isThere) return { note: `without HTTP ${listed(fields)} ${fields.length === 1 ? "is" : "are"} left aside` };
  return { note: `asks for ${listed(fields)}, and a connection without HTTP has none`, neverMatches: true };
}

/** Several notes as one. */
export function joined(...notes: readonly (string | undefined)[]): Note {
  const said = notes.filter((note) => note !== undefined);
  return said.length === 0 ? {} : { note: said.join("; ") };
}

function listed(names: readonly string[]): string {
  const last = names.at(-1) ?? "";
  return names.length < 2 ? last : `${names.slice(0, -1).join(", ")} and ${last}`;
}
