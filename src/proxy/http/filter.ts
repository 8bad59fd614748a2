// The contract of an HTTP filter. A filter is one folder under `filters/`: it parses its messages into settings once per
// configuration, and makes filter objects: one for all streams when it keeps no state of a stream, else one per stream.
// Hooks that are absent cost nothing, because each hook has its own list. There are no promises: a filter that must wait
// answers PAUSE or HOLD and calls `stream.resumeRequest()` or `stream.resumeResponse()` later. The router is not a filter
// of this kind: it ends the chain and has the stream to itself.
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Origin } from "#base/issue.ts";
import type { Headers } from "#wire/http/headers.ts";
import type { FilterDecide } from "../config/http.ts";
import { unpack } from "../config/parse/values.ts";
import type { Problems } from "../config/problems.ts";
import type { HttpEnvironment } from "./environment.ts";
import type { Stream } from "./stream.ts";

export type Verdict = 0 | 1 | 2 | 3;
/** Go on with the next filter. */
export const CONTINUE: Verdict = 0;
/** Stop here until resumed. Data and the end are held before this filter meanwhile, and reading stops. */
export const PAUSE: Verdict = 1;
/** A local reply was sent, or the stream was reset; nothing more is called. */
export const DONE: Verdict = 2;
/** From a headers hook: keep the head here, and give this filter the data and the end all the same. */
export const HOLD: Verdict = 3;

export interface HttpFilter {
  onRequestHeaders?(stream: Stream, headers: Headers, end: boolean): Verdict;
  /** Gives what goes on to the next filter: the same bytes, others, or null for nothing (kept or dropped). */
  onRequestData?(stream: Stream, data: Buffer): Buffer | null;
  /** The request is complete. PAUSE keeps the end here until `resumeRequest`. */
  onRequestEnd?(stream: Stream, trailers: Headers | null): Verdict;
  onResponseHeaders?(stream: Stream, headers: Headers, end: boolean): Verdict;
  onResponseData?(stream: Stream, data: Buffer): Buffer | null;
  onResponseEnd?(stream: Stream, trailers: Headers | null): Verdict;
  /** The stream is complete: everything that can be known of it is known. Filters let go of what they hold. */
  onComplete?(stream: Stream): void;
}

export interface HttpFilterFactory {
  /** The one object for all streams, or null when `create` must make one for each. */
  readonly shared: HttpFilter | null;
  create(stream: Stream): HttpFilter;
}

/** What a filter gets when it is made from its settings. */
export interface FilterContext<R> {
  readonly environment: HttpEnvironment;
  /** Its name in the chain. */
  readonly name: string;
  /** `http.<stat_prefix>.` of the connection manager. */
  readonly statPrefix: string;
  /** Settings that the stream's route has for this filter: the most specific, or null. */
  readonly routeSettings: (stream: Stream) => R | null;
  /** All of them, most specific first. */
  readonly allRouteSettings: (stream: Stream) => readonly R[];
}

/** Where settings stand, for problems. */
export interface FilterPlace {
  readonly name: string;
  readonly path: string;
  readonly problems: Problems;
  readonly policyOrigins: ReadonlyMap<string, Origin>;
}

/** Reads settings out of one type of message. */
export interface SettingsParser<S> {
  readonly typeName: string;
  /** Null for a message that is only named. */
  readonly schema: DescMessage | null;
  parse(any: Any, place: FilterPlace): S | null;
}

/** A filter's place in the proxy, with the types of its settings forgotten. */
export interface HttpFilterType {
  /** As its folder, with underscores. */
  readonly type: string;
  readonly messages: readonly SettingsParser<unknown>[];
  readonly routeMessages: readonly SettingsParser<unknown>[];
  /** What may stand in an Any within its settings. */
  readonly extensions: readonly DescMessage[];
  /** The filter's verdict on a request head as a pure function of settings, for explain. Null: it has none. */
  decide(settings: unknown): FilterDecide | null;
  /** Null: the filter has no hook of its own (the router, istio.alpn). */
  configure(settings: unknown, context: FilterContext<unknown>): HttpFilterFactory | null;
}

export interface HttpFilterDefinition<S, R> {
  readonly type: string;
  readonly messages: readonly SettingsParser<S>[];
  readonly routeMessages?: readonly SettingsParser<R>[];
  readonly extensions?: readonly DescMessage[];
  readonly decide?: (settings: S) => FilterDecide | null;
  readonly configure: (settings: S, context: FilterContext<R>) => HttpFilterFactory | null;
}

/** Makes a filter type. Settings that its own parsers made come back to it, so the casts here are true. */
export function defineHttpFilter<S, R = never>(definition: HttpFilterDefinition<S, R>): HttpFilterType {
  return {
    type: definition.type,
    messages: definition.messages,
    routeMessages: definition.routeMessages ?? [],
    extensions: definition.extensions ?? [],
    decide: (settings) => definition.decide?.(settings as S) ?? null,
    configure: (settings, context) => definition.configure(settings as S, context as FilterContext<R>),
  };
}

/** Settings from a message that the proxy knows. `parse` answers null after it told a problem. */
export function settingsFrom<Desc extends DescMessage, S>(
  schema: Desc,
  parse: (message: MessageShape<Desc>, place: FilterPlace) => S | null,
): SettingsParser<S> {
  return {
    typeName: schema.typeName,
    schema,
    parse: (any, place) => {
      const message = unpack(any, schema, place.path, place.problems);
      return message === null ? null : parse(message, place);
    },
  };
}

/** A filter in its place in the chain. */
interface PlacedFilter {
  readonly filter: HttpFilter;
  readonly position: number;
}

/** Filters split by hook, in the order in which they are called. Positions ascend in that order, in both directions. */
export interface HookLists {
  /** Number of filters in the chain. */
  readonly length: number;
  readonly requestHeaders: readonly PlacedFilter[];
  readonly requestData: readonly PlacedFilter[];
  readonly requestEnd: readonly PlacedFilter[];
  readonly responseHeaders: readonly PlacedFilter[];
  readonly responseData: readonly PlacedFilter[];
  readonly responseEnd: readonly PlacedFilter[];
  readonly complete: readonly HttpFilter[];
}

/** Splits a chain. Responses pass it in reverse order. */
export function hookLists(filters: readonly HttpFilter[]): HookLists {
  const forward = filters.map((filter, position): PlacedFilter => ({ filter, position }));
  const reversed = [...filters].reverse().map((filter, position): PlacedFilter => ({ filter, position }));
  return {
    length: filters.length,
    requestHeaders: forward.filter(({ filter }) => filter.onRequestHeaders !== undefined),
    requestData: forward.filter(({ filter }) => filter.onRequestData !== undefined),
    requestEnd: forward.filter(({ filter }) => filter.onRequestEnd !== undefined),
    responseHeaders: reversed.filter(({ filter }) => filter.onResponseHeaders !== undefined),
    responseData: reversed.filter(({ filter }) => filter.onResponseData !== undefined),
    responseEnd: reversed.filter(({ filter }) => filter.onResponseEnd !== undefined),
    complete: filters.filter((filter) => filter.onComplete !== undefined),
  };
}

/** Before the chain of a stream is known. */
export const noHooks: HookLists = hookLists([]);

/** The lists with one more filter at the place of `owner`, behind it. The head that `owner` has now is not shown to it. */
export function withAttached(hooks: HookLists, owner: HttpFilter, filter: HttpFilter, isResponse: boolean): HookLists {
  const position = positionIn(hooks, owner);
  const forward: PlacedFilter = { filter, position };
  const reversed: PlacedFilter = { filter, position: hooks.length - 1 - position };
  return {
    length: hooks.length,
    requestHeaders: hooks.requestHeaders,
    requestData: insert(hooks.requestData, forward, filter.onRequestData),
    requestEnd: insert(hooks.requestEnd, forward, filter.onRequestEnd),
    responseHeaders: isResponse
      ? hooks.responseHeaders
      : insert(hooks.responseHeaders, reversed, filter.onResponseHeaders),
    responseData: insert(hooks.responseData, reversed, filter.onResponseData),
    responseEnd: insert(hooks.responseEnd, reversed, filter.onResponseEnd),
    complete: filter.onComplete === undefined ? hooks.complete : [...hooks.complete, filter],
  };
}

/** A filter's place in the order of requests. */
export function positionIn(hooks: HookLists, filter: HttpFilter): number {
  for (const list of [hooks.requestHeaders, hooks.requestData, hooks.requestEnd]) {
    const placed = list.find((it) => it.filter === filter);
    if (placed !== undefined) return placed.position;
  }
  for (const list of [hooks.responseHeaders, hooks.responseData, hooks.responseEnd]) {
    const placed = list.find((it) => it.filter === filter);
    if (placed !== undefined) return hooks.length - 1 - placed.position;
  }
  return -1;
}

/** Index of the first entry behind a position. */
export function indexAfter(list: readonly PlacedFilter[], position: number): number {
  const index = list.findIndex((it) => it.position > position);
  return index < 0 ? list.length : index;
}

function insert(list: readonly PlacedFilter[], placed: PlacedFilter, hook: unknown): readonly PlacedFilter[] {
  return hook === undefined ? list : list.toSpliced(indexAfter(list, placed.position), 0, placed);
}

export function sharedFilter(filter: HttpFilter): HttpFilterFactory {
  return { shared: filter, create: () => filter };
}
