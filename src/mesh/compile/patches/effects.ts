// What the patches of EnvoyFilters change, over many proxies: a patch that finds nothing to change anywhere is told, with
// the place where it was written.
import { type Issue, type Origin, Severity } from "#base/issue.ts";
import { ApplyTo, type ConfigPatch, type EnvoyFilterSpec, PatchContext } from "../../kinds/envoy-filter/spec.ts";
import { type MeshObject, objectKey, originAt } from "../../objects/mesh-object.ts";
import { toIssue } from "../../objects/report.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import { ForceState, type MeshSnapshot } from "../../snapshot/snapshot.ts";
import { patchKey } from "./patch-set.ts";

export interface PatchEffect {
  /** Of the patch: `spec.configPatches[1]`. */
  readonly path: string;
  /** `HTTP_FILTER INSERT_BEFORE` */
  readonly what: string;
  readonly origin: Origin;
  /** Proxies that the EnvoyFilter is for. */
  readonly proxies: number;
  /** Those of them that the patch is for too: by version, metadata and context. */
  readonly matching: number;
  /** Those where it changed something. */
  readonly changed: number;
}

export interface PatchedProxy {
  readonly node: ProxyNode;
  /** Keys of the patches that changed something; undefined while that is not known. */
  readonly applied: ReadonlySet<string> | undefined;
}

type Filter = MeshObject<EnvoyFilterSpec>;

interface Tally {
  proxies: number;
  readonly matching: number[];
  readonly changed: number[];
}

/** By the key of the EnvoyFilter; those that are for none of the proxies are absent. */
export function patchEffects(
  snapshot: MeshSnapshot,
  proxies: Iterable<PatchedProxy>,
): ReadonlyMap<string, readonly PatchEffect[]> {
  const tallies = new Map<Filter, Tally>();
  for (const { node, applied } of proxies) {
    if (applied === undefined) continue;
    for (const filter of snapshot.envoyFilters(node)) tallyOf(tallies, filter).proxies++;
    for (const selected of snapshot.envoyFilterPatches(node)) {
      const { filter, index, patch } = selected;
      if (!isOfContext(patch, node)) continue;
      const { matching, changed } = tallyOf(tallies, filter);
      matching[index] = (matching[index] ?? 0) + 1;
      if (applied.has(patchKey(selected))) changed[index] = (changed[index] ?? 0) + 1;
    }
  }
  return new Map([...tallies].map(([filter, tally]) => [objectKey(filter), effectsOf(filter, tally)]));
}

function tallyOf(tallies: Map<Filter, Tally>, filter: Filter): Tally {
  let tally = tallies.get(filter);
  if (tally === undefined) {
    tally = { proxies: 0, matching: [], changed: [] };
    tallies.set(filter, tally);
  }
  return tally;
}

function effectsOf(filter: Filter, { proxies, matching, changed }: Tally): PatchEffect[] {
  return filter.spec.configPatches.flatMap(({ applyTo, patch }, index) => {
    // Said where the field is: nothing of it is in force.
    if (applyTo === ApplyTo.Bootstrap || applyTo === ApplyTo.Invalid) return [];
    const path = `spec.configPatches[${index}]`;
    return {
      path,
      what: `${applyTo} ${patch?.operation ?? ""}`.trimEnd(),
      origin: originAt(filter, path),
      proxies,
      matching: matching[index] ?? 0,
      changed: changed[index] ?? 0,
    };
  });
}

/** Whether a proxy has anything of the patch's context at all. */
function isOfContext({ applyTo, match }: ConfigPatch, { type }: ProxyNode): boolean {
  if (applyTo === ApplyTo.ExtensionConfig) return true;
  switch (match?.context) {
    case PatchContext.Gateway:
      return type === "router";
    case PatchContext.SidecarInbound:
    case PatchContext.SidecarOutbound:
      return type === "sidecar";
    case PatchContext.Waypoint:
      return false;
    default:
      return true;
  }
}

/** The effects at the proxies of two control planes together. */
export function joinEffects(one: readonly PatchEffect[], other: readonly PatchEffect[]): PatchEffect[] {
  const byPath = new Map(other.map((effect) => [effect.path, effect]));
  return one.map((effect) => {
    const { proxies, matching, changed } = byPath.get(effect.path) ?? { proxies: 0, matching: 0, changed: 0 };
    return {
      ...effect,
      proxies: effect.proxies + proxies,
      matching: effect.matching + matching,
      changed: effect.changed + changed,
    };
  });
}

/** What the patches without effect cost the EnvoyFilter; undefined when each changes something. */
export function stateByEffects(effects: readonly PatchEffect[]): ForceState | undefined {
  const idle = effects.filter(({ changed }) => changed === 0);
  if (idle.length === 0) return undefined;
  return idle.length === effects.length ? ForceState.MatchesNothing : ForceState.Partly;
}

/** Why, in words: one for each patch without effect. */
export function reasonsByEffects(effects: readonly PatchEffect[]): string[] {
  return effects
    .filter(({ changed }) => changed === 0)
    .map((effect) => {
      const { file, line } = effect.origin;
      const place = file === undefined ? "" : ` (${file}:${line ?? 1})`;
      return `${effect.path.replace("spec.", "")}${place}: ${whyIdle(effect)}`;
    });
}

/** One issue for each patch that changes nothing where it could: whom else it may be for is not known. */
export function idlePatchIssues(snapshot: MeshSnapshot, proxies: Iterable<PatchedProxy>): Issue[] {
  const effects = patchEffects(snapshot, proxies);
  return snapshot.objects("EnvoyFilter").flatMap((object) => {
    const filter = object as Filter;
    const idle = (effects.get(objectKey(filter)) ?? []).filter(
      ({ matching, changed }) => matching > 0 && changed === 0,
    );
    return idle.map((effect) =>
      toIssue(
        { code: idlePatchCode, severity: Severity.Warning, path: effect.path, message: whyIdle(effect) },
        filter.origin,
        (path) => filter.position(path),
      ),
    );
  });
}

const idlePatchCode = "OUT0021";

function whyIdle({ what, proxies, matching }: PatchEffect): string {
  if (matching === 0) {
    return `${what} is for none of the ${counted(proxies)} that the EnvoyFilter selects, by its context and match.proxy`;
  }
  if (what.startsWith(ApplyTo.ExtensionConfig)) {
    return `${what} has no effect at the ${counted(matching)} that it is for: no filter asks for it with config_discovery, or another patch has that name`;
  }
  return `${what} finds nothing to change at the ${counted(matching)} that it is for: nothing there is as its match says`;
}

function counted(count: number): string {
  return count === 1 ? "one proxy" : `${count} proxies`;
}
