// What a good token changes in its request: it is taken out, and its claims go into headers and dynamic metadata. Headers
// that carry claims are taken from every request first, so that nobody can write them himself.

import type { Headers } from "#wire/http/headers.ts";
import type { JsonObject } from "#wire/jose/strict-json.ts";
import type { FilterMetadata } from "../../../config/http.ts";
import type { Stream } from "../../stream.ts";
import type { AcceptedToken, Authentication } from "./authenticate.ts";
import type { JwtProvider } from "./settings.ts";
import { withoutParameter } from "./token-places.ts";

const namespace = "envoy.filters.http.jwt_authn";

/** Headers that only this filter may write. */
export function claimHeaderNames(providers: Iterable<JwtProvider>): string[] {
  const names = new Set<string>();
  for (const { payloadHeader, claimHeaders } of providers) {
    if (payloadHeader !== "") names.add(payloadHeader);
    for (const { header } of claimHeaders) names.add(header);
  }
  return [...names];
}

export function applyTokens(stream: Stream, accepted: readonly AcceptedToken[]): void {
  let isNewRoute = false;
  for (const token of accepted) {
    if (!token.provider.forwards) removeToken(stream, token);
    const hasHeader = addClaims(stream.headers, token);
    isNewRoute ||= token.provider.clearsRouteCache && (hasHeader || token.provider.payloadKey !== "");
  }
  if (isNewRoute) stream.selectRoute();
}

function removeToken(stream: Stream, { found }: AcceptedToken): void {
  const { type, name } = found.place;
  if (type === "header") stream.headers.remove(name);
  else if (type === "parameter") stream.path = withoutParameter(stream.path, name);
}

function addClaims(headers: Headers, { provider, jwt }: AcceptedToken): boolean {
  const { payloadHeader, padsPayloadHeader, claimHeaders } = provider;
  if (payloadHeader !== "") {
    const text = jwt.jws.payloadText;
    headers.set(payloadHeader, padsPayloadHeader ? text.padEnd(Math.ceil(text.length / 4) * 4, "=") : text);
  }
  let hasHeader = false;
  for (const { header, claim } of claimHeaders) {
    const value = headerText(claimAt(jwt.claims, claim));
    if (value === null) continue;
    headers.set(header, value);
    hasHeader = true;
  }
  return hasHeader;
}

/** A claim by its name, or by the names on the way to it. */
function claimAt(claims: JsonObject, path: readonly string[]): unknown {
  let current: unknown = claims;
  for (const key of path) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, key)) return undefined;
    current = (current as JsonObject)[key];
  }
  return current;
}

/** Null: nothing that a header can say. */
function headerText(value: unknown): string | null {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "string") return null;
  // A claim may hold anything, and a line break would begin another header.
  const bytes = Buffer.from(value, "utf8").toString("latin1");
  for (let i = 0; i < bytes.length; i++) {
    const code = bytes.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) return null;
  }
  return bytes;
}

export function metadataOf({ accepted, failed }: Authentication): readonly FilterMetadata[] {
  const values: Record<string, unknown> = {};
  for (const { provider, jwt } of accepted) {
    if (provider.payloadKey !== "") values[provider.payloadKey] = normalized(jwt.claims, provider.spaceDelimitedClaims);
    if (provider.headerKey !== "") values[provider.headerKey] = jwt.jws.header;
  }
  for (const { provider, status } of failed) {
    if (provider.failureKey !== "") values[provider.failureKey] = { code: status.code, message: status.text };
  }
  return Object.keys(values).length === 0 ? [] : [{ namespace, values }];
}

function normalized(claims: JsonObject, spaceDelimited: readonly string[]): JsonObject {
  if (spaceDelimited.length === 0) return claims;
  const result: Record<string, unknown> = { ...claims };
  for (const name of spaceDelimited) {
    const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
    if (typeof value === "string") result[name] = value.split(" ").filter((it) => it !== "");
  }
  return result;
}
