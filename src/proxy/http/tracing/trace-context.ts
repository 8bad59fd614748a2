// Who a request's trace is known to be by its headers, and the headers that tell the next one: W3C's `traceparent`, and
// Zipkin's B3 in one header or several.
// https://www.w3.org/TR/trace-context, https://github.com/openzipkin/b3-propagation
import type { Headers } from "#wire/http/headers.ts";

/** The span that the request was sent in. */
interface TraceContext {
  /** 32 hexadecimal digits; of B3 perhaps 16. */
  readonly traceId: string;
  /** 16 digits. */
  readonly spanId: string;
  /** Of B3; empty: none. */
  readonly parentId: string;
  /** Null: it is not said. */
  readonly sampled: boolean | null;
}

/** Null: there is none. "invalid": there is one that can't be believed, and the request has no span here. */
export type FoundContext = TraceContext | "invalid" | null;

const traceParent = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(?:-.*)?$/;
const nothing = /^0+$/;

export function w3cContext(headers: Headers): FoundContext {
  const value = headers.get("traceparent");
  if (value === undefined) return null;
  const [, version = "", traceId = "", spanId = "", flags = ""] = traceParent.exec(value.trim()) ?? [];
  const isLong = version === "00" && value.trim().length !== 55;
  if (traceId === "" || version === "ff" || isLong || nothing.test(traceId) || nothing.test(spanId)) return "invalid";
  return { traceId, spanId, parentId: "", sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** What B3 says of sampling, which it may say without a trace. */
export interface B3Context {
  readonly context: FoundContext;
  readonly sampled: boolean | null;
}

const b3Trace = /^(?:[\da-f]{16}|[\da-f]{32})$/;
const b3Span = /^[\da-f]{16}$/;

export function b3Context(headers: Headers): B3Context {
  const single = headers.get("b3");
  if (single !== undefined) return singleB3(single.trim().toLowerCase());
  const flag = headers.get("x-b3-sampled");
  const sampled =
    headers.get("x-b3-flags") === "1" ? true : flag === undefined ? null : flag === "1" || flag === "true";
  const traceId = headers.get("x-b3-traceid")?.toLowerCase();
  const spanId = headers.get("x-b3-spanid")?.toLowerCase();
  if (traceId === undefined || spanId === undefined) return { context: null, sampled };
  const parentId = headers.get("x-b3-parentspanid")?.toLowerCase() ?? "";
  return { context: b3Of(traceId, spanId, parentId, sampled), sampled };
}

/** `0`, `1`, `d`, or `{trace}-{span}[-{sampled}[-{parent}]]`. */
function singleB3(value: string): B3Context {
  if (value === "0" || value === "1" || value === "d") return { context: null, sampled: value !== "0" };
  const [traceId = "", spanId = "", flag, parentId = "", ...more] = value.split("-");
  const sampled = flag === undefined ? null : flag === "1" || flag === "d";
  if (more.length > 0) return { context: "invalid", sampled };
  return { context: b3Of(traceId, spanId, parentId, sampled), sampled };
}

function b3Of(traceId: string, spanId: string, parentId: string, sampled: boolean | null): FoundContext {
  const isValid = b3Trace.test(traceId) && b3Span.test(spanId) && (parentId === "" || b3Span.test(parentId));
  return isValid ? { traceId, spanId, parentId, sampled } : "invalid";
}

/** What is told of a span that a request is sent in. */
export interface SentContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  readonly sampled: boolean;
  readonly traceState: string;
}

export function sendW3c(headers: Headers, span: SentContext): void {
  headers.set("traceparent", `00-${span.traceId.padStart(32, "0")}-${span.spanId}-${span.sampled ? "01" : "00"}`);
}

export function sendB3(headers: Headers, span: SentContext): void {
  headers.remove("b3");
  headers.set("x-b3-traceid", span.traceId);
  headers.set("x-b3-spanid", span.spanId);
  if (span.parentId === "") headers.remove("x-b3-parentspanid");
  else headers.set("x-b3-parentspanid", span.parentId);
  headers.set("x-b3-sampled", span.sampled ? "1" : "0");
}
