// Access logs on their way to services over gRPC, in batches. Envoy's own service takes a stream of messages: each batch
// is a stream of one message here, which every server of it accepts.
import { create, toBinary } from "@bufbuild/protobuf";
import type { HTTPAccessLogEntry, TCPAccessLogEntry } from "#wire/gen/envoy/data/accesslog/v3/accesslog_pb.ts";
import { StreamAccessLogsMessageSchema } from "#wire/gen/envoy/service/accesslog/v3/als_pb.ts";
import { ExportLogsServiceRequestSchema } from "#wire/gen/opentelemetry/proto/collector/logs/v1/logs_service_pb.ts";
import { KeyValueSchema } from "#wire/gen/opentelemetry/proto/common/v1/common_pb.ts";
import type { LogRecord as OtlpRecord } from "#wire/gen/opentelemetry/proto/logs/v1/logs_pb.ts";
import type { AccessLogEntry, AccessLogger } from "../config/access-log.ts";
import type { LogRecord, LogServiceConfig } from "../config/log-service.ts";
import { callGrpc } from "../upstream/grpc-call.ts";
import type { HttpEnvironment } from "./environment.ts";
import { ReportBuffer } from "./report-buffer.ts";
import type { TracerEnvironment } from "./tracing/tracer.ts";

/** Hands an entry to the loggers that accept it. */
export function writeEntry(
  loggers: readonly AccessLogger[],
  environment: Pick<HttpEnvironment, "writeAccessLog" | "logServices">,
  entry: AccessLogEntry,
): void {
  for (const logger of loggers) {
    if (logger.accepts !== null && !logger.accepts(entry)) continue;
    if ("service" in logger) environment.logServices.write(logger.service, logger.record(entry));
    else environment.writeAccessLog(logger.path, logger.render(entry));
  }
}

const otlpPath = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const streamPath = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs";

export class LogServices {
  readonly #environment: TracerEnvironment;
  readonly #byConfig = new WeakMap<LogServiceConfig, ReportBuffer<LogRecord>>();
  /** Equal configurations have one buffer, which lives as long as one of them. */
  readonly #byKey = new Map<string, WeakRef<ReportBuffer<LogRecord>>>();

  constructor(environment: TracerEnvironment) {
    this.#environment = environment;
  }

  write(service: LogServiceConfig, record: LogRecord): void {
    let buffer = this.#byConfig.get(service);
    if (buffer === undefined) {
      buffer = this.#bufferOf(service);
      this.#byConfig.set(service, buffer);
    }
    buffer.add(record);
  }

  /** Resolves when no record waits or is on its way. */
  async emptied(): Promise<void> {
    await Promise.all([...this.#byKey.values()].map((buffer) => buffer.deref()?.emptied()));
  }

  #bufferOf(service: LogServiceConfig): ReportBuffer<LogRecord> {
    const key = JSON.stringify(service);
    const known = this.#byKey.get(key)?.deref();
    if (known !== undefined) return known;
    for (const [other, buffer] of this.#byKey) if (buffer.deref() === undefined) this.#byKey.delete(other);
    const { loop, stats } = this.#environment;
    const prefix = `access_logs.${service.type === "opentelemetry" ? "open_telemetry" : "grpc"}_access_log.`;
    const names = {
      sent: `${prefix}logs_written`,
      failed: `${prefix}batches_failed`,
      dropped: `${prefix}logs_dropped`,
      timerFlushed: `${prefix}timer_flushed`,
    };
    const path = service.type === "opentelemetry" ? otlpPath : streamPath;
    const buffer = new ReportBuffer<LogRecord>(loop, stats, names, service.intervalMs, (batch, done) => {
      const message = messageOf(service, batch, this.#environment);
      callGrpc(
        this.#environment,
        { ...service.collector, path, message },
        { onGrpcDone: () => done(true), onGrpcFailed: () => done(false) },
      );
    });
    this.#byKey.set(key, new WeakRef(buffer));
    return buffer;
  }
}

/** Records are of the service's kind: their makers stand beside it. */
function messageOf(service: LogServiceConfig, batch: readonly LogRecord[], environment: TracerEnvironment): Uint8Array {
  const { type, logName } = service;
  if (type === "opentelemetry") {
    const attributes = resourceOf(service, environment).map(([key, value]) =>
      create(KeyValueSchema, { key, value: { value: { case: "stringValue", value } } }),
    );
    const scopeLogs = [{ logRecords: [...batch] as OtlpRecord[] }];
    return toBinary(
      ExportLogsServiceRequestSchema,
      create(ExportLogsServiceRequestSchema, { resourceLogs: [{ resource: { attributes }, scopeLogs }] }),
    );
  }
  const { id, cluster } = environment.node;
  return toBinary(
    StreamAccessLogsMessageSchema,
    create(StreamAccessLogsMessageSchema, {
      identifier: { logName, node: { id, cluster } },
      logEntries:
        type === "http"
          ? { case: "httpLogs", value: { logEntry: [...batch] as HTTPAccessLogEntry[] } }
          : { case: "tcpLogs", value: { logEntry: [...batch] as TCPAccessLogEntry[] } },
    }),
  );
}

function resourceOf(service: LogServiceConfig, { node }: TracerEnvironment): readonly (readonly [string, string])[] {
  if (!service.hasBuiltInLabels) return service.resource;
  return [
    ["log_name", service.logName],
    ["zone_name", node.zone ?? ""],
    ["cluster_name", node.cluster],
    ["node_name", node.id],
    ...service.resource,
  ];
}
