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
  /** The response that is neither accepted nor rejected yet. At most one. */
  outstanding: OutstandingResponse | undefined;
  /** Whether anything was ever sent for the type. */
  responded: boolean;
  /** Something changed that could not be sent while a response was outstanding. */
  waiting: boolean;
  rejection: Rejection | undefined;
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
    outstanding: undefined,
    responded: false,
    waiting: false,
    rejection: undefined,
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

/** What the client lacks, and what it has too much. */
export function difference(state: TypeState, resources: ResourcesByName): Difference {
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
  for (const name of state.sent.keys()) {
    if (!resources.has(name) || !(state.wildcard || state.subscribed.has(name))) removed.push(name);
  }
  for (const name of state.subscribed) {
    if (!resources.has(name) && !state.sent.has(name) && !state.absent.has(name)) removed.push(name);
  }
  return { changed, removed };
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

/** The names of a rejected response that the client's message speaks of. */
export function namesIn(message: string, names: readonly string[]): readonly string[] {
  const mentioned = names.filter((name) => message.includes(name));
  return mentioned.length > 0 ? mentioned : names;
}
