// Where a token may stand in a request: a header behind a prefix, a query parameter, a cookie. Every token that stands in
// a place of its provider is found, also in repeated headers and parameters: the application may read another one than
// the first.
import type { JwtProvider } from "#wire/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts";
import type { Problems } from "../../../config/problems.ts";
import type { HeaderValue } from "../../../config/rbac.ts";

export interface TokenPlace {
  readonly type: "header" | "parameter" | "cookie";
  /** Of a header in lower case. */
  readonly name: string;
  /** Before the token in a header; empty for none. */
  readonly prefix: string;
}

export interface FoundToken {
  readonly token: string;
  readonly place: TokenPlace;
}

/** What tokens are looked for in. */
export interface TokenHolder {
  /** With query. */
  readonly path: string;
  headerValues(name: string): HeaderValue;
}

const bearer: TokenPlace = { type: "header", name: "authorization", prefix: "Bearer " };
const accessToken: TokenPlace = { type: "parameter", name: "access_token", prefix: "" };

export function decodePlaces(message: JwtProvider, path: string, problems: Problems): readonly TokenPlace[] {
  const { fromHeaders, fromParams, fromCookies } = message;
  const places: TokenPlace[] = [];
  fromHeaders.forEach(({ name, valuePrefix }, i) => {
    if (name === "") problems.invalid(`${path}.from_headers[${i}].name`, "is missing");
    places.push({ type: "header", name: name.toLowerCase(), prefix: valuePrefix });
  });
  for (const name of fromParams) places.push({ type: "parameter", name, prefix: "" });
  for (const name of fromCookies) places.push({ type: "cookie", name, prefix: "" });
  return places.length === 0 ? [bearer, accessToken] : places;
}

export function describePlace(place: TokenPlace): string {
  return `${place.type} ${place.name}`;
}

export function findTokens(holder: TokenHolder, places: readonly TokenPlace[]): FoundToken[] {
  const found: FoundToken[] = [];
  for (const place of places) {
    for (const token of tokensAt(holder, place)) found.push({ token, place });
  }
  return found;
}

function tokensAt(holder: TokenHolder, place: TokenPlace): readonly string[] {
  if (place.type === "parameter") return parameterTokens(holder.path, place.name);
  const value = holder.headerValues(place.type === "cookie" ? "cookie" : place.name);
  if (value === undefined) return [];
  const lines = typeof value === "string" ? [value] : value;
  return place.type === "cookie"
    ? lines.flatMap((line) => cookieTokens(line, place.name))
    : lines.flatMap((line) => headerToken(line, place.prefix) ?? []);
}

/** The prefix is looked for in any case: `bearer` is the same scheme (RFC 9110 11.1). */
function headerToken(line: string, prefix: string): string | undefined {
  const at = prefix === "" ? 0 : line.toLowerCase().indexOf(prefix.toLowerCase());
  if (at < 0) return undefined;
  const rest = line.slice(at + prefix.length).trimStart();
  const end = rest.search(/[\s,;"']/);
  const token = end < 0 ? rest : rest.slice(0, end);
  return token === "" ? undefined : token;
}

function cookieTokens(line: string, name: string): string[] {
  return line.split(";").flatMap((pair) => {
    const equals = pair.indexOf("=");
    if (equals < 0 || pair.slice(0, equals).trim() !== name) return [];
    const value = pair.slice(equals + 1).trim();
    return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? [value.slice(1, -1)] : [value];
  });
}

function parameterTokens(path: string, name: string): string[] {
  const at = path.indexOf("?");
  if (at < 0) return [];
  return path
    .slice(at + 1)
    .split("&")
    .flatMap((pair) => (parameterName(pair) === name ? [decodeComponent(pair.slice(pair.indexOf("=") + 1))] : []));
}

function parameterName(pair: string): string | null {
  const equals = pair.indexOf("=");
  return equals < 0 ? null : decodeComponent(pair.slice(0, equals));
}

function decodeComponent(text: string): string {
  if (!text.includes("%") && !text.includes("+")) return text;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text; // no token is spelled like this
  }
}

/** The path without that parameter; the others stay as they are. */
export function withoutParameter(path: string, name: string): string {
  const at = path.indexOf("?");
  if (at < 0) return path;
  const kept = path
    .slice(at + 1)
    .split("&")
    .filter((pair) => parameterName(pair) !== name);
  return kept.length === 0 ? path.slice(0, at) : `${path.slice(0, at)}?${kept.join("&")}`;
}
