// Answers the API server's question what to add to a new pod. What is added is decided by `mesh/inject`; this is the
// translation from and to admission, and the settings that stand in the path.

import { formatIssue } from "#base/issue.ts";
import type { CounterSeries, HistogramSeries, MetricRegistry } from "#base/metrics/registry.ts";
import type { InjectionContext, InjectionInput, InjectionResult } from "#mesh/inject/injection.ts";
import { isRecord, type Pod } from "#mesh/inject/pod.ts";
import type { AdmissionAnswer, AdmissionRequest } from "./admission-review.ts";
import { jsonPatch } from "./json-patch.ts";

export interface InjectHandlerOptions {
  /** Loaded at the first request: the templates are not needed before. */
  readonly loadInjector: () => Promise<(input: InjectionInput) => InjectionResult>;
  /** MeshConfig, values and templates as they are now. */
  readonly context: () => InjectionContext;
  readonly metrics: MetricRegistry;
}

export type InjectHandler = (request: AdmissionRequest, path: string) => Promise<AdmissionAnswer>;

export function createInjectHandler(options: InjectHandlerOptions): InjectHandler {
  const metrics = createMetrics(options.metrics);
  return async (request, path) => {
    const started = performance.now();
    metrics.requests.increment();
    try {
      return await answer(request, path, options, metrics);
    } catch (error) {
      metrics.failures.increment();
      throw error;
    } finally {
      metrics.seconds.observe((performance.now() - started) / 1000);
    }
  };
}

async function answer(
  request: AdmissionRequest,
  path: string,
  options: InjectHandlerOptions,
  metrics: InjectMetrics,
): Promise<AdmissionAnswer> {
  if (request.kind.kind !== "Pod" || request.operation !== "CREATE") return { allowed: true };
  if (!isPod(request.object)) return refuse(metrics, "the request's object is not a Pod");
  const settings = readPathSettings(path);
  if (settings === undefined) return refuse(metrics, `the path ${path} is not pairs of keys and values`);
  const injectPod = await options.loadInjector();
  const pod = request.object;
  const namespace = request.namespace || pod.metadata?.namespace || "default";
  const result = injectPod({ pod, namespace, context: { ...options.context(), ...settings } });
  if ("issues" in result) return refuse(metrics, result.issues.map(formatIssue).join("\n"));
  if ("skipped" in result) {
    metrics.skips.increment();
    return { allowed: true };
  }
  metrics.successes.increment();
  return { allowed: true, patch: jsonPatch(pod, result.pod) };
}

function refuse(metrics: InjectMetrics, message: string): AdmissionAnswer {
  metrics.failures.increment();
  return { allowed: false, code: 400, message };
}

/**
 * Reads `/inject/cluster/c1/net/n1/KEY/value`: the cluster, the network and further environment. `--slash--` stands for
 * a slash in a value. Undefined when a key has no value.
 */
export function readPathSettings(path: string): Partial<InjectionContext> | undefined {
  const segments = path.split("/").filter((segment) => segment !== "");
  segments.shift();
  if (segments.length % 2 !== 0) return undefined;
  let clusterId: string | undefined;
  let network: string | undefined;
  const injectedEnv: Record<string, string> = {};
  for (let index = 0; index < segments.length; index += 2) {
    const key = decode(segments[index] ?? "");
    const value = decode(segments[index + 1] ?? "").replaceAll("--slash--", "/");
    if (key === "cluster") clusterId = value;
    else if (key === "net") network = value;
    else injectedEnv[key.toUpperCase()] = value;
  }
  return {
    ...(clusterId !== undefined && { clusterId }),
    ...(network !== undefined && { network }),
    ...(Object.keys(injectedEnv).length > 0 && { injectedEnv }),
  };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    // Not percent-encoded after all.
    return segment;
  }
}

function isPod(value: unknown): value is Pod {
  return isRecord(value) && isRecord(value["spec"]) && Array.isArray(value["spec"]["containers"]);
}

interface InjectMetrics {
  readonly requests: CounterSeries;
  readonly successes: CounterSeries;
  readonly failures: CounterSeries;
  readonly skips: CounterSeries;
  readonly seconds: HistogramSeries;
}

function createMetrics(metrics: MetricRegistry): InjectMetrics {
  const counter = (name: string, help: string): CounterSeries => metrics.counter(name, help).labels();
  return {
    requests: counter("sidecar_injection_requests_total", "Pods that injection was asked about."),
    successes: counter("sidecar_injection_success_total", "Pods that were injected."),
    failures: counter("sidecar_injection_failure_total", "Pods that could not be injected."),
    skips: counter("sidecar_injection_skip_total", "Pods that are not to be injected."),
    seconds: metrics.histogram("sidecar_injection_time_seconds", "Time to answer.").labels(),
  };
}
