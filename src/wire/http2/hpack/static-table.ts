// The static table of HPACK (RFC 7541 appendix A), with the integer that stands for each name, and the pseudo-header
// names, whose integers lie above those of header-names.ts.
import { idOfName, nameOfId } from "../../http/header-names.ts";

/** Pseudo-header fields (RFC 9113 8.3). From here on. */
export const FIRST_PSEUDO = 256;
export const AUTHORITY = 256;
export const METHOD = 257;
export const PATH = 258;
export const SCHEME = 259;
export const STATUS = 260;
export const PROTOCOL = 261;
/** A name that begins with a colon and is none of these. */
export const OTHER_PSEUDO = 262;

const pseudoNames: readonly string[] = [":authority", ":method", ":path", ":scheme", ":status", ":protocol"];

export function idOfFieldName(lowerName: string): number {
  if (lowerName.charCodeAt(0) !== 58) return idOfName(lowerName);
  const index = pseudoNames.indexOf(lowerName);
  return index < 0 ? OTHER_PSEUDO : FIRST_PSEUDO + index;
}

export function pseudoName(id: number): string {
  return pseudoNames[id - FIRST_PSEUDO] ?? ":";
}

const entries: readonly string[] = [
  ":authority|",
  ":method|GET",
  ":method|POST",
  ":path|/",
  ":path|/index.html",
  ":scheme|http",
  ":scheme|https",
  ":status|200",
  ":status|204",
  ":status|206",
  ":status|304",
  ":status|400",
  ":status|404",
  ":status|500",
  "accept-charset|",
  "accept-encoding|gzip, deflate",
  "accept-language|",
  "accept-ranges|",
  "accept|",
  "access-control-allow-origin|",
  "age|",
  "allow|",
  "authorization|",
  "cache-control|",
  "content-disposition|",
  "content-encoding|",
  "content-language|",
  "content-length|",
  "content-location|",
  "content-range|",
  "content-type|",
  "cookie|",
  "date|",
  "etag|",
  "expect|",
  "expires|",
  "from|",
  "host|",
  "if-match|",
  "if-modified-since|",
  "if-none-match|",
  "if-range|",
  "if-unmodified-since|",
  "last-modified|",
  "link|",
  "location|",
  "max-forwards|",
  "proxy-authenticate|",
  "proxy-authorization|",
  "range|",
  "referer|",
  "refresh|",
  "retry-after|",
  "server|",
  "set-cookie|",
  "strict-transport-security|",
  "transfer-encoding|",
  "user-agent|",
  "vary|",
  "via|",
  "www-authenticate|",
];

/** Number of entries. Index 0 of the tables below is unused. */
export const STATIC_COUNT: number = entries.length;
export const staticValues: readonly string[] = ["", ...entries.map((entry) => entry.slice(entry.indexOf("|") + 1))];
export const staticIds: readonly number[] = [0, ...entries.map((entry) => idOfFieldName(entry.split("|", 1).join()))];
export const staticNames: readonly string[] = staticIds.map((id) =>
  id >= FIRST_PSEUDO ? pseudoName(id) : nameOfId(id),
);
