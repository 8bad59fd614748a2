// The contract of an HTTP filter. A filter is made once per configuration when it keeps no state of a stream, else once
// per stream; hooks that are absent cost nothing, because each hook has its own list. There are no promises: a filter
// that must wait answers PAUSE and calls `stream.resume()` later. The router is not a filter of this kind: it ends the
// chain and has the stream to itself.
import type { Headers } from "#wire/http/headers.ts";
import type { HttpFilterConfig } from "../config/http.ts";
import type { HttpEnvironment } from "./environment.ts";
import type { Stream } from "./stream.ts";

export type Verdict = 0 | 1 | 2;
/** Go on with the next filter. */
export const CONTINUE: Verdict = 0;
/** Stop here until `stream.resume()`. Data is held meanwhile and reading stops. */
export const PAUSE: Verdict = 1;
/** A local reply was sent; nothing more is called. */
export const DONE: Verdict = 2;

export interface HttpFilter {
  onRequestHeaders?(stream: Stream, headers: Headers, end: boolean): Verdict;
  onRequestData?(stream: Stream, data: Buffer, end: boolean): Verdict;
  onResponseHeaders?(stream: Stream, headers: Headers, end: boolean): Verdict;
  onResponseData?(stream: Stream, data: Buffer, end: boolean): Verdict;
  /** The stream is complete: everything that can be known of it is known. */
  onComplete?(stream: Stream): void;
}

export interface HttpFilterFactory {
  /** The one object for all streams, or null when `create` must make one for each. */
  readonly shared: HttpFilter | null;
  create(): HttpFilter;
}

/** A filter's place in the proxy: its type in the configuration and how it is made from its settings. */
export interface HttpFilterType<T extends HttpFilterConfig["type"]> {
  readonly type: T;
  configure(config: Extract<HttpFilterConfig, { type: T }>, environment: HttpEnvironment): HttpFilterFactory;
}

/** Filters split by hook, in the order in which they are called. */
export interface HookLists {
  readonly requestHeaders: readonly HttpFilter[];
  readonly requestData: readonly HttpFilter[];
  readonly responseHeaders: readonly HttpFilter[];
  readonly responseData: readonly HttpFilter[];
  readonly complete: readonly HttpFilter[];
}

/** Splits a chain. Responses pass it in reverse order. */
export function hookLists(filters: readonly HttpFilter[]): HookLists {
  const reversed = [...filters].reverse();
  return {
    requestHeaders: filters.filter((filter) => filter.onRequestHeaders !== undefined),
    requestData: filters.filter((filter) => filter.onRequestData !== undefined),
    responseHeaders: reversed.filter((filter) => filter.onResponseHeaders !== undefined),
    responseData: reversed.filter((filter) => filter.onResponseData !== undefined),
    complete: filters.filter((filter) => filter.onComplete !== undefined),
  };
}

export function sharedFilter(filter: HttpFilter): HttpFilterFactory {
  return { shared: filter, create: () => filter };
}
