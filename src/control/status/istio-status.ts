// `status` of Istio's kinds: IstioStatus with the condition `Reconciled` as Istio writes it, a condition of our own with
// the state and its reasons, `validationMessages`, and the generation that all of it is about.
// https://istio.io/latest/docs/reference/config/config-status/
import { type Issue, Severity } from "#base/issue.ts";
import type { DesiredStatus } from "#mesh/objects/desired-status.ts";
import { ForceState } from "#mesh/snapshot/snapshot.ts";
import type { ObjectStatus } from "./object-status.ts";

interface Condition {
  readonly type: string;
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

const inForceType = "outrigger.dev/InForce";
const codesPage = "https://istio.io/latest/docs/reference/config/analysis/";
const maxMessages = 20;
const maxMessageLength = 2048;

export function istioStatus(object: ObjectStatus): DesiredStatus {
  const { origin, apiVersion, generation } = object;
  return {
    apiVersion,
    kind: origin.kind,
    namespace: origin.namespace,
    name: origin.name,
    status: {
      observedGeneration: generation,
      conditions: [reconciled(object), inForce(object)],
      validationMessages: object.issues
        .filter((issue) => issue.severity !== Severity.Info)
        .slice(0, maxMessages)
        .map(validationMessage),
    },
  };
}

function reconciled({ state, progress, generation }: ObjectStatus): Condition {
  const { current, proxies } = progress;
  const isRefused = state === ForceState.Invalid;
  return {
    type: "Reconciled",
    status: !isRefused && current === proxies ? "True" : "False",
    reason: isRefused ? "Invalid" : current === proxies ? "UpToDate" : "Distributing",
    message: isRefused ? "This version is refused." : `${current}/${proxies} proxies up to date.`,
    observedGeneration: generation,
  };
}

const reasonByState: Readonly<Record<ForceState, string>> = {
  [ForceState.InForce]: "InForce",
  [ForceState.Partly]: "PartlyInForce",
  [ForceState.Shadowed]: "Shadowed",
  [ForceState.MatchesNothing]: "MatchesNothing",
  [ForceState.Invalid]: "Invalid",
  [ForceState.NotInForce]: "NotInForce",
};

function inForce({ state, reasons, origin, progress, generation }: ObjectStatus): Condition {
  const place = origin.file === undefined ? "" : ` Written in ${origin.file}:${origin.line ?? 1}.`;
  const why = reasons.length === 0 ? "" : `: ${reasons.join("; ")}`;
  const text = `${state}${why}`.slice(0, maxMessageLength);
  return {
    type: inForceType,
    status: state === ForceState.InForce ? "True" : "False",
    reason: progress.rejections.length > 0 ? "Rejected" : reasonByState[state],
    message: `${text}.${place}`,
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
