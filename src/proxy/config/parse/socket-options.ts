// envoy.config.core.v3.SocketOption: numbers of the kernel, so only those are taken whose meaning is known here. Others
// are left out and told.
import type { TcpKeepalive } from "#wire/gen/envoy/config/core/v3/address_pb.ts";
import {
  type SocketOption as EnvoyOption,
  SocketOption_SocketState as State,
} from "#wire/gen/envoy/config/core/v3/socket_option_pb.ts";
import type { Problems } from "../problems.ts";
import type { Keepalive, SocketOption } from "../socket.ts";

/** Linux' numbers by level. */
const names: Readonly<Record<number, Readonly<Record<number, string>>>> = {
  1: {
    2: "SO_REUSEADDR",
    7: "SO_SNDBUF",
    8: "SO_RCVBUF",
    9: "SO_KEEPALIVE",
    12: "SO_PRIORITY",
    13: "SO_LINGER",
    15: "SO_REUSEPORT",
    36: "SO_MARK",
  },
  0: { 1: "IP_TOS", 15: "IP_FREEBIND", 19: "IP_TRANSPARENT" },
  41: { 26: "IPV6_V6ONLY", 67: "IPV6_TCLASS", 75: "IPV6_TRANSPARENT", 78: "IPV6_FREEBIND" },
  6: {
    1: "TCP_NODELAY",
    2: "TCP_MAXSEG",
    4: "TCP_KEEPIDLE",
    5: "TCP_KEEPINTVL",
    6: "TCP_KEEPCNT",
    9: "TCP_DEFER_ACCEPT",
    18: "TCP_USER_TIMEOUT",
    23: "TCP_FASTOPEN",
    25: "TCP_NOTSENT_LOWAT",
  },
};

/** Of no use once a socket is bound. */
const onlyPrebind: ReadonlySet<string> = new Set([
  "SO_REUSEADDR",
  "SO_REUSEPORT",
  "IP_FREEBIND",
  "IPV6_FREEBIND",
  "IPV6_V6ONLY",
]);

export function decodeSocketOptions(
  options: readonly EnvoyOption[],
  path: string,
  problems: Problems,
): readonly SocketOption[] {
  return options.flatMap((option, i) => decodeOption(option, `${path}[${i}]`, problems) ?? []);
}

function decodeOption(option: EnvoyOption, path: string, problems: Problems): SocketOption | null {
  const level = Number(option.level);
  const name = Number(option.name);
  const description = names[level]?.[name];
  if (description === undefined) {
    problems.leftOut(path, `the socket option ${level}/${name}${option.description && ` (${option.description})`}`);
    return null;
  }
  const value = valueOf(option);
  if (value === null) {
    problems.invalid(path, "names no value that fits an int");
    return null;
  }
  return { level, name, value, description, isPrebind: onlyPrebind.has(description) || isFirst(option, description) };
}

/** A mark steers the first packet already. */
function isFirst(option: EnvoyOption, description: string): boolean {
  return option.state === State.STATE_PREBIND && (description === "SO_MARK" || description === "SO_RCVBUF");
}

function valueOf({ value }: EnvoyOption): Buffer | null {
  if (value.case === "bufValue") return Buffer.from(value.value);
  if (value.case !== "intValue") return null;
  const number = Number(value.value);
  if (number < -0x80000000 || number > 0x7fffffff) return null;
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(number);
  return bytes;
}

/** Null: no probes. */
export function decodeKeepalive(keepalive: TcpKeepalive | undefined): Keepalive | null {
  if (keepalive === undefined) return null;
  return {
    probes: keepalive.keepaliveProbes ?? 0,
    timeSeconds: keepalive.keepaliveTime ?? 0,
    intervalSeconds: keepalive.keepaliveInterval ?? 0,
  };
}
