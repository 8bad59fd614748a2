// HOT: per byte of a literal field. Which bytes may stand in field names and values (RFC 9110 5, RFC 9113 8.2.1 and 8.3).
// As strict as the HTTP/1 parser, because what passes here is sent on as HTTP/1 too. The answer for a field in an HPACK
// table is kept with its entry.
import { tokenLower } from "../http/header-names.ts";
import { AUTHORITY, FIRST_PSEUDO, METHOD, PATH, PROTOCOL, SCHEME, STATUS } from "./hpack/static-table.ts";

/** Bits that say what is wrong with a field. */
export const BAD_NAME = 1;
export const BAD_VALUE = 2;

const SP = 32;
const TAB = 9;

/** HTAB, visible ASCII, space and obs-text. */
const valueChar: Uint8Array = new Uint8Array(256).fill(1, 32).fill(1, 9, 10).fill(0, 127, 128);
/** Visible ASCII, as in an HTTP/1 request target. */
const targetChar: Uint8Array = new Uint8Array(256).fill(1, 33, 127);
/** What may stand in `host [":" port]` (RFC 3986 3.2.2): no user information (RFC 9113 8.3.1), no path. */
const authorityChar: Uint8Array = charTable(
  "!$%&'()*+,-.0123456789:;=ABCDEFGHIJKLMNOPQRSTUVWXYZ[]_abcdefghijklmnopqrstuvwxyz~",
);
const schemeChar: Uint8Array = charTable("+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
const tokenChar: Uint8Array = tokenLower.map((lower) => (lower === 0 ? 0 : 1));
const digitChar: Uint8Array = charTable("0123456789");

function charTable(chars: string): Uint8Array {
  const table = new Uint8Array(256);
  for (let i = 0; i < chars.length; i++) table[chars.charCodeAt(i)] = 1;
  return table;
}

/** Says whether the value in `bytes[start, end)` may be that of the field. */
export function isValidValue(id: number, bytes: Uint8Array, start: number, end: number): boolean {
  if (id >= FIRST_PSEUDO) return isValidPseudoValue(id, bytes, start, end);
  if (start === end) return true;
  const first = bytes[start]!;
  const last = bytes[end - 1]!;
  if (first === SP || first === TAB || last === SP || last === TAB) return false;
  return consistsOf(valueChar, bytes, start, end);
}

function isValidPseudoValue(id: number, bytes: Uint8Array, start: number, end: number): boolean {
  switch (id) {
    case AUTHORITY:
      return consistsOf(authorityChar, bytes, start, end);
    case PATH:
      return end > start && consistsOf(targetChar, bytes, start, end);
    case METHOD:
      return end > start && end - start <= 32 && consistsOf(tokenChar, bytes, start, end);
    case SCHEME:
      return end > start && consistsOf(schemeChar, bytes, start, end);
    case PROTOCOL:
      return end > start && consistsOf(tokenChar, bytes, start, end);
    case STATUS:
      return end - start === 3 && bytes[start] !== 48 && consistsOf(digitChar, bytes, start, end);
    default:
      return false;
  }
}

/** Says whether a value may be an authority, as `:authority` has to be. */
export function isAuthority(value: string): boolean {
  for (let i = 0; i < value.length; i++) if ((authorityChar[value.charCodeAt(i)] ?? 0) === 0) return false;
  return true;
}

function consistsOf(table: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  let all = 1;
  for (let i = start; i < end; i++) all &= table[bytes[i]!]!;
  return all === 1;
}
