// Where a client keeps the address of its host: in a cookie, or in a header. It is base64 of `10.0.0.7:80`.

import type { DescMessage } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { CookieBasedSessionStateSchema } from "#wire/gen/envoy/extensions/http/stateful_session/cookie/v3/cookie_pb.ts";
import { HeaderBasedSessionStateSchema } from "#wire/gen/envoy/extensions/http/stateful_session/header/v3/header_pb.ts";
import type { Headers } from "#wire/http/headers.ts";
import { milliseconds, typeName, unpack } from "../../../config/parse/values.ts";
import type { Problems } from "../../../config/problems.ts";
import type { Stream } from "../../stream.ts";

export interface SessionState {
  /** The address that the client asks for; empty for none. */
  read(stream: Stream): string;
  /** Tells the client which host served it, where it does not know. */
  write(headers: Headers, asked: string, used: string): void;
}

export const sessionStates: readonly DescMessage[] = [CookieBasedSessionStateSchema, HeaderBasedSessionStateSchema];

export function parseSessionState(any: Any | undefined, path: string, problems: Problems): SessionState | null {
  switch (typeName(any)) {
    case CookieBasedSessionStateSchema.typeName: {
      const cookie = unpack(any as Any, CookieBasedSessionStateSchema, path, problems)?.cookie;
      const name = cookie?.name ?? "";
      if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) problems.invalid(`${path}.cookie.name`, `"${name}" is no name`);
      if (/[;\r\n]/.test(cookie?.path ?? "")) problems.invalid(`${path}.cookie.path`, "is no path");
      return new CookieState(name, Math.floor(milliseconds(cookie?.ttl, 0) / 1000), cookie?.path ?? "");
    }
    case HeaderBasedSessionStateSchema.typeName: {
      const name = unpack(any as Any, HeaderBasedSessionStateSchema, path, problems)?.name ?? "";
      if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) problems.invalid(`${path}.name`, `"${name}" is no header name`);
      return new HeaderState(name.toLowerCase());
    }
    case "":
      return null;
    default:
      problems.unsupported(path, `session state in ${typeName(any)}`);
      return null;
  }
}

class CookieState implements SessionState {
  readonly #name: string;
  readonly #ttlSeconds: number;
  readonly #path: string;

  constructor(name: string, ttlSeconds: number, path: string) {
    this.#name = name;
    this.#ttlSeconds = ttlSeconds;
    this.#path = path;
  }

  read(stream: Stream): string {
    // A cookie of a path says nothing about requests elsewhere (RFC 6265 5.1.4).
    if (this.#path !== "" && !isBelow(stream.path, this.#path)) return "";
    for (const pair of (stream.headers.get("cookie") ?? "").split(";")) {
      const equals = pair.indexOf("=");
      if (equals > 0 && pair.slice(0, equals).trim() === this.#name) {
        return decode(
          pair
            .slice(equals + 1)
            .trim()
            .replaceAll('"', ""),
        );
      }
    }
    return "";
  }

  write(headers: Headers, asked: string, used: string): void {
    if (asked === used) return;
    const age = this.#ttlSeconds > 0 ? `; Max-Age=${this.#ttlSeconds}` : "";
    const path = this.#path === "" ? "" : `; Path=${this.#path}`;
    headers.add("set-cookie", `${this.#name}="${encode(used)}"${age}${path}; HttpOnly`);
  }
}

class HeaderState implements SessionState {
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  read(stream: Stream): string {
    return decode(stream.headers.get(this.#name) ?? "");
  }

  write(headers: Headers, _asked: string, used: string): void {
    headers.set(this.#name, encode(used));
  }
}

function isBelow(target: string, path: string): boolean {
  const plain = target.split("?", 1)[0] ?? target;
  if (!plain.startsWith(path)) return false;
  return plain.length === path.length || path.endsWith("/") || plain[path.length] === "/";
}

function encode(address: string): string {
  return Buffer.from(address, "latin1").toString("base64");
}

function decode(text: string): string {
  return text.length > 128 ? "" : Buffer.from(text, "base64").toString("latin1");
}
