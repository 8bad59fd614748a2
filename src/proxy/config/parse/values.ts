// Small Envoy values that every decoder needs: durations, addresses, address blocks, data sources, Any.
import { type DescMessage, fromBinary, fromJson, type Message, type MessageShape } from "@bufbuild/protobuf";
import type { Any, Duration } from "@bufbuild/protobuf/wkt";
import { describeError } from "#base/error.ts";
import { parseAddress } from "#base/net/address-bytes.ts";
import type { Address, CidrRange } from "#wire/gen/envoy/config/core/v3/address_pb.ts";
import type { DataSource, Metadata, RuntimeFractionalPercent } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import {
  FractionalPercent_DenominatorType as Denominator,
  type FractionalPercent,
} from "#wire/gen/envoy/type/v3/percent_pb.ts";
import { decodeProvenance, type Provenance } from "#wire/xds/provenance.ts";
import { cidrSet } from "../cidr-set.ts";
import type { CidrSet } from "../matcher.ts";
import type { Problems } from "../problems.ts";
import type { RuntimeShare } from "../runtime.ts";
import type { ListenAddress } from "../socket.ts";
import { jsonRegistry, typedStruct } from "./typed-struct.ts";

export function milliseconds(duration: Duration | undefined, otherwise: number): number {
  return duration === undefined ? otherwise : Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** An address of either kind: `host` is an IP address, a name, or what a Unix socket goes by; its port is 0. */
export function socketAddress(address: Address | undefined, path: string, problems: Problems): ListenAddress {
  const specifier = address?.address;
  switch (specifier?.case) {
    case "socketAddress": {
      const { address: host, portSpecifier } = specifier.value;
      if (portSpecifier.case === "namedPort") problems.unsupported(`${path}.socket_address.named_port`, "a named port");
      const port = portSpecifier.case === "portValue" ? portSpecifier.value : 0;
      if (port > 65_535) problems.invalid(`${path}.socket_address.port_value`, `${port} is not a port`);
      if (host === "") problems.invalid(`${path}.socket_address.address`, "is missing");
      return { host, port, mode: 0 };
    }
    case "pipe": {
      const { path: name, mode } = specifier.value;
      checkPipe(name, mode, `${path}.pipe`, problems);
      return { host: name, port: 0, mode };
    }
    case "envoyInternalAddress":
      problems.unsupported(`${path}.envoy_internal_address`, "an internal address");
      break;
    default:
      problems.invalid(path, "is missing");
  }
  return { host: "", port: 0, mode: 0 };
}

/** Of sun_path, with its NUL. */
const pipePathBytes = 108;

function checkPipe(name: string, mode: number, path: string, problems: Problems): void {
  const isAbstract = name.startsWith("@");
  if (!isAbstract && !name.startsWith("/")) problems.invalid(`${path}.path`, `"${name}" is not an absolute path`);
  if (Buffer.byteLength(name) >= pipePathBytes)
    problems.invalid(`${path}.path`, `is longer than ${pipePathBytes - 1} bytes`);
  if (mode > 0o777) problems.invalid(`${path}.mode`, "has more bits than 0777");
  if (isAbstract && mode !== 0) problems.invalid(`${path}.mode`, "is for sockets in the file system");
}

/** Null for an empty list: it matches every address. */
export function decodeRanges(ranges: readonly CidrRange[], path: string, problems: Problems): CidrSet | null {
  if (ranges.length === 0) return null;
  return cidrSet(ranges.map((range, i) => decodeRange(range, `${path}[${i}]`, problems)));
}

/** Renders `10.0.0.0/8`. */
export function decodeRange(
  range: Pick<CidrRange, "addressPrefix" | "prefixLen">,
  path: string,
  problems: Problems,
): string {
  const bytes = parseAddress(range.addressPrefix);
  const length = range.prefixLen ?? 0;
  if (bytes === null) problems.invalid(`${path}.address_prefix`, `"${range.addressPrefix}" is not an IP address`);
  else if (length > bytes.length * 8) problems.invalid(`${path}.prefix_len`, `${length} is too long`);
  return `${range.addressPrefix}/${length}`;
}

/** Bytes that are given inline; files are not read here. */
export function inlineBytes(source: DataSource | undefined): Buffer | undefined {
  if (source?.specifier.case === "inlineString") return Buffer.from(source.specifier.value, "utf8");
  if (source?.specifier.case === "inlineBytes") return Buffer.from(source.specifier.value);
  return undefined;
}

/** Text that is given inline; files are not read here. */
export function inlineText(source: DataSource | undefined): string | undefined {
  if (source?.specifier.case === "inlineString") return source.specifier.value;
  if (source?.specifier.case === "inlineBytes") return Buffer.from(source.specifier.value).toString("utf8");
  return undefined;
}

/** A share from 0 to 1. */
export function fractionOf(percent: FractionalPercent | undefined): number {
  if (percent === undefined) return 0;
  return Math.min(1, percent.numerator / denominatorOf(percent));
}

/** What the numerator is out of. */
export function denominatorOf(percent: FractionalPercent | undefined): number {
  return denominators[percent?.denominator ?? Denominator.HUNDRED] ?? 100;
}

const denominators: Readonly<Record<number, number>> = {
  [Denominator.HUNDRED]: 100,
  [Denominator.TEN_THOUSAND]: 10_000,
  [Denominator.MILLION]: 1_000_000,
};

/** A share that the runtime may move; `otherwise` where nothing is said. */
export function runtimeShare(percent: RuntimeFractionalPercent | undefined, otherwise: RuntimeShare): RuntimeShare {
  return percent === undefined ? otherwise : { fraction: fractionOf(percent.defaultValue), key: percent.runtimeKey };
}

/** Tells a value outside of its range, and gives one that is inside. */
export function inRange(
  value: number | undefined,
  otherwise: number,
  [least, most]: readonly [number, number],
  path: string,
  problems: Problems,
): number {
  if (value === undefined) return otherwise;
  if (value < least || value > most) problems.invalid(path, `${value} is not from ${least} to ${most}`);
  return Math.min(most, Math.max(least, value));
}

const anyPrefix = "type.googleapis.com/";

/** The full message name of an Any; of a TypedStruct, that of the message that it stands for. */
export function typeName(any: Any | undefined): string {
  const url = (any === undefined ? undefined : typedStruct(any)?.typeUrl) ?? any?.typeUrl ?? "";
  return url.startsWith(anyPrefix) ? url.slice(anyPrefix.length) : url.slice(url.lastIndexOf("/") + 1);
}

/** A field that is newer than this proxy could make a policy stricter: the message is not understood. */
export function refuseUnknown(message: Message, path: string, problems: Problems): void {
  for (const { no } of message.$unknown ?? []) problems.unsupported(path, `field ${no} of ${message.$typeName}`);
}

/** Decodes an Any whose type was checked; what does not parse becomes a problem. */
export function unpack<Desc extends DescMessage>(
  any: Any,
  schema: Desc,
  path: string,
  problems: Problems,
): MessageShape<Desc> | null {
  const struct = typedStruct(any);
  try {
    return struct === null ? fromBinary(schema, any.value) : fromJson(schema, struct.value, { registry: jsonRegistry });
  } catch (error) {
    const why = struct === null ? "" : `: ${describeError(error)}`;
    problems.invalid(path, `${struct === null ? "the bytes are" : "the value is"} not a ${schema.typeName}${why}`);
    return null;
  }
}

export function provenanceOf(metadata: Metadata | undefined): Provenance {
  return decodeProvenance(metadata?.filterMetadata);
}
