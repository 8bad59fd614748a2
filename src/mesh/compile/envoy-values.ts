// Small Envoy values that every compiled resource needs: Any, addresses, durations, matchers, references to ADS and SDS.
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { type Any, anyPack, type Duration, durationFromMs } from "@bufbuild/protobuf/wkt";
import { ipVersion } from "#base/net/ip-version.ts";
import {
  type Address,
  AddressSchema,
  type CidrRange,
  CidrRangeSchema,
} from "#wire/gen/envoy/config/core/v3/address_pb.ts";
import { ApiVersion, type ConfigSource, ConfigSourceSchema } from "#wire/gen/envoy/config/core/v3/config_source_pb.ts";
import { type StringMatcher, StringMatcherSchema } from "#wire/gen/envoy/type/matcher/v3/string_pb.ts";

/** Builds a message and packs it into an Any. */
export function pack<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Any {
  return anyPack(schema, create(schema, init));
}

export function milliseconds(value: number): Duration {
  return durationFromMs(value);
}

export function socketAddress(address: string, port: number): Address {
  return create(AddressSchema, {
    address: { case: "socketAddress", value: { address, portSpecifier: { case: "portValue", value: port } } },
  });
}

function pipe(path: string): Address {
  return create(AddressSchema, { address: { case: "pipe", value: { path } } });
}

/** Of a socket: an IP address and port, or `unix://` and a path, which has no port. */
export function endpointAddress(address: string, port: number): Address {
  return isUnixSocket(address) ? pipe(address.slice(unixScheme.length)) : socketAddress(address, port);
}

export function isUnixSocket(address: string): boolean {
  return address.startsWith(unixScheme);
}

const unixScheme = "unix://";

/** The configuration comes over the stream that this resource came over. */
export const fromAds: ConfigSource = create(ConfigSourceSchema, {
  resourceApiVersion: ApiVersion.V3,
  configSourceSpecifier: { case: "ads", value: {} },
  initialFetchTimeout: durationFromMs(0),
});

/** Parses an address or a CIDR block; an address becomes a block of one. Undefined when it is neither. */
export function cidrRange(value: string): CidrRange | undefined {
  const [address = "", length, ...rest] = value.split("/");
  const bits = addressBits(address);
  if (bits === 0 || rest.length > 0) return undefined;
  if (length === undefined) return create(CidrRangeSchema, { addressPrefix: address, prefixLen: bits });
  if (!/^\d{1,3}$/.test(length) || Number(length) > bits) return undefined;
  return create(CidrRangeSchema, { addressPrefix: address, prefixLen: Number(length) });
}

export function isIpAddress(value: string): boolean {
  return addressBits(value) !== 0;
}

function addressBits(value: string): 0 | 32 | 128 {
  const family = ipVersion(value);
  if (family === 4) return 32;
  return family === 6 ? 128 : 0;
}

export function exactMatcher(value: string): StringMatcher {
  return create(StringMatcherSchema, { matchPattern: { case: "exact", value } });
}

export function prefixMatcher(value: string): StringMatcher {
  return create(StringMatcherSchema, { matchPattern: { case: "prefix", value } });
}

export function suffixMatcher(value: string): StringMatcher {
  return create(StringMatcherSchema, { matchPattern: { case: "suffix", value } });
}

/** RE2, and the whole value must match. */
export function regexMatcher(regex: string): StringMatcher {
  return create(StringMatcherSchema, { matchPattern: { case: "safeRegex", value: { regex } } });
}

/** Quotes a literal for RE2, as Go's regexp.QuoteMeta. */
export function quoteRegex(literal: string): string {
  return literal.replace(/[\\.+*?()|[\]{}^$]/g, "\\$&");
}
