// The answer of `/inbound_traffic`, checked: it may come from a proxy of another version, or from a file.
import type { InboundCaller, InboundRequests, Protection } from "#proxy/stats/inbound-traffic.ts";
import { UsageError } from "../context.ts";

interface Traffic {
  readonly since: string;
  readonly until: string;
  readonly callers: readonly InboundCaller[];
}

type Fields = Readonly<Record<string, unknown>>;

const protections: readonly Protection[] = ["mutual_tls", "tls", "own_tls", "plaintext"];
const maxRows = 100_000;

/** `place` is for errors. */
export function decodeTraffic(value: unknown, place: string): Traffic {
  const fields = record(value, place);
  return {
    since: text(fields, "since", place),
    until: text(fields, "until", place),
    callers: list(fields, "callers", place).map((item, index) => caller(item, `${place}.callers[${index}]`)),
  };
}

function caller(value: unknown, place: string): InboundCaller {
  const fields = record(value, place);
  const found = text(fields, "protection", place);
  const protection = protections.find((known) => known === found);
  if (protection === undefined) throw new UsageError(`${place}.protection is not one of ${protections.join(", ")}`);
  return {
    protection,
    port: count(fields, "port", place),
    principal: text(fields, "principal", place),
    address: text(fields, "address", place),
    connections: count(fields, "connections", place),
    refused: count(fields, "refused", place),
    requests: list(fields, "requests", place).map((item, index) => request(item, `${place}.requests[${index}]`)),
  };
}

function request(value: unknown, place: string): InboundRequests {
  const fields = record(value, place);
  return {
    ...(fields["host"] !== undefined && { host: text(fields, "host", place) }),
    method: text(fields, "method", place),
    path: text(fields, "path", place),
    forwarded: count(fields, "forwarded", place),
    refused: count(fields, "refused", place),
  };
}

function record(value: unknown, place: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw new UsageError(`${place} is no object`);
}

function text(fields: Fields, name: string, place: string): string {
  const value = fields[name];
  if (typeof value === "string") return value;
  throw new UsageError(`${place}.${name} is no text`);
}

function count(fields: Fields, name: string, place: string): number {
  const value = fields[name];
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new UsageError(`${place}.${name} is no whole number`);
}

function list(fields: Fields, name: string, place: string): readonly unknown[] {
  const value = fields[name];
  if (!Array.isArray(value)) throw new UsageError(`${place}.${name} is no list`);
  if (value.length > maxRows) throw new UsageError(`${place}.${name} has more than ${maxRows} rows`);
  return value;
}
