// `health_checks`: one per cluster, as in Envoy.
import { toBinary } from "@bufbuild/protobuf";
import { type HeaderValueOption, RequestMethod } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import {
  type HealthCheck,
  type HealthCheck_GrpcHealthCheck,
  type HealthCheck_HttpHealthCheck,
  type HealthCheck_Payload,
  type HealthCheck_TcpHealthCheck,
  HealthCheckSchema,
} from "#wire/gen/envoy/config/core/v3/health_check_pb.ts";
import { CodecClientType } from "#wire/gen/envoy/type/v3/http_pb.ts";
import type { Int64Range } from "#wire/gen/envoy/type/v3/range_pb.ts";
import type { GrpcHealthCheck, HealthCheckConfig, HttpHealthCheck, TcpHealthCheck } from "./health-check.ts";
import { decodeStringMatcher } from "./parse/matcher.ts";
import { milliseconds } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

/** Null where endpoints are not asked. */
export function decodeHealthChecks(checks: readonly HealthCheck[], problems: Problems): HealthCheckConfig | null {
  const [check, ...others] = checks;
  if (check === undefined) return null;
  if (others.length > 0) problems.unsupported("health_checks", "more than one health check");
  const path = "health_checks[0]";
  if (check.eventLogger.length > 0 || check.eventLogPath !== "" || check.eventService !== undefined) {
    problems.replaced(`${path}.event_logger`, "an event log of its own", "events are in the proxy's log");
  }
  const required = (name: string, value: number): number => {
    if (value <= 0) problems.invalid(`${path}.${name}`, "is missing or 0");
    return value;
  };
  return {
    timeoutMs: required("timeout", milliseconds(check.timeout, 0)),
    intervals: decodeIntervals(check, required("interval", milliseconds(check.interval, 0))),
    initialJitterMs: milliseconds(check.initialJitter, 0),
    intervalJitterMs: milliseconds(check.intervalJitter, 0),
    intervalJitterPercent: check.intervalJitterPercent,
    unhealthyThreshold: required("unhealthy_threshold", check.unhealthyThreshold ?? 0),
    healthyThreshold: required("healthy_threshold", check.healthyThreshold ?? 0),
    reusesConnection: check.reuseConnection ?? true,
    alwaysLogsFailures: check.alwaysLogHealthCheckFailures,
    alwaysLogsSuccess: check.alwaysLogHealthCheckSuccess,
    alpnProtocols: check.tlsOptions === undefined ? null : check.tlsOptions.alpnProtocols,
    transportMatch:
      check.transportSocketMatchCriteria === undefined
        ? null
        : Object.fromEntries(
            Object.entries(check.transportSocketMatchCriteria).map(([key, value]) => [key, String(value)]),
          ),
    check: decodeCheck(check, path, problems),
    shape: Buffer.from(toBinary(HealthCheckSchema, check)).toString("latin1"),
  };
}

/** A state without an interval of its own has that of a more general one. */
function decodeIntervals(check: HealthCheck, intervalMs: number): HealthCheckConfig["intervals"] {
  const unhealthy = milliseconds(check.unhealthyInterval, intervalMs);
  const noTraffic = milliseconds(check.noTrafficInterval, 60_000);
  return {
    healthy: intervalMs,
    noTraffic,
    noTrafficHealthy: milliseconds(check.noTrafficHealthyInterval, noTraffic),
    unhealthy,
    unhealthyEdge: milliseconds(check.unhealthyEdgeInterval, unhealthy),
    healthyEdge: milliseconds(check.healthyEdgeInterval, intervalMs),
  };
}

const connectOnly: TcpHealthCheck = { type: "tcp", send: Buffer.alloc(0), receive: [] };

function decodeCheck(check: HealthCheck, path: string, problems: Problems): HealthCheckConfig["check"] {
  const { healthChecker } = check;
  switch (healthChecker.case) {
    case "httpHealthCheck":
      return decodeHttp(healthChecker.value, `${path}.http_health_check`, problems);
    case "tcpHealthCheck":
      return decodeTcp(healthChecker.value, `${path}.tcp_health_check`, problems);
    case "grpcHealthCheck":
      return decodeGrpc(healthChecker.value, `${path}.grpc_health_check`, problems);
    case "customHealthCheck":
      problems.unsupported(`${path}.custom_health_check`, `the health checker ${healthChecker.value.name}`);
      return connectOnly;
    case undefined:
      problems.invalid(path, "names no health checker");
      return connectOnly;
  }
}

function decodeHttp(http: HealthCheck_HttpHealthCheck, path: string, problems: Problems): HttpHealthCheck {
  if (http.path === "") problems.invalid(`${path}.path`, "is missing");
  if (http.send !== undefined) problems.unsupported(`${path}.send`, "a request body");
  if (http.codecClientType === CodecClientType.HTTP3) problems.unsupported(`${path}.codec_client_type`, "HTTP/3");
  if (http.method === RequestMethod.CONNECT) problems.invalid(`${path}.method`, "CONNECT asks for no health");
  const expected = decodeStatuses(http.expectedStatuses, `${path}.expected_statuses`, problems);
  const retriable = decodeStatuses(http.retriableStatuses, `${path}.retriable_statuses`, problems);
  const { serviceNameMatcher } = http;
  return {
    type: "http",
    method: methodNames[http.method] ?? "GET",
    host: http.host,
    path: http.path,
    headers: decodeHeaders(http.requestHeadersToAdd, `${path}.request_headers_to_add`, problems),
    removedHeaders: http.requestHeadersToRemove.map((name) => name.toLowerCase()),
    expects: http.expectedStatuses.length === 0 ? (status) => status === 200 : expected,
    retries: retriable,
    receive: decodePayloads(http.receive, `${path}.receive`, problems),
    responseBufferBytes: Number(http.responseBufferSize ?? 1024n),
    serviceName:
      serviceNameMatcher === undefined
        ? null
        : decodeStringMatcher(serviceNameMatcher, `${path}.service_name_matcher`, problems),
    usesHttp2: http.codecClientType === CodecClientType.HTTP2,
  };
}

const methodNames: Readonly<Record<number, string>> = {
  [RequestMethod.GET]: "GET",
  [RequestMethod.HEAD]: "HEAD",
  [RequestMethod.POST]: "POST",
  [RequestMethod.PUT]: "PUT",
  [RequestMethod.DELETE]: "DELETE",
  [RequestMethod.OPTIONS]: "OPTIONS",
  [RequestMethod.TRACE]: "TRACE",
  [RequestMethod.PATCH]: "PATCH",
};

/** Half-open ranges. */
function decodeStatuses(ranges: readonly Int64Range[], path: string, problems: Problems): (status: number) => boolean {
  const bounds = ranges.map(({ start, end }, i): readonly [number, number] => {
    if (start < 100n || end > 600n || start >= end) problems.invalid(`${path}[${i}]`, `${start} to ${end} is no range`);
    return [Number(start), Number(end)];
  });
  return (status) => bounds.some(([start, end]) => status >= start && status < end);
}

function decodeHeaders(
  headers: readonly HeaderValueOption[],
  path: string,
  problems: Problems,
): readonly (readonly [string, string])[] {
  return headers.flatMap(({ header }, i) => {
    if (header === undefined || header.key === "") problems.invalid(`${path}[${i}].header.key`, "is missing");
    if (header?.value.includes("%") === true) problems.unsupported(`${path}[${i}].header.value`, "a command operator");
    return header === undefined ? [] : [[header.key, header.value] as const];
  });
}

function decodeTcp(tcp: HealthCheck_TcpHealthCheck, path: string, problems: Problems): TcpHealthCheck {
  if (tcp.proxyProtocolConfig !== undefined) {
    problems.unsupported(`${path}.proxy_protocol_config`, "PROXY protocol in a health check");
  }
  const [send] = decodePayloads(tcp.send === undefined ? [] : [tcp.send], `${path}.send`, problems);
  return {
    type: "tcp",
    send: send ?? connectOnly.send,
    receive: decodePayloads(tcp.receive, `${path}.receive`, problems),
  };
}

function decodeGrpc(grpc: HealthCheck_GrpcHealthCheck, path: string, problems: Problems): GrpcHealthCheck {
  return {
    type: "grpc",
    serviceName: grpc.serviceName,
    authority: grpc.authority,
    headers: decodeHeaders(grpc.initialMetadata, `${path}.initial_metadata`, problems),
  };
}

/** Text is written in hexadecimal. */
function decodePayloads(payloads: readonly HealthCheck_Payload[], path: string, problems: Problems): Buffer[] {
  return payloads.map(({ payload }, i) => {
    if (payload.case === "binary") return Buffer.from(payload.value);
    if (payload.case === "text" && /^(?:[0-9a-fA-F]{2})+$/.test(payload.value))
      return Buffer.from(payload.value, "hex");
    problems.invalid(`${path}[${i}]`, payload.case === "text" ? `"${payload.value}" is not hexadecimal` : "is missing");
    return Buffer.alloc(0);
  });
}
