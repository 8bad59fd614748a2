// `status` of Istio's kinds: IstioStatus with the condition `Reconciled` as Istio writes it, a condition of our own with
// the state and its reasons, `validationMessages`, and the generation that all of it is about.
// https://istio.io/latest/docs/reference/config/config-status/
import { type Issue, Severity } from "#base/issue.ts";
import type { DesiredStatus } from "#mesh/objects/desired-status.ts";
import { ForceState } from "#mesh/snapshot/snapshot.ts";
import type { ObjectStatus } from "./object-status.ts";
import { silentAfterMs } from "./replica-reports.ts";

interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

const inForceType = "outrigger.dev/InForce";
const codesPage = "https://istio.io/latest/docs/reference/config/analysis/";
const maxMessages = 20;
const maxMessageLength = 2048;

/** `silent`: replicas that may hold proxies of which nothing is known. */
export function istioStatus(object: ObjectStatus, silent: readonly string[] = []): DesiredStatus {
  const { origin, apiVersion, generation } = object;
  return {
    apiVersion,
    kind: origin.kind,
    namespace: origin.namespace,
    name: origin.name,
    status: {
      observedGeneration: generation,
      conditions: [reconciled(object, silent), inForce(object, silent)],
      validationMessages: object.issues
        .filter((issue) => issue.severity !== Severity.Info)
        .slice(0, maxMessages)
        .map(validationMessage),
    },
  };
}

function reconciled({ state, progress, generation }: ObjectStatus, silent: readonly string[]): Condition {
  const { current, proxies } = progress;
  const common = { type: "Reconciled", observedGeneration: generation };
  if (state === ForceState.Invalid) {
    return { ...common, status: "False", reason: "Invalid", message: "This version is refused." };
  }
  const message = `${current}/${proxies} proxies up to date.${unknownProxies(silent)}`;
  if (current < proxies) return { ...common, status: "False", reason: "Distributing", message };
  return silent.length > 0
    ? { ...common, status: "Unknown", reason: "ReplicaSilent", message }
    : { ...common, status: "True", reason: "UpToDate", message };
}

function unknownProxies(silent: readonly string[]): string {
  if (silent.length === 0) return "";
  return ` Nothing is known of proxies of ${silent.join(", ")}: no report came for more than ${silentAfterMs / 1000} s.`;
}

const reasonByState: Readonly<Record<ForceState, string>> = {
  [ForceState.InForce]: "InForce",
  [ForceState.Partly]: "PartlyInForce",
  [ForceState.Shadowed]: "Shadowed",
  [ForceState.MatchesNothing]: "MatchesNothing",
  [ForceState.Invalid]: "Invalid",
  [ForceState.NotInForce]: "NotInForce",
};

function inForce(object: ObjectStatus, silent: readonly string[]): Condition {
  const { state, reasons, origin, progress, generation } = object;
  const place = origin.file === undefined ? "" : ` Written in ${origin.file}:${origin.line ?? 1}.`;
  const why = reasons.length === 0 ? "" : `: ${reasons.join("; ")}`;
  const text = `${state}${why}`.slice(0, maxMessageLength);
  // What is known to be wrong stays so, whatever the others have.
  const isUnknown = state === ForceState.InForce && silent.length > 0;
  return {
    type: inForceType,
    status: isUnknown ? "Unknown" : state === ForceState.InForce ? "True" : "False",
    reason: isUnknown ? "ReplicaSilent" : progress.rejections.length > 0 ? "Rejected" : reasonByState[state],
    message: `${text}.${isUnknown ? unknownProxies(silent) : ""}${place}`,
    observedGeneration: generation,
  };
}

function validationMessage(issue: Issue): Record<string, unknown> {
  const isIstios = issue.code.startsWith("IST");
  return {
    type: { code: issue.code },
    level: issue.severity === Severity.Error ? "ERROR" : "WARNING",
    ...(isIstios && { documentationUrl: `${codesPage}${issue.code.toLowerCase()}/` }),
    message: issue.message.slice(0, maxMessageLength),
    ...(issue.path !== undefined && { path: issue.path }),
    ...(issue.position !== undefined && { position: `${issue.position.file}:${issue.position.line}` }),
  };
}
