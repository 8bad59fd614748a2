// Matchers of subject alternative names, by type. A name of another type never matches, whatever its text is
// (CVE-2022-21656), and a wildcard in a certificate stands for exactly one label.
import { parseAddress } from "#base/net/address-bytes.ts";
import {
  SubjectAltNameMatcher_SanType as EnvoySanType,
  type SubjectAltNameMatcher,
} from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.ts";
import type { StringMatcher as EnvoyStringMatcher } from "#wire/gen/envoy/type/matcher/v3/string_pb.ts";
import { coversHost } from "#wire/tls/host-name.ts";
import type { Problems } from "../problems.ts";
import type { SanMatcher, SanType } from "../tls.ts";
import { decodeStringMatcher } from "./matcher.ts";

const types: Readonly<Record<number, SanType>> = {
  [EnvoySanType.EMAIL]: "email",
  [EnvoySanType.DNS]: "dns",
  [EnvoySanType.URI]: "uri",
  [EnvoySanType.IP_ADDRESS]: "ip",
  [EnvoySanType.OTHER_NAME]: "other",
};

export function decodeTypedSan(matcher: SubjectAltNameMatcher, path: string, problems: Problems): SanMatcher[] {
  const type = types[matcher.sanType];
  if (type === undefined) {
    problems.invalid(`${path}.san_type`, "names no type");
    return [];
  }
  if (type === "other" && matcher.oid === "") problems.invalid(`${path}.oid`, "is missing");
  return [sanMatcher(type, matcher.matcher, `${path}.matcher`, problems, matcher.oid)];
}

/** Envoy's older form names no type: it is for each of the four usual ones. A URI can't be meant as another. */
export function decodeUntypedSan(matcher: EnvoyStringMatcher, path: string, problems: Problems): SanMatcher[] {
  const pattern = matcher.matchPattern;
  const isUri = typeof pattern.value === "string" && pattern.value.includes("://");
  const possible: readonly SanType[] = isUri ? ["uri"] : ["dns", "uri", "email", "ip"];
  return possible.map((type) => sanMatcher(type, matcher, path, problems, ""));
}

function sanMatcher(
  type: SanType,
  matcher: EnvoyStringMatcher | undefined,
  path: string,
  problems: Problems,
  oid: string,
): SanMatcher {
  const { matches, description } = decodeStringMatcher(matcher, path, problems);
  const pattern = matcher?.matchPattern;
  const exact = pattern?.case === "exact" ? pattern.value : null;
  const typed = { type, oid, description: `${typeNames[type]} ${description}` };
  if (exact !== null && type === "dns") return { ...typed, matches: (value) => coversHost(value, exact) };
  if (exact !== null && type === "ip") return { ...typed, matches: sameAddress(exact) };
  return { ...typed, matches };
}

const typeNames: Readonly<Record<SanType, string>> = {
  uri: "URI",
  dns: "DNS",
  email: "email",
  ip: "IP",
  other: "other name",
};

function sameAddress(text: string): (value: string) => boolean {
  const wanted = parseAddress(text);
  if (wanted === null) return () => false;
  return (value) => {
    const presented = parseAddress(value);
    return presented !== null && Buffer.compare(wanted, presented) === 0;
  };
}
