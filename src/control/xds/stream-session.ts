// One ADS stream as a state machine without sockets: requests and new resources go in, responses come out.
//
//   request ──► subscription, ACK or NACK ──► flush
//   resources ────────────────────────────► flush
//
// A flush goes through the types in push order (clusters, endpoints, listeners, routes, the rest) and ends with what
// goes away among clusters and endpoints, so that a route never names a cluster that is gone. One response per type is
// outstanding at a time; what changes meanwhile goes out together after its ACK or NACK. Types that come later in the
// order wait for an earlier one that has something unsent, for a few seconds at most. A NACK leaves the client with
// what it had; the same content is not sent again, and other types go on.
import type { Clock } from "#base/time/clock.ts";
import { pushOrder, typeUrl } from "#wire/xds/type-urls.ts";
import {
  type EncodedResource,
  noResources,
  type ProxyResources,
  type ResourcesByName,
} from "../push/encoded-resource.ts";
import type { MadeResponse, ResponseMessage } from "./shared-responses.ts";
import {
  createTypeState,
  type Difference,
  difference,
  lose,
  markAnswered,
  markSent,
  type Rejection,
  sentVersion,
  settle,
  type TypeState,
} from "./type-state.ts";

/** Where a request stands among those for its type on the stream. */
export interface RequestPlace {
  readonly isFirst: boolean;
  /** It answers an older response than the last one. */
  readonly isStale: boolean;
}

interface ForeignResponse {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: readonly { readonly name: string; readonly typeUrl: string; readonly value: Uint8Array }[];
}

/** What differs between delta and state of the world. */
export interface ProtocolVariant<Request> {
  readonly name: "delta" | "sotw";
  decode(bytes: Buffer): Request;
  typeUrlOf(request: Request): string;
  nonceOf(request: Request): string;
  /** Names that the request asks for, or asks for anew. */
  namesOf(request: Request): readonly string[];
  /** A response beside the session's own, of a type that it does not know. */
  encodeOnce(content: ForeignResponse): Buffer;
  /** The client's words when it rejects, undefined when it accepts. */
  errorOf(request: Request): string | undefined;
  /** Takes over the subscription; says whether a response must follow even if nothing differs. */
  subscribe(state: TypeState, request: Request, known: ResourcesByName, place: RequestPlace): boolean;
  /** What to send of the difference, or undefined for nothing. */
  select(
    state: TypeState,
    found: Difference,
    resources: ResourcesByName,
    sendRemovals: boolean,
  ): Difference | undefined;
  /** `nonce` is the stream's next one; a response that streams share has its own. */
  encode(state: TypeState, nonce: string, content: Difference, resources: ProxyResources): MadeResponse;
}

interface SessionEvents {
  /** Whether responses may be made now; if not, `flush` is called when they may. */
  maySend?(): boolean;
  send(message: ResponseMessage, typeUrl: string): void;
  onAck?(typeUrl: string, waitedMs: number): void;
  onNack?(typeUrl: string, rejection: Rejection): void;
  onStaleNonce?(typeUrl: string): void;
}

export interface SessionOptions {
  readonly clock: Clock;
  readonly events: SessionEvents;
  /** Envoy warms a changed cluster anew and waits for endpoints even when those did not change. */
  readonly resendEndpoints: boolean;
  /** How long a response without an answer holds up the types after it. */
  readonly patienceMs?: number;
}

const emptyResources: ResourcesByName = new Map();
const removedLast: ReadonlySet<string> = new Set([typeUrl.cluster, typeUrl.endpoint]);
const maxTypes = 64;
/** Of one type, on one stream. */
const maxNames = 200_000;

export class StreamSession<Request> {
  readonly variant: ProtocolVariant<Request>;
  readonly #options: SessionOptions;
  readonly #types = new Map<string, TypeState>();
  readonly #forced = new Set<string>();
  #resources: ProxyResources = noResources;
  #nonce = 0;
  #cancelPatience: () => void = () => {};

  constructor(variant: ProtocolVariant<Request>, options: SessionOptions) {
    this.variant = variant;
    this.#options = options;
  }

  get types(): ReadonlyMap<string, TypeState> {
    return this.#types;
  }

  get resources(): ProxyResources {
    return this.#resources;
  }

  /** Takes one request; returns why it is refused, if it is. */
  receive(bytes: Buffer): string | undefined {
    return this.handle(this.variant.decode(bytes));
  }

  handle(request: Request): string | undefined {
    const url = this.variant.typeUrlOf(request);
    let state = this.#types.get(url);
    const isFirst = state === undefined;
    if (state === undefined) {
      if (url === "") return "a request has no type_url";
      if (this.#types.size >= maxTypes) return `more than ${maxTypes} resource types on one stream`;
      state = createTypeState(url);
      this.#types.set(url, state);
    }
    const isStale = !this.#acknowledge(state, request, isFirst);
    const known = this.#resources.byType.get(url) ?? emptyResources;
    if (this.variant.subscribe(state, request, known, { isFirst, isStale })) this.#forced.add(url);
    if (state.subscribed.size > maxNames) return `more than ${maxNames} names of ${url} on one stream`;
    this.flush();
    return undefined;
  }

  /** Takes what the proxy should have now, and sends what differs. */
  update(resources: ProxyResources): void {
    this.#resources = resources;
    this.flush();
  }

  /** Everything that the proxy should have was sent, and it has answered. */
  get isSettled(): boolean {
    for (const state of this.#types.values()) {
      if (state.outstanding !== undefined || state.waiting) return false;
      if (state.typeUrl !== typeUrl.secret && state.settledOn !== this.#resourcesOf(state)) return false;
    }
    return true;
  }

  end(): void {
    this.#cancelPatience();
    this.#types.clear();
  }

  flush(): void {
    // Before the first compilation an empty answer would take away what a reconnecting proxy has.
    if (this.#resources === noResources || this.#options.events.maySend?.() === false) return;
    for (const url of this.#order()) {
      const state = this.#types.get(url);
      if (state !== undefined && !this.#flushType(state, !removedLast.has(url))) return this.#waitPatiently(state);
    }
    for (const url of removedLast) {
      const state = this.#types.get(url);
      if (state !== undefined && !this.#flushType(state, true)) return this.#waitPatiently(state);
    }
    for (const state of this.#types.values()) {
      // Of secrets nothing is settled: who may have which can change by itself.
      if (!state.waiting && state.typeUrl !== typeUrl.secret) settle(state, this.#resourcesOf(state));
    }
  }

  /** Of secrets those that the client asks for by name, or has. */
  #resourcesOf(state: TypeState): ResourcesByName {
    if (state.typeUrl !== typeUrl.secret) return this.#resources.byType.get(state.typeUrl) ?? emptyResources;
    const secrets = new Map<string, EncodedResource>();
    for (const name of new Set([...state.subscribed, ...state.sent.keys()])) {
      const secret = this.#resources.secret(name);
      if (secret !== undefined && secret !== "undecided") secrets.set(name, secret);
    }
    return secrets;
  }

  /** What may turn out to be there must not be told to be gone. */
  #withoutUndecided(state: TypeState, found: Difference): Difference {
    if (state.typeUrl !== typeUrl.secret || found.removed.length === 0) return found;
    return { ...found, removed: found.removed.filter((name) => this.#resources.secret(name) !== "undecided") };
  }

  /** Returns false when something has to go out first and cannot yet. */
  #flushType(state: TypeState, sendRemovals: boolean): boolean {
    const resources = this.#resourcesOf(state);
    const found = this.#withoutUndecided(state, difference(state, resources));
    const forced = this.#forced.has(state.typeUrl);
    const content =
      this.variant.select(state, found, resources, sendRemovals) ?? (forced ? { changed: [], removed: [] } : undefined);
    if (content === undefined) {
      if (found.changed.length === 0 && found.removed.length === 0) state.waiting = false;
      return true;
    }
    if (state.outstanding !== undefined) {
      state.waiting = true;
      return this.#options.clock.now() - state.outstanding.sentAtMs >= (this.#options.patienceMs ?? 5000);
    }
    this.#forced.delete(state.typeUrl);
    if (state.typeUrl === typeUrl.cluster && this.#options.resendEndpoints) this.#forgetEndpointsOf(state, content);
    state.lastVersion = this.#resources.snapshotVersion;
    const { message, nonce } = this.variant.encode(state, String(++this.#nonce), content, this.#resources);
    markSent(state, nonce, content, this.#options.clock.now());
    this.#options.events.send(message, state.typeUrl);
    return true;
  }

  #forgetEndpointsOf(clusters: TypeState, content: Difference): void {
    const endpoints = this.#types.get(typeUrl.endpoint);
    if (endpoints === undefined) return;
    for (const { name, version } of content.changed) {
      const before = sentVersion(clusters, name);
      if (before !== undefined && before !== version) lose(endpoints, name);
    }
  }

  /** Reads the ACK or NACK in a request; false when it answers an older response than the last one. */
  #acknowledge(state: TypeState, request: Request, isFirst: boolean): boolean {
    const nonce = this.variant.nonceOf(request);
    if (nonce === "" || isFirst) return true;
    const { outstanding } = state;
    if (outstanding === undefined || outstanding.nonce !== nonce) {
      if (nonce === state.lastNonce) return true;
      this.#options.events.onStaleNonce?.(state.typeUrl);
      return false;
    }
    const now = this.#options.clock.now();
    const rejection = markAnswered(state, this.variant.errorOf(request), now);
    if (rejection === undefined) this.#options.events.onAck?.(state.typeUrl, now - outstanding.sentAtMs);
    else this.#options.events.onNack?.(state.typeUrl, rejection);
    return true;
  }

  #order(): readonly string[] {
    const others = [...this.#types.keys()].filter((url) => !pushOrder.includes(url));
    return [...pushOrder, ...others];
  }

  #waitPatiently(blocking: TypeState): void {
    this.#cancelPatience();
    if (blocking.outstanding === undefined) return;
    const patienceMs = this.#options.patienceMs ?? 5000;
    const leftMs = blocking.outstanding.sentAtMs + patienceMs - this.#options.clock.now();
    this.#cancelPatience = this.#options.clock.after(Math.max(1, leftMs), () => this.flush());
  }
}
