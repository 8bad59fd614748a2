// What Istio refuses in mesh configuration beyond the types of its fields; a field that is refused keeps its default.
import { StatusCode } from "#wire/gen/envoy/type/v3/http_status_pb.ts";
import type { Decoder } from "../../objects/decode.ts";
import { validateDuration } from "../../objects/fields/duration-validate.ts";
import { child, type Path, renderPath } from "../../objects/path.ts";
import type { Problem, Report } from "../../objects/report.ts";
import { isDnsLabel, isDnsName, isIpAddress, isWildcardName, warn } from "../../objects/validate-names.ts";

/** A decoder that has no value where `check` reports something. */
export function checked<T>(decode: Decoder<T>, check: (value: T, path: string, report: Report) => void): Decoder<T> {
  return (value, path, report) => {
    const decoded = decode(value, path, report);
    if (decoded === undefined) return undefined;
    let isRefused = false;
    check(decoded, renderPath(path) ?? "", (problem: Problem) => {
      isRefused = true;
      report(problem);
    });
    return isRefused ? undefined : decoded;
  };
}

export function checkConnectTimeout(value: number, path: string, report: Report): void {
  validateDuration(value, path, report);
  if (value > 3_600_000) report({ path, message: "the timeout is longer than an hour" });
}

export function checkDetectionTimeout(value: number, path: string, report: Report): void {
  if (value !== 0) validateDuration(value, path, report);
}

export function checkDrainDuration(value: number, path: string, report: Report): void {
  if (value < 1 || value % 1000 !== 0) report({ path, message: "the time is not a whole number of seconds" });
}

export function checkTrustDomain(value: string, path: string, report: Report): void {
  const labels = (value.endsWith(".") ? value.slice(0, -1) : value).split(".");
  if (labels.every(isDnsLabel)) return;
  report({ path, message: `"${value}" is not a trust domain`, fix: "labels as those of a DNS name: cluster.local" });
}

export function checkSet(value: string, path: string, report: Report): void {
  if (value === "") report({ path, message: "is empty", fix: "leave it out to have the default" });
}

export function checkAddress(value: string, path: string, report: Report): void {
  const [, host = "", port = ""] =
    /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(value)?.filter((part) => part !== undefined) ?? [];
  const isHost = isDnsName(host) || isIpAddress(host);
  if (isHost && isPort(Number(port))) return;
  report({ path, message: `"${value}" is no address`, fix: "host and port: istiod.istio-system.svc:15012" });
}

/** Of the fields that nothing decodes: `defaultConfig` as it is written. */
export function validateProxyConfig(config: unknown, report: Report): void {
  const at = child(undefined, "defaultConfig");
  const fields = fieldsOf(config);
  const tracing = fieldsOf(fields["tracing"]);
  const places = [
    [fields, at, "statsdUdpAddress"],
    [fields, at, "envoyMetricsServiceAddress"],
    ...["envoyMetricsService", "envoyAccessLogService"].map(
      (name) => [fieldsOf(fields[name]), child(at, name), "address"] as const,
    ),
    ...["zipkin", "datadog", "lightstep"].map(
      (name) => [fieldsOf(tracing[name]), child(child(at, "tracing"), name), "address"] as const,
    ),
  ] as const;
  for (const [holder, parent, name] of places) {
    const value = holder[name];
    if (typeof value !== "string" || value === "") continue;
    checkAddress(value.replace("$(HOST_IP)", "127.0.0.1"), renderPath(child(parent, name)), report);
  }
}

export function validateServiceSettings(value: unknown, report: Report): void {
  for (const [i, settings] of list(value).entries()) {
    for (const [j, host] of list(fieldsOf(settings)["hosts"]).entries()) {
      if (typeof host === "string" && isWildcardName(host)) continue;
      const path = `serviceSettings[${i}].hosts[${j}]`;
      report({ path, message: `"${String(host)}" is not a host name`, fix: "a wildcard can only stand at the start" });
    }
  }
}

/** Warnings, as a provider only matters to those that name it. */
export function validateProvider(value: unknown, path: Path, earlier: Set<string>, report: Report): void {
  const fields = fieldsOf(value);
  const name = fields["name"];
  if (typeof name !== "string" || name === "") {
    report(warn(renderPath(path), "a provider without a name cannot be named"));
  } else {
    if (earlier.has(name)) report(warn(renderPath(child(path, "name")), `another provider is called ${name}`));
    earlier.add(name);
  }
  for (const kind of withService) {
    if (fields[kind] === undefined) continue;
    const at = child(path, kind);
    const settings = fieldsOf(fields[kind]);
    const told = (field: string, message: string, fix?: string): void =>
      report(warn(renderPath(child(at, field)), message, fix));
    const { service, port, statusOnError, pathPrefix } = settings;
    if (typeof service !== "string" || !isService(service)) {
      told("service", `${JSON.stringify(service ?? "")} is no service`, "a host, or namespace/host");
    }
    if (!isPort(port)) told("port", "the port is not between 1 and 65535");
    if (statusOnError !== undefined && statusOnError !== "" && !statuses.has(Number(statusOnError))) {
      told("statusOnError", `${String(statusOnError)} is no status of Envoy's`, '"403"');
    }
    if (typeof pathPrefix === "string" && pathPrefix !== "" && !pathPrefix.startsWith("/")) {
      told("pathPrefix", "the prefix does not begin with /");
    }
    if (settings["http"] !== undefined && settings["grpc"] !== undefined)
      told("grpc", "http and grpc exclude each other");
  }
}

const statuses: ReadonlySet<number> = new Set(Object.values(StatusCode));

const withService: readonly string[] = [
  "envoyExtAuthzHttp",
  "envoyExtAuthzGrpc",
  "envoyHttpAls",
  "envoyOtelAls",
  "envoyTcpAls",
  "opentelemetry",
  "zipkin",
  "lightstep",
  "datadog",
  "opencensus",
  "skywalking",
];

function isService(service: string): boolean {
  const [namespace, host, ...rest] = service.split("/");
  if (host === undefined) return service !== "" && (isDnsName(service) || isIpAddress(service));
  const isNamespace = namespace !== undefined && (["*", ".", "~"].includes(namespace) || isDnsLabel(namespace));
  return rest.length === 0 && isNamespace && isWildcardName(host);
}

function isPort(port: unknown): boolean {
  return typeof port === "number" && Number.isInteger(port) && port >= 1 && port <= 65_535;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}
