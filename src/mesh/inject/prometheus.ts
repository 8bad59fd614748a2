// Prometheus merge: the pod's scrape annotations are pointed at the agent, which answers for the proxy and for the
// application; where the application's own metrics are goes to the agent in ISTIO_PROMETHEUS_ANNOTATIONS.
import type { Issue } from "#base/issue.ts";
import { annotationIssue, annotationName, splitList } from "./annotations.ts";

interface ScrapeTarget {
  readonly port: string;
  readonly path: string;
}

export interface ScrapeConfiguration {
  readonly scrape?: string;
  readonly path?: string;
  readonly port?: string;
  readonly targets?: readonly ScrapeTarget[];
}

export interface PrometheusMerge {
  readonly annotations: Readonly<Record<string, string>>;
  /** What the application asked for; undefined when it said nothing. */
  readonly configuration: ScrapeConfiguration | undefined;
  readonly issues: readonly Issue[];
}

/** Ports of the proxy itself, where no application can be scraped. */
const reservedPorts: ReadonlySet<string> = new Set([
  "15000",
  "15001",
  "15004",
  "15006",
  "15008",
  "15020",
  "15021",
  "15053",
  "15090",
]);

const mergedPath = "/stats/prometheus";

/** The annotations with the agent as target; unchanged when the application refuses to be scraped. */
export function mergePrometheus(annotations: Readonly<Record<string, string>>, statusPort: number): PrometheusMerge {
  const scrape = read(annotations, "scrape");
  if (scrape === "false") return { annotations, configuration: undefined, issues: [] };
  const issues: Issue[] = [];
  const targets = readTargets(annotations[annotationName.scrapeTargets], issues);
  const first = targets[0];
  const port = first?.port ?? read(annotations, "port");
  const path = first?.path ?? read(annotations, "path");
  if (targets.length === 0 && port !== undefined && scrape === "true" && reservedPorts.has(port)) {
    issues.push(annotationIssue("prometheus.io/port", `${port} is a port of the proxy, not of the application`));
  }
  const configuration: ScrapeConfiguration = {
    ...(scrape !== undefined && { scrape }),
    ...(path !== undefined && { path }),
    ...(port !== undefined && { port }),
    ...(targets.length > 0 && { targets }),
  };
  return {
    annotations: {
      ...withoutPrometheus(annotations),
      "prometheus.io/port": String(statusPort),
      "prometheus.io/path": mergedPath,
      "prometheus.io/scrape": "true",
    },
    configuration: Object.keys(configuration).length === 0 ? undefined : configuration,
    issues,
  };
}

/** Undoes the merge on a pod that is injected again. */
export function restorePrometheus(
  annotations: Readonly<Record<string, string>>,
  configuration: ScrapeConfiguration,
): Readonly<Record<string, string>> {
  if (read(annotations, "path") !== mergedPath) return annotations;
  const targets = configuration.targets?.map((target) => `${target.port}:${target.path}`).join(",");
  return {
    ...withoutPrometheus(annotations),
    ...(configuration.scrape !== undefined && { "prometheus.io/scrape": configuration.scrape }),
    ...(targets === undefined && configuration.path !== undefined && { "prometheus.io/path": configuration.path }),
    ...(targets === undefined && configuration.port !== undefined && { "prometheus.io/port": configuration.port }),
    ...(targets !== undefined && { [annotationName.scrapeTargets]: targets }),
  };
}

/** Prometheus turns dots and slashes into underscores, so all spellings of a name are the same annotation. */
function read(annotations: Readonly<Record<string, string>>, field: string): string | undefined {
  const exact = annotations[`prometheus.io/${field}`];
  if (exact !== undefined) return exact;
  return Object.entries(annotations).find(([name]) => sanitized(name) === `prometheus_io_${field}`)?.[1];
}

function withoutPrometheus(annotations: Readonly<Record<string, string>>): Record<string, string> {
  const own = new Set(["prometheus_io_scrape", "prometheus_io_port", "prometheus_io_path"]);
  return Object.fromEntries(
    Object.entries(annotations).filter(([name]) => !own.has(sanitized(name)) && name !== annotationName.scrapeTargets),
  );
}

function sanitized(name: string): string {
  return name.replace(/[^A-Za-z0-9_]/g, "_");
}

function readTargets(text: string | undefined, issues: Issue[]): ScrapeTarget[] {
  const targets: ScrapeTarget[] = [];
  for (const item of splitList(text ?? "")) {
    const colon = item.indexOf(":");
    const port = colon === -1 ? item : item.slice(0, colon);
    const path = colon === -1 ? "/metrics" : item.slice(colon + 1);
    const valid = /^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65535;
    const problem = !valid
      ? `"${item}" is not port[:path]`
      : reservedPorts.has(port)
        ? `${port} is a port of the proxy, not of the application`
        : path.startsWith("/")
          ? undefined
          : `path "${path}" does not begin with "/"`;
    if (problem === undefined) targets.push({ port, path });
    else issues.push(annotationIssue(annotationName.scrapeTargets, problem));
  }
  return targets;
}
