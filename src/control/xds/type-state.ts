// What one stream knows about one resource type: what the client asked for, what it was sent, what it said about that.
// The two variants of the protocol (delta, state of the world) share it.
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
  /** Name → version, as the client has them if it accepted everything. */
  readonly sent: Map<string, string>;
  /** Names that were asked for and that the client knows not to exist. */
  readonly absent: Set<string>;
  /** Everything that the client wants of these was sent: from here only the step to the next set has to be looked at. */
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

/** What the client lacks, and what it has too much. */
export function difference(state: TypeState, resources: ResourcesByName): Difference {
  const { settledOn } = state;
  if (settledOn === undefined) return wholeDifference(state, resources);
  if (settledOn === resources) return nothing;
  const step = stepBetween(settledOn, resources);
  return {
    changed: step.changed.filter(({ name, version }) => wants(state, name) && state.sent.get(name) !== version),
    removed: step.removed.filter(
      (name) => state.sent.has(name) || (state.subscribed.has(name) && !state.absent.has(name)),
    ),
  };
}

function wants(state: TypeState, name: string): boolean {
  return state.wildcard || state.subscribed.has(name);
}

function wholeDifference(state: TypeState, resources: ResourcesByName): Difference {
  const changed: EncodedResource[] = [];
  const removed: string[] = [];
  if (state.wildcard) {
    for (const resource of resources.values())
      if (state.sent.get(resource.name) !== resource.version) changed.push(resource);
  } else {
    for (const name of state.subscribed) {
      const resource = resources.get(name);
      if (resource !== undefined && state.sent.get(name) !== resource.version) changed.push(resource);
    }
  }
  for (const name of state.sent.keys()) if (!resources.has(name) || !wants(state, name)) removed.push(name);
  for (const name of state.subscribed) {
    if (!resources.has(name) && !state.sent.has(name) && !state.absent.has(name)) removed.push(name);
  }
  return { changed, removed };
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
    step = {
      changed: [...after.values()].filter(({ name, version }) => before.get(name)?.version !== version),
      removed: [...before.keys()].filter((name) => !after.has(name)),
    };
    known.set(after, step);
  }
  return step;
}

/** Writes down that a response with these contents is on its way. */
export function markSent(state: TypeState, nonce: string, content: Difference, nowMs: number): void {
  for (const resource of content.changed) {
    state.sent.set(resource.name, resource.version);
    state.absent.delete(resource.name);
  }
  for (const name of content.removed) {
    state.sent.delete(name);
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
  state.sent.delete(name);
  state.absent.delete(name);
  state.rejected.delete(name);
  state.settledOn = undefined;
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
