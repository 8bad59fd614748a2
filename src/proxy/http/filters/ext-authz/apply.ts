// Changes that an authorization service makes to a request that it allows, and to a response.
import type { Headers } from "#wire/http/headers.ts";
import type { Stream } from "../../stream.ts";
import type { Allowed, HeaderChange } from "./outcome.ts";

/** True when something changed. */
export function applyToRequest(stream: Stream, { request, removedParameters, setParameters }: Allowed): boolean {
  for (const change of request) {
    if (!change.name.startsWith(":") && change.name !== "host") applyToHeaders(stream.headers, change);
    else if (change.operation !== "remove" && change.operation !== "add_if_absent") applyToStartLine(stream, change);
  }
  if (removedParameters.length > 0 || setParameters.length > 0) {
    stream.path = withParameters(stream.path, removedParameters, setParameters);
  }
  return request.length > 0 || removedParameters.length > 0 || setParameters.length > 0;
}

function applyToStartLine(stream: Stream, { name, value }: HeaderChange): void {
  if (name === ":path") {
    if (/^\/[^\s#]*$/.test(value)) stream.path = value;
  } else if (name === ":method") {
    if (/^[A-Z]+$/.test(value) && value !== "HEAD" && value !== "CONNECT") stream.method = value;
  } else if (/^[^\s/?#@]+$/.test(value)) {
    stream.setAuthority(value);
  }
}

export function applyToHeaders(headers: Headers, { name, operation, value }: HeaderChange): void {
  switch (operation) {
    case "set":
      headers.set(name, value);
      return;
    case "add":
      headers.add(name, value);
      return;
    case "append_if_there": {
      const before = headers.get(name);
      if (before !== undefined) headers.set(name, `${before},${value}`);
      return;
    }
    case "add_if_absent":
      if (!headers.has(name)) headers.add(name, value);
      return;
    case "set_if_there":
      if (headers.has(name)) headers.set(name, value);
      return;
    case "remove":
      headers.remove(name);
  }
}

function withParameters(path: string, removed: readonly string[], set: Allowed["setParameters"]): string {
  const at = path.indexOf("?");
  const pairs = at < 0 ? [] : path.slice(at + 1).split("&");
  const gone = new Set([...removed, ...set.map(({ key }) => key)]);
  const kept = pairs.filter((pair) => pair !== "" && !gone.has(pair.split("=", 1)[0] ?? ""));
  for (const { key, value } of set) kept.push(`${plain(key)}=${plain(value)}`);
  const bare = at < 0 ? path : path.slice(0, at);
  return kept.length === 0 ? bare : `${bare}?${kept.join("&")}`;
}

/** What is encoded stays so; what would end a parameter, or the path, is encoded. */
function plain(text: string): string {
  return text.replaceAll(/[^\x21-\x7e]|[&#]/g, (char) => encodeURIComponent(char.isWellFormed() ? char : "\ufffd"));
}
