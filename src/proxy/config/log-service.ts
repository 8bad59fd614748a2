// Where access logs go that are no files: services that take them over gRPC.
import type { AccessLogEntry } from "./access-log.ts";

export interface LogServiceConfig {
  /** OpenTelemetry's log records, or Envoy's entries of requests or connections. */
  readonly type: "opentelemetry" | "http" | "tcp";
  readonly logName: string;
  readonly collector: {
    readonly cluster: string;
    /** Empty: the cluster's name. */
    readonly authority: string;
    readonly timeoutMs: number;
    readonly metadata: readonly { readonly name: string; readonly value: string }[];
  };
  readonly intervalMs: number;
  /** Of OpenTelemetry's records: whose they are, beside what everybody's are said to be. */
  readonly resource: readonly (readonly [key: string, value: string])[];
  /** The resource says the log's name, and the proxy's. */
  readonly hasBuiltInLabels: boolean;
}

/** A message of the service's kind. */
export type LogRecord = object;

export type MakeRecord = (entry: AccessLogEntry) => LogRecord;
