// The state of every object of Istio's kinds and of the Gateway API's: in force, partly, shadowed, matches nothing, invalid, not in force.
import { hasErrors, type Issue, Severity } from "#base/issue.ts";
import { objectKey } from "../objects/mesh-object.ts";
import type { Finding } from "./checks/finding.ts";
import type { Entry } from "./read-object.ts";
import { ForceState, type ResourceState } from "./snapshot.ts";

export function resourceStates(entries: Iterable<Entry>, findings: readonly Finding[]): ResourceState[] {
  const byObject = Map.groupBy(findings, (item) => objectKey(item.object));
  return [...entries].filter((entry) => entry.mesh).map((entry) => stateOf(entry, byObject.get(entry.key) ?? []));
}

function stateOf(entry: Entry, findings: readonly Finding[]): ResourceState {
  const issues: Issue[] = [...entry.issues, ...findings.map((item) => item.issue)];
  const { apiVersion, metadata } = entry.source;
  const of = { origin: entry.origin, apiVersion, generation: metadata.generation ?? 0, issues };
  if (entry.invalid) {
    const kept = entry.object === undefined ? [] : ["its last good version stays in force"];
    const errors = hasErrors(entry.issues)
      ? entry.issues.filter((issue) => issue.severity === Severity.Error)
      : entry.issues;
    return { ...of, state: ForceState.Invalid, reasons: [...messages(errors), ...kept] };
  }
  const effects = findings.filter((item) => item.effect !== undefined);
  return { ...of, state: worst(effects), reasons: messages(effects.map((item) => item.issue)) };
}

function worst(findings: readonly Finding[]): ForceState {
  if (findings.some((item) => item.effect === "nothing")) return ForceState.MatchesNothing;
  if (findings.some((item) => item.effect === "not in force")) return ForceState.NotInForce;
  if (findings.some((item) => item.effect === "shadowed")) return ForceState.Shadowed;
  return findings.length > 0 ? ForceState.Partly : ForceState.InForce;
}

function messages(issues: readonly Issue[]): string[] {
  return issues.map((issue) => issue.message);
}
