// `/logging`: shows and changes log levels. Envoy's level names are understood.

import { type LogLevel, type LogRegistry, levels } from "#base/log/log.ts";
import { ownEntry } from "#base/own-entry.ts";
import { type Reply, text } from "./reply.ts";

const envoyLevels: Readonly<Record<string, LogLevel>> = {
  trace: "debug",
  debug: "debug",
  info: "info",
  warn: "warn",
  warning: "warn",
  error: "error",
  critical: "error",
  off: "none",
  none: "none",
};

/** `?level=debug` for all, `?paths=xds:debug,proxy:info` or `?xds=debug` for some; nothing shows. */
export function logging(log: LogRegistry, query: URLSearchParams): Reply {
  const changes: [string | undefined, string][] = [];
  for (const [key, value] of query) {
    if (key === "level") changes.push([undefined, value]);
    else if (key === "paths") changes.push(...value.split(",").map((pair) => splitPair(pair)));
    else changes.push([key, value]);
  }
  const known = new Set(log.scopes());
  for (const [scope, level] of changes) {
    if (scope !== undefined && !known.has(scope)) return text(`unknown logger ${scope}\n`, 400);
    if (ownEntry(envoyLevels, level) === undefined)
      return text(`unknown level ${level}; one of ${levels.join(", ")}\n`, 400);
  }
  for (const [scope, level] of changes) log.setLevel(ownEntry(envoyLevels, level) ?? "info", scope);
  const lines = log.scopes().map((scope) => `  ${scope}: ${log.level(scope)}\n`);
  return text(`active loggers:\n${lines.join("")}`);
}

function splitPair(pair: string): [string, string] {
  const colon = pair.lastIndexOf(":");
  return [pair.slice(0, colon), pair.slice(colon + 1)];
}
