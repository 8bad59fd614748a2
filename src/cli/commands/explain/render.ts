// An explanation as text: one block per proxy, one line per step, each with the resource and file:line that decided.
import { formatOrigin } from "#base/issue.ts";
import type { ExplainStep, Explanation, Outcome } from "./explain.ts";

export function renderExplanation(explanation: Explanation): string {
  const lines: string[] = [];
  let where = "";
  for (const step of explanation.steps) {
    if (step.where !== where) {
      if (where !== "") lines.push("");
      where = step.where;
      lines.push(`at ${where}`);
    }
    lines.push(...renderStep(step));
  }
  lines.push(
    "",
    `${summary(explanation)}${isAsked(explanation) ? ", unless an external authorization service refuses it" : ""}`,
  );
  const { dryRun } = explanation;
  if (dryRun !== undefined) lines.push(`with the policies in force that are only tried: ${endText(dryRun)}`);
  return lines.join("\n");
}

function renderStep({ what, decision, origin }: ExplainStep): string[] {
  const line = `  ${what.padEnd(14)} ${decision}`;
  return origin === null ? [line] : [line, `  ${" ".repeat(14)} ↳ ${formatOrigin(origin)}`];
}

function summary({ outcome, status, reason, outcomes }: Explanation): string {
  if (outcomes.length > 1) return outcomes.map(shareText).join("\n");
  return endText({ outcome, status, reason });
}

/** Whom a service is asked about, in the only way that there is, comes no further than its answer. */
function isAsked({ outcome, outcomes, steps }: Explanation): boolean {
  return outcome === "forwarded" && outcomes.length === 1 && steps.some(({ what }) => what === "external authz");
}

function shareText({ share, cluster, ...end }: Outcome): string {
  const percent = `${Number((share * 100).toFixed(4))} %`;
  return `${percent.padStart(7)}  ${endText(end)}${cluster === null ? "" : ` (${cluster})`}`;
}

function endText({ outcome, status, reason }: Pick<Outcome, "outcome" | "status" | "reason">): string {
  if (outcome === "forwarded") return "reaches the application";
  return status === null ? `refused: ${reason}` : `${status}: ${reason}`;
}
