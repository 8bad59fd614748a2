// Header operations of routes, with Envoy's command operators in their values. A value without `%` costs nothing; the
// others are compiled once per configuration object.

import { HOST, nameOfId } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import type { AccessLogEntry } from "../config/access-log.ts";
import type { HeaderMutation } from "../config/http.ts";
import { compileLogExpression, type LogExpression } from "../config/parse/log-expression.ts";
import { Problems } from "../config/problems.ts";
import { findOperator, limited, type Operator } from "../observe/access-log/operators.ts";
import { accessLogEntry } from "./access-log-entry.ts";
import { reasonPhrase } from "./local-replies.ts";
import type { Stream } from "./stream.ts";

const compiledValues = new WeakMap<HeaderMutation, ((entry: AccessLogEntry) => string) | null>();

/** Applies operations in order. `:authority`, `host`, `:path` and `:method` change the request itself. */
export function applyHeaderMutations(
  stream: Stream,
  headers: Headers,
  mutations: readonly HeaderMutation[],
  isRequest: boolean,
): void {
  for (let i = 0; i < mutations.length; i++) {
    const mutation = mutations[i]!;
    const name = mutation.name;
    if (isRequest && (name === ":authority" || name.toLowerCase() === nameOfId(HOST))) {
      if (mutation.operation !== "remove") stream.setAuthority(valueOf(mutation, stream));
    } else if (isRequest && name === ":path") {
      if (mutation.operation !== "remove") stream.path = valueOf(mutation, stream);
    } else if (name === (isRequest ? ":method" : ":status")) {
      if (mutation.operation !== "remove") setStartLine(stream, valueOf(mutation, stream), isRequest);
    } else if (!name.startsWith(":")) {
      apply(stream, headers, mutation);
    }
  }
}

/**
 * What is no method or status is left out: it would break the message. So is HEAD or CONNECT in place of another method,
 * or the other way round, because the client's idea of what follows the head must stay true.
 */
function setStartLine(stream: Stream, value: string, isRequest: boolean): void {
  if (isRequest) {
    const isFixed = (method: string): boolean => method === "HEAD" || method === "CONNECT";
    if (/^[A-Z]+$/.test(value) && !isFixed(value) && !isFixed(stream.method)) stream.method = value;
  } else if (/^[2-5]\d\d$/.test(value)) {
    stream.responseStatus = Number(value);
    stream.responseReason = reasonPhrase(stream.responseStatus);
  }
}

function apply(stream: Stream, headers: Headers, mutation: HeaderMutation): void {
  const lowerName = mutation.name.toLowerCase();
  switch (mutation.operation) {
    case "remove":
      headers.remove(lowerName);
      return;
    case "add_if_absent":
      if (!headers.has(lowerName)) headers.add(mutation.name, valueOf(mutation, stream));
      return;
    case "set_if_exists":
      if (headers.has(lowerName)) headers.set(mutation.name, valueOf(mutation, stream));
      return;
    case "set":
      headers.set(mutation.name, valueOf(mutation, stream));
      return;
    default:
      headers.add(mutation.name, valueOf(mutation, stream));
  }
}

function valueOf(mutation: HeaderMutation, stream: Stream): string {
  let compiled = compiledValues.get(mutation);
  if (compiled === undefined) {
    compiled = mutation.value.includes("%") ? compileValue(mutation.value) : null;
    compiledValues.set(mutation, compiled);
  }
  return compiled === null ? mutation.value : oneLine(compiled(accessLogEntry(stream)));
}

/** Values come from requests in part: a line break in one would add header lines. */
function oneLine(value: string): string {
  return /[\r\n\0]/.test(value) ? value.replaceAll(/[\r\n\0]/g, "") : value;
}

/** What is wrong in an expression was told where the route was decoded, or is nobody's: such text stays as it is. */
function expressionIn(text: string): LogExpression | null {
  return compileLogExpression(text, "", new Problems("header", ""));
}

/** Compiles `a-%REQ(x-b?:path)%`. `%%` is a percent sign; what is not an operator stays as it is. */
function compileValue(format: string): (entry: AccessLogEntry) => string {
  const parts: (string | Operator)[] = [];
  let at = 0;
  for (const match of format.matchAll(/%%|%([A-Z][A-Z_0-9]*)(?:\((.*?)\))?(?::(\d+))?%/gs)) {
    const [whole, name = "", argument, length] = match;
    if (match.index > at) parts.push(format.slice(at, match.index));
    at = match.index + whole.length;
    const operator = whole === "%%" ? "%" : findOperator(name, argument, expressionIn);
    if (typeof operator === "string") parts.push(whole === "%%" ? "%" : whole);
    else parts.push(length === undefined ? operator : limited(operator, Number(length)));
  }
  if (at < format.length) parts.push(format.slice(at));
  return (entry) => parts.map((part) => (typeof part === "string" ? part : (part(entry) ?? "-"))).join("");
}
