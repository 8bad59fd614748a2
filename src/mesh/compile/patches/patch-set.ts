// The patches of a proxy as the functions of this folder need them: by place and context, their values as messages.
// Resources are shared between proxies, so a patched one is a copy, and proxies with the same patches share it.

import type { Message } from "@bufbuild/protobuf";
import type { Origin } from "#base/issue.ts";
import type { TypedExtensionConfig } from "#wire/gen/envoy/config/core/v3/extension_pb.ts";
import { readPatchValue } from "../../kinds/envoy-filter/patch-value.ts";
import { ApplyTo, Operation, PatchContext, type PatchMatch } from "../../kinds/envoy-filter/spec.ts";
import { originAt } from "../../objects/mesh-object.ts";
import type { SelectedPatch } from "../../snapshot/envoy-filter-index.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { once } from "../shared-work.ts";

export type Place = Exclude<ApplyTo, "INVALID">;

export interface ReadyPatch {
  /** `patchKey` of its place in its EnvoyFilter. */
  readonly key: string;
  readonly place: Place;
  readonly operation: Operation;
  readonly match: PatchMatch | undefined;
  /** Undefined for REMOVE; never changed, only merged from or copied. */
  readonly value: Message | undefined;
  readonly origin: Origin;
  /** Extension configurations that filters in its value ask for. */
  readonly discovers: readonly string[];
}

/** Where a resource stands: what `match.context` is compared with. */
export type ResourceContext = "SIDECAR_INBOUND" | "SIDECAR_OUTBOUND" | "GATEWAY";

export class PatchSet {
  readonly #patches: readonly ReadyPatch[];
  readonly #results = new WeakMap<object, Map<string, PatchedResult>>();
  readonly #extensions = new Map<string, ReadyPatch>();
  #applied: Set<string> | undefined;

  constructor(selected: readonly SelectedPatch[]) {
    this.#patches = selected.flatMap((item) => ready(item) ?? []);
    for (const patch of this.#patches) {
      if (patch.place !== ApplyTo.ExtensionConfig || patch.operation !== Operation.Add) continue;
      const { name } = patch.value as TypedExtensionConfig;
      if (!this.#extensions.has(name)) this.#extensions.set(name, patch);
    }
  }

  at(place: Place, context: ResourceContext): ReadyPatch[] {
    return this.#patches.filter((patch) => patch.place === place && isIn(patch, context));
  }

  /** New listeners and clusters that say no context come once, with the outbound ones or a gateway's. */
  added(place: Place, context: ResourceContext): ReadyPatch[] {
    return this.at(place, context).filter(
      ({ operation, match }) =>
        operation === Operation.Add && (context !== "SIDECAR_INBOUND" || contextOf(match) !== PatchContext.Any),
    );
  }

  /** What EXTENSION_CONFIG adds, each with its patch. The first of a name counts, and the context does not. */
  get extensions(): ReadonlyMap<string, ReadyPatch> {
    return this.#extensions;
  }

  /** Names that filters ask for which these patches brought. */
  discovered(applied: ReadonlySet<string>): Set<string> {
    return new Set(this.#patches.flatMap(({ key, discovers }) => (applied.has(key) ? discovers : [])));
  }

  /** Does some work, and adds the keys of the patches that changed something in it to `applied`. */
  recording<Result>(applied: Set<string>, work: () => Result): Result {
    const outer = this.#applied;
    this.#applied = applied;
    try {
      return work();
    } finally {
      this.#applied = outer;
    }
  }

  /** The patch changed something. */
  note({ key }: ReadyPatch): void {
    this.#applied?.add(key);
  }

  /** The patched form of a resource or of a list of them, computed once for all proxies that have these patches. */
  patched<Resource extends object, Result>(
    resource: Resource,
    key: string,
    compute: (resource: Resource) => Result,
  ): Result {
    let results = this.#results.get(resource);
    if (results === undefined) {
      results = new Map();
      this.#results.set(resource, results);
    }
    let result = results.get(key);
    if (result === undefined) {
      const applied = new Set<string>();
      result = { value: this.recording(applied, () => compute(resource)), applied };
      results.set(key, result);
    }
    for (const patch of result.applied) this.#applied?.add(patch);
    return result.value as Result;
  }
}

interface PatchedResult {
  readonly value: unknown;
  readonly applied: ReadonlySet<string>;
}

/** Names a patch among all of a mesh. */
export function patchKey({ filter, index }: Pick<SelectedPatch, "filter" | "index">): string {
  return `${filter.namespace}/${filter.name}#${index}`;
}

/** Undefined when no EnvoyFilter is for the proxy. */
export function patchSetOf(snapshot: MeshSnapshot, proxy: ProxyNode): PatchSet | undefined {
  const selected = snapshot.envoyFilterPatches(proxy);
  return selected.length === 0 ? undefined : once(selected, "patches", () => new PatchSet(selected));
}

function ready(selected: SelectedPatch): ReadyPatch | undefined {
  const { filter, index } = selected;
  const { applyTo, match, patch } = selected.patch;
  if (applyTo === ApplyTo.Invalid || patch === undefined) return undefined;
  const value = patch.value === undefined ? undefined : readPatchValue(applyTo, patch.value).message;
  if (value === undefined && patch.operation !== Operation.Remove) return undefined;
  const origin = originAt(filter, `spec.configPatches[${index}]`);
  const operation = inPlace(applyTo, patch.operation);
  const discovers = discoveredBy(patch.value);
  return { key: patchKey(selected), place: applyTo, operation, match, value, origin, discovers };
}

/** Names of filters with `config_discovery`, wherever they stand in the value. */
function discoveredBy(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) return value.flatMap(discoveredBy);
  const fields = value as Readonly<Record<string, unknown>>;
  const isDiscovery = fields["config_discovery"] !== undefined || fields["configDiscovery"] !== undefined;
  const own = isDiscovery && typeof fields["name"] === "string" ? [fields["name"]] : [];
  return [...own, ...Object.values(fields).flatMap(discoveredBy)];
}

/** Only lists of filters and routes have an order to insert into; elsewhere inserting is adding. */
function inPlace(place: Place, operation: Operation): Operation {
  const isInsert =
    operation === Operation.InsertAfter || operation === Operation.InsertBefore || operation === Operation.InsertFirst;
  return isInsert && !ordered.has(place) ? Operation.Add : operation;
}

const ordered: ReadonlySet<Place> = new Set([
  ApplyTo.HttpFilter,
  ApplyTo.NetworkFilter,
  ApplyTo.ListenerFilter,
  ApplyTo.HttpRoute,
]);

function isIn({ match }: ReadyPatch, context: ResourceContext): boolean {
  const wanted = contextOf(match);
  return wanted === PatchContext.Any || wanted === context;
}

function contextOf(match: PatchMatch | undefined): PatchContext {
  return match?.context ?? PatchContext.Any;
}
