// The patches of a proxy as the functions of this folder need them: by place and context, their values as messages.
// Resources are shared between proxies, so a patched one is a copy, and proxies with the same patches share it.

import type { Message } from "@bufbuild/protobuf";
import type { Origin } from "#base/issue.ts";
import { readPatchValue } from "../../kinds/envoy-filter/patch-value.ts";
import { ApplyTo, Operation, PatchContext, type PatchMatch } from "../../kinds/envoy-filter/spec.ts";
import { originAt } from "../../objects/mesh-object.ts";
import type { SelectedPatch } from "../../snapshot/envoy-filter-index.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { once } from "../shared-work.ts";

export type Place = Exclude<ApplyTo, "INVALID">;

export interface ReadyPatch {
  readonly place: Place;
  readonly operation: Operation;
  readonly match: PatchMatch | undefined;
  /** Undefined for REMOVE; never changed, only merged from or copied. */
  readonly value: Message | undefined;
  readonly origin: Origin;
}

/** Where a resource stands: what `match.context` is compared with. */
export type ResourceContext = "SIDECAR_INBOUND" | "SIDECAR_OUTBOUND" | "GATEWAY";

export class PatchSet {
  readonly #patches: readonly ReadyPatch[];
  readonly #results = new WeakMap<Message, Map<string, unknown>>();

  constructor(selected: readonly SelectedPatch[]) {
    this.#patches = selected.flatMap((item) => ready(item) ?? []);
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

  /** The patched form of a resource, computed once for all proxies that have these patches. */
  patched<Resource extends Message, Result>(
    resource: Resource,
    key: string,
    compute: (resource: Resource) => Result,
  ): Result {
    let results = this.#results.get(resource);
    if (results === undefined) {
      results = new Map();
      this.#results.set(resource, results);
    }
    if (!results.has(key)) results.set(key, compute(resource));
    return results.get(key) as Result;
  }
}

/** Undefined when no EnvoyFilter is for the proxy. */
export function patchSetOf(snapshot: MeshSnapshot, proxy: ProxyNode): PatchSet | undefined {
  const selected = snapshot.envoyFilterPatches(proxy);
  return selected.length === 0 ? undefined : once(selected, "patches", () => new PatchSet(selected));
}

function ready({ filter, index, patch: { applyTo, match, patch } }: SelectedPatch): ReadyPatch | undefined {
  if (applyTo === ApplyTo.Invalid || patch === undefined) return undefined;
  const value = patch.value === undefined ? undefined : readPatchValue(applyTo, patch.value).message;
  if (value === undefined && patch.operation !== Operation.Remove) return undefined;
  const origin = originAt(filter, `spec.configPatches[${index}]`);
  return { place: applyTo, operation: inPlace(applyTo, patch.operation), match, value, origin };
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
