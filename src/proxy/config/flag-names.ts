// Response flags: their long names, as `%RESPONSE_FLAGS_LONG%` writes them, and their bits, as CEL expressions read them.
// Each flag has the bit of its place in this list, which is the order of Envoy's enumeration.
const longNames: Readonly<Record<string, string>> = {
  LH: "FailedLocalHealthCheck",
  UH: "NoHealthyUpstream",
  UT: "UpstreamRequestTimeout",
  LR: "LocalReset",
  UR: "UpstreamRemoteReset",
  UF: "UpstreamConnectionFailure",
  UC: "UpstreamConnectionTermination",
  UO: "UpstreamOverflow",
  NR: "NoRouteFound",
  DI: "DelayInjected",
  FI: "FaultInjected",
  RL: "RateLimited",
  UAEX: "UnauthorizedExternalService",
  RLSE: "RateLimitServiceError",
  DC: "DownstreamConnectionTermination",
  URX: "UpstreamRetryLimitExceeded",
  SI: "StreamIdleTimeout",
  IH: "InvalidEnvoyRequestHeaders",
  DPE: "DownstreamProtocolError",
  UMSDR: "UpstreamMaxStreamDurationReached",
  RFCF: "ResponseFromCacheFilter",
  NFCF: "NoFilterConfigFound",
  DT: "DurationTimeout",
  UPE: "UpstreamProtocolError",
  NC: "NoClusterFound",
  OM: "OverloadManagerTerminated",
  DF: "DnsResolutionFailed",
  DO: "DropOverload",
  DR: "DownstreamRemoteReset",
  UDO: "UnconditionalDropOverload",
};

/** Undefined without flags. */
export function longFlags(flags: string): string | undefined {
  if (flags === "" || flags === "-") return undefined;
  return flags
    .split(",")
    .map((flag) => longNames[flag] ?? flag)
    .join(",");
}

const bits: ReadonlyMap<string, bigint> = new Map(Object.keys(longNames).map((flag, i) => [flag, 1n << BigInt(i)]));

/** `response.flags` of an expression. */
export function flagBits(flags: string): bigint {
  return flags.split(",").reduce((sum, flag) => sum | (bits.get(flag) ?? 0n), 0n);
}
