// stats.PluginConfig of the istio.stats filters. Values of labels are CEL expressions over Envoy's attributes; what an
// expression cannot find is `unknown`, as in Istio.
import {
  type MetricConfig,
  type MetricDefinition as MetricDefinitionMessage,
  MetricType,
  type PluginConfig,
  Reporter,
} from "#wire/gen/istio/stats-filter_pb.ts";
import {
  type LabelChange,
  type MetricDefinition,
  type MetricRules,
  type MetricValues,
  standardMetrics,
  standardRules,
} from "../metric-rules.ts";
import type { Problems } from "../problems.ts";
import { celRoots, compileLenientExpression, syntaxProblem } from "./cel-expression.ts";
import { milliseconds } from "./values.ts";

export function decodeMetricRules(message: PluginConfig, path: string, problems: Problems): MetricRules {
  if (milliseconds(message.rotationInterval, 0) > 0) {
    problems.leftOut(`${path}.rotation_interval`, "dropping series that nobody adds to: their number is bounded");
  }
  if (milliseconds(message.gracefulDeletionInterval, 0) > 0) {
    problems.leftOut(`${path}.graceful_deletion_interval`, "dropping series that nobody adds to");
  }
  const { tcpReportMs } = standardRules;
  const definitions = decodeDefinitions(message.definitions, path, problems);
  return {
    usesHostHeader: !message.disableHostHeaderFallback,
    isServerGateway: message.reporter === Reporter.SERVER_GATEWAY,
    tcpReportMs: Math.max(1000, milliseconds(message.tcpReportingDuration, tcpReportMs)),
    changes:
      message.metrics.length === 0 && definitions.length === 0
        ? null
        : decodeChanges(message.metrics, definitions, path, problems),
    definitions,
  };
}

/** Series are bounded for each metric; so are the metrics. */
const maxDefinitions = 64;

function decodeDefinitions(
  definitions: readonly MetricDefinitionMessage[],
  path: string,
  problems: Problems,
): MetricDefinition[] {
  if (definitions.length > maxDefinitions) {
    problems.invalid(`${path}.definitions`, `there are more than ${maxDefinitions}`);
  }
  return definitions.slice(0, maxDefinitions).flatMap(({ name: written, value, type }, i) => {
    const at = `${path}.definitions[${i}]`;
    const name = written.replace(/^istio_/, "");
    const names: readonly string[] = standardMetrics;
    if (!/^[A-Za-z_]\w*$/.test(name)) problems.invalid(`${at}.name`, "is no name for a metric");
    if (names.includes(name)) problems.invalid(`${at}.name`, `${name} is one of Istio's own`);
    const evaluate = compile(value, `${at}.value`, problems);
    if (evaluate === null) return [];
    return [
      { name, type: metricTypes[type] ?? "counter", amount: (values: MetricValues) => numberOf(evaluate(values)) },
    ];
  });
}

const metricTypes: Readonly<Record<number, MetricDefinition["type"]>> = {
  [MetricType.COUNTER]: "counter",
  [MetricType.GAUGE]: "gauge",
  [MetricType.HISTOGRAM]: "histogram",
};

function numberOf(value: unknown): number | null {
  const number = typeof value === "bigint" || typeof value === "string" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) && number >= 0 ? number : null;
}

function decodeChanges(
  metrics: readonly MetricConfig[],
  definitions: readonly MetricDefinition[],
  path: string,
  problems: Problems,
): NonNullable<MetricRules["changes"]> {
  const all = [...standardMetrics, ...definitions.map(({ name }) => name)];
  const changes = new Map<string, LabelChange[]>(all.map((name) => [name, []]));
  for (const [i, metric] of metrics.entries()) {
    const at = `${path}.metrics[${i}]`;
    const change = decodeChange(metric, at, problems);
    const name = metric.name.replace(/^istio_/, "");
    const targets = all.filter((target) => name === "" || name === target);
    for (const target of targets) changes.get(target)?.push(change);
    if (targets.length === 0) {
      problems.leftOut(
        `${at}.name`,
        `a change to the metric ${metric.name}, which is none of Istio's and not defined,`,
      );
    }
  }
  return changes;
}

function decodeChange(metric: MetricConfig, path: string, problems: Problems): LabelChange {
  const match = metric.match === "" ? null : compile(metric.match, `${path}.match`, problems);
  return {
    applies: match === null ? null : (values) => match(values) === true,
    drops: metric.drop,
    removed: new Set(metric.tagsToRemove.map(labelName)),
    values: Object.entries(metric.dimensions)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([written, expression]) => {
        const at = `${path}.dimensions["${written}"]`;
        const problem = written === "" ? "a label without a name" : syntaxProblem(expression);
        if (problem !== null) {
          problems.leftOut(at, `the label (${problem})`);
          return [];
        }
        const label = labelName(written);
        const evaluate = compile(expression, at, problems);
        return evaluate === null ? [] : [{ label, valueOf: (values: MetricValues) => textOf(evaluate(values)) }];
      }),
  };
}

/** As Envoy writes names for Prometheus. */
function labelName(name: string): string {
  return name.replaceAll(/\W/g, "_").replace(/^(?=\d)/, "_");
}

/** What `connectionValues` and the values of requests are known by. */
const knownRoots: ReadonlySet<string> = new Set([...celRoots, "downstream_peer", "upstream_peer"]);

/**
 * The evaluator answers undefined where the expression reads what is not there, or what nobody knows, as Envoy's. Null
 * after a problem.
 */
function compile(text: string, path: string, problems: Problems): ((values: MetricValues) => unknown) | null {
  const expression = compileLenientExpression(text, path, problems, "its value is unknown");
  if (expression === null) return null;
  for (const [root] of expression.attributes) {
    if (root !== undefined && !knownRoots.has(root)) problems.leftOut(path, `the CEL attribute ${root}`);
  }
  return expression.evaluate;
}

function textOf(value: unknown): string {
  switch (typeof value) {
    case "string":
      return value === "" ? "unknown" : value;
    case "bigint":
    case "number":
    case "boolean":
      return String(value);
    default:
      return "unknown";
  }
}
