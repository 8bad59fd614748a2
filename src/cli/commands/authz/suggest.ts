// `outrigger authz suggest`: from what sidecars have seen to policies, and what policies would have done to it.
import { type CliContext, print, printError, UsageError } from "../../context.ts";
import { type PopulationFlags, withPopulation } from "../../population.ts";
import { type OutputFormat, parseOutputFormat, renderOutput } from "../../render/output.ts";
import { findObserved, type ObservedWorkload } from "../../traffic/observed-traffic.ts";
import { namedWorkload } from "../../traffic/workload-name.ts";
import { proposePolicies } from "./propose.ts";
import { readPolicies } from "./read-policies.ts";
import { renderPolicies, renderReplay, windowText } from "./render.ts";
import { replay } from "./replay.ts";

export interface SuggestFlags extends PopulationFlags {
  readonly namespace?: string;
  readonly observed?: string;
  readonly replay?: boolean;
  readonly with?: string;
  readonly output?: string;
}

/** Exit code 1: a replay denied something, or not all sidecars answered. */
export async function runSuggest(
  context: CliContext,
  workload: string | undefined,
  flags: SuggestFlags,
): Promise<number> {
  const isReplay = flags.replay === true || flags.with !== undefined;
  const format: OutputFormat = parseOutputFormat(flags.output ?? (isReplay ? "table" : "yaml"));
  return withPopulation(context, flags, async (mesh, client) => {
    if (client === undefined && flags.observed === undefined) {
      throw new UsageError("files say nothing of traffic; name what was observed with --observed FILE");
    }
    const traffic = await findObserved(context, { file: flags.observed, client, pods: mesh.pods });
    const name = workload === undefined ? undefined : namedWorkload(mesh.pods, workload, flags.namespace ?? "default");
    const observed = traffic.workloads.filter((it) => isAsked(it, name, flags.namespace));
    const proposed = proposePolicies(observed, mesh.pods);
    const policies = flags.with === undefined ? proposed.policies : readPolicies(context, flags.with);
    const notes = flags.with === undefined ? proposed.notes : [];
    const outcome = replay(mesh, observed, policies);
    if (isReplay) {
      const shown = { ...outcome, policies, notes, observed };
      print(
        context,
        renderOutput(format, shown, () => renderReplay(outcome, [windowText(observed), ...notes])),
      );
    } else if (format === "json") {
      print(
        context,
        renderOutput(format, { policies, notes, replay: outcome, observed }, () => ""),
      );
    } else {
      const denials = `Replayed: ${outcome.denied} of ${outcome.allowed + outcome.denied + outcome.notJudged} requests and connections would have been denied; --replay shows which.`;
      print(context, renderPolicies(policies, [...notes, denials], observed));
    }
    for (const problem of traffic.problems) printError(context, problem);
    return (isReplay && outcome.denied > 0) || traffic.problems.length > 0 ? 1 : 0;
  });
}

function isAsked({ workload }: ObservedWorkload, name: string | undefined, namespace: string | undefined): boolean {
  if (name !== undefined) return workload === name;
  return namespace === undefined || workload.endsWith(`.${namespace}`);
}
