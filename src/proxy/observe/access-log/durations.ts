// Durations between moments of a request: `%COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)%` and the older operators that stand
// for one such pair. Moments are those of this proxy: of bytes that it received or handed to a socket.
import type { AccessLogEntry, LogMoment } from "../../config/access-log.ts";

type Duration = (entry: AccessLogEntry) => number | undefined;

/** By Envoy's names. Those of the upstream's connection are not measured for each request: most have none of their own. */
const moments: Readonly<Record<string, LogMoment | "start" | null>> = {
  DS_RX_BEG: "start",
  DS_RX_END: "requestEnd",
  US_CX_BEG: null,
  US_CX_END: null,
  US_HS_END: null,
  US_TX_BEG: "upstreamStart",
  US_TX_END: "upstreamRequestEnd",
  US_RX_BEG: "upstreamHead",
  US_RX_BODY_BEG: null,
  US_RX_END: "upstreamEnd",
  DS_TX_BEG: "responseStart",
  DS_TX_END: "responseEnd",
};

/** How many of them a millisecond has. */
const units: Readonly<Record<string, number>> = { ms: 1, us: 1000, ns: 1_000_000 };

/** The duration that an argument asks for, or what is wrong with it. */
export function commonDuration(argument: string): Duration | string {
  const [from = "", to = "", unit = "ms", ...rest] = argument.split(":");
  const [first, second, factor] = [moments[from], moments[to], units[unit]];
  if (first === undefined || second === undefined || factor === undefined || rest.length > 0) {
    return `"${argument}" is not START:END:PRECISION of %COMMON_DURATION%`;
  }
  return first === null || second === null ? () => undefined : between(first, second, factor);
}

export function between(first: LogMoment | "start", second: LogMoment | "start", factor = 1): Duration {
  return (entry) => {
    const begin = at(entry, first);
    const end = at(entry, second);
    if (begin === undefined || end === undefined || end < begin) return undefined;
    return Math.floor((end - begin) * factor);
  };
}

function at(entry: AccessLogEntry, moment: LogMoment | "start"): number | undefined {
  return moment === "start" ? entry.startTimeMs : entry.moment?.(moment);
}
