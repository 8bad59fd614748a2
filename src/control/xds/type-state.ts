// What one stream knows about one resource type: what the client asked for, what it was sent, what it said about that.
// The two variants of the protocol (delta, state of the world) share it.
import { layersOf } from "#base/layered-map.ts";
import type { EncodedResource, ResourcesByName } from "../push/encoded-resource.ts";

export interface Rejection {
  /** The client's words. */
  readonly message: string;
  /** Resources of the response that the message names; all of them when it names none. */
  readonly resources: readonly string[];
  readonly atMs: number;
}

interface RejectedResource {
  readonly message: string;
  readonly atMs: number;
}

interface OutstandingResponse {
  readonly nonce: string;
  readonly names: readonly string[];
  readonly sentAtMs: number;
}

export interface TypeState {
  readonly typeUrl: string;
  wildcard: boolean;
  /** Names that were asked for one by one. */
  readonly subscribed: Set<string>;
  /**
   * Name → version, as the client has them if it accepted everything. Once the type is settled only what differs from
   * that; undefined: the client does not have it.
   */
  readonly sent: Map<string, string | undefined>;
  /** Names that were asked for and that the client knows not to exist. */
  readonly absent: Set<string>;
  /**
   * Everything that the client wants of these was sent, but for what `sent` says: from here only the step to the next set
   * has to be looked at. Proxies share the set, so that nobody keeps a list of what each of them has.
   */
  settledOn: ResourcesByName | undefined;
  /** The response that is neither accepted nor rejected yet. At most one. */
  outstanding: OutstandingResponse | undefined;
  /** Whether anything was ever sent for the type. */
  responded: boolean;
  /** Something changed that could not be sent while a response was outstanding. */
  waiting: boolean;
  /** Resources that the client rejected and was sent nothing acceptable for since, each with its words. */
  readonly rejected: Map<string, RejectedResource>;
  lastNonce: string;
  lastVersion: string;
  ackedAtMs: number;
}

export function createTypeState(typeUrl: string): TypeState {
  return {
    typeUrl,
    wildcard: false,
    subscribed: new Set(),
    sent: new Map(),
    absent: new Set(),
    settledOn: undefined,
    outstanding: undefined,
    responded: false,
    waiting: false,
    rejected: new Map(),
    lastNonce: "",
    lastVersion: "",
    ackedAtMs: 0,
  };
}

export interface Difference {
  /** Not sent yet, or sent with another content. */
  readonly changed: readonly EncodedResource[];
  /** Sent, and no longer there or no longer asked for; or asked for and never there. */
  readonly removed: readonly string[];
}

const nothing: Difference = { changed: [], removed: [] };

/** The version of a resource that the client has; undefined for none. */
export function sentVersion(state: TypeState, name: string): string | undefined {
  if (state.sent.has(name)) return state.sent.get(name);
  return wants(state, name) ? state.settledOn?.get(name)?.version : undefined;
}

/** How many resources the client has. */
export function countSent(state: TypeState): number {
  const { settledOn, sent, subscribed } = state;
  let count = 0;
  for (const version of sent.values()) if (version !== undefined) count++;
  if (settledOn === undefined) return count;
  if (state.wildcard) count += settledOn.size;
  else for (const name of subscribed) if (settledOn.has(name)) count++;
  for (const name of sent.keys()) if (settledOn.has(name) && wants(state, name)) count--;
  return count;
}

/** The client has everything that it wants of these. */
export function settle(state: TypeState, resources: ResourcesByName): void {
  state.settledOn = resources;
  state.sent.clear();
}

/** Writes down what the client has by itself, before it wants something else. */
export function unsettle(state: TypeState): void {
  const { settledOn } = state;
  if (settledOn === undefined) return;
  for (const name of state.wildcard ? settledOn.keys() : [...state.subscribed]) {
    if (!state.sent.has(name)) state.sent.set(name, settledOn.get(name)?.version);
  }
  for (const [name, version] of state.sent) if (version === undefined) state.sent.delete(name);
  state.settledOn = undefined;
}

/** The client does not have the resource, whatever it was sent before. */
export function lose(state: TypeState, name: string): void {
  if (state.settledOn === undefined) state.sent.delete(name);
  else state.sent.set(name, undefined);
}

/** What the client lacks, and what it has too much. */
export function difference(state: TypeState, resources: ResourcesByName): Difference {
  const { settledOn, sent, subscribed } = state;
  if (settledOn === undefined) {
    const wanted = state.wildcard ? [...resources.keys(), ...subscribed] : [...subscribed];
    return differenceIn(state, resources, new Set([...wanted, ...sent.keys()]));
  }
  const step = settledOn === resources ? nothing : stepBetween(settledOn, resources);
  if (step === nothing && sent.size === 0) return nothing;
  return differenceIn(
    state,
    resources,
    new Set([...step.changed.map(({ name }) => name), ...step.removed, ...sent.keys()]),
  );
}

function differenceIn(state: TypeState, resources: ResourcesByName, names: Iterable<string>): Difference {
  const changed: EncodedResource[] = [];
  const removed: string[] = [];
  for (const name of names) {
    const resource = wants(state, name) ? resources.get(name) : undefined;
    const version = sentVersion(state, name);
    if (resource !== undefined) {
      if (version !== resource.version) changed.push(resource);
    } else if (version !== undefined || (state.subscribed.has(name) && !state.absent.has(name))) removed.push(name);
  }
  return { changed, removed };
}

function wants(state: TypeState, name: string): boolean {
  return state.wildcard || state.subscribed.has(name);
}

/** Proxies that share their sets share the steps between them. */
const steps = new WeakMap<ResourcesByName, WeakMap<ResourcesByName, Difference>>();

function stepBetween(before: ResourcesByName, after: ResourcesByName): Difference {
  let known = steps.get(before);
  if (known === undefined) {
    known = new WeakMap();
    steps.set(before, known);
  }
  let step = known.get(after);
  if (step === undefined) {
    step = makeStep(before, after);
    known.set(after, step);
  }
  return step;
}

/** Of sets in layers only the layers that differ are looked at. */
function makeStep(before: ResourcesByName, after: ResourcesByName): Difference {
  const [old, next] = [layersOf(before), layersOf(after)];
  if (old.length !== next.length || old.length === 1) {
    return {
      changed: [...after.values()].filter(({ name, version }) => before.get(name)?.version !== version),
      removed: [...before.keys()].filter((name) => !after.has(name)),
    };
  }
  const parts = next.map((layer, index) => {
    const earlier = old[index] as ResourcesByName;
    return earlier === layer ? nothing : stepBetween(earlier, layer);
  });
  return {
    changed: parts.flatMap(({ changed }) => changed),
    // What left one layer may stand in another.
    removed: parts.flatMap(({ removed }) => removed).filter((name) => !after.has(name)),
  };
}

/** Writes down that a response with these contents is on its way. */
export function markSent(state: TypeState, nonce: string, content: Difference, nowMs: number): void {
  for (const resource of content.changed) {
    state.sent.set(resource.name, resource.version);
    state.absent.delete(resource.name);
  }
  for (const name of content.removed) {
    lose(state, name);
    if (state.subscribed.has(name)) state.absent.add(name);
  }
  state.outstanding = {
    nonce,
    names: [...content.changed.map((resource) => resource.name), ...content.removed],
    sentAtMs: nowMs,
  };
  state.lastNonce = nonce;
  state.responded = true;
  state.waiting = false;
}

/** Writes down what the client said of the outstanding response. */
export function markAnswered(state: TypeState, error: string | undefined, nowMs: number): Rejection | undefined {
  const names = state.outstanding?.names ?? [];
  state.outstanding = undefined;
  for (const name of names) state.rejected.delete(name);
  if (error === undefined) {
    state.ackedAtMs = nowMs;
    return undefined;
  }
  const rejection = { message: error.slice(0, 4096), resources: namesIn(error, names), atMs: nowMs };
  for (const name of rejection.resources) state.rejected.set(name, rejection);
  return rejection;
}

/** The client has no use for the resource any more. */
export function forget(state: TypeState, name: string): void {
  unsettle(state);
  state.sent.delete(name);
  state.absent.delete(name);
  state.rejected.delete(name);
}

/** The names of a rejected response that the client's message speaks of. */
function namesIn(message: string, names: readonly string[]): readonly string[] {
  const mentioned = names.filter((name) => message.includes(name));
  return mentioned.length > 0 ? mentioned : names;
}

/** Resources that the client asked for and has not accepted as they are now. */
export function unsettledNames(state: TypeState, resources: ResourcesByName): readonly string[] {
  const names = new Set([...(state.outstanding?.names ?? []), ...state.rejected.keys()]);
  if (state.waiting || !state.responded) for (const { name } of difference(state, resources).changed) names.add(name);
  return [...names];
}
