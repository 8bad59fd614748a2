// `proxy-config log`: what to ask of `/logging` for istioctl's `--level` and `--reset`.
import { UsageError } from "../../context.ts";

/** Istio starts proxies with it. */
const initialLevel = "warning";

/** `debug` or `all:debug` for all loggers, `xds:debug,listener:warning` for some; nothing only shows. */
export function loggingPath(level: string | undefined, reset: boolean): string {
  if (reset) return `/logging?level=${initialLevel}`;
  if (level === undefined) return "/logging";
  const parts = level.split(",").map((part) => part.trim().replace("=", ":"));
  if (parts.some((part) => !/^([^:]+:)?[^:]+$/.test(part)))
    throw new UsageError(`"${level}" is not a log level; write debug, or xds:debug,listener:warn`);
  const [first = ""] = parts;
  if (parts.length === 1 && (!first.includes(":") || first.startsWith("all:")))
    return `/logging?level=${encodeURIComponent(first.replace("all:", ""))}`;
  if (parts.some((part) => !part.includes(":")))
    throw new UsageError(`"${level}" mixes a level for all loggers with levels for some; give one or the other`);
  return `/logging?paths=${encodeURIComponent(parts.join(","))}`;
}
