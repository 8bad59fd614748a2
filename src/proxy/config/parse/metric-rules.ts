// stats.PluginConfig of the istio.stats filters. Values of labels are CEL expressions over Envoy's attributes; what an
// expression cannot find is `unknown`, as in Istio.
import { type MetricConfig, type PluginConfig, Reporter } from "#wire/gen/istio/stats-filter_pb.ts";
import {
  type LabelChange,
  type MetricRules,
  type MetricValues,
  type StandardMetric,
  standardMetrics,
  standardRules,
} from "../metric-rules.ts";
import type { Problems } from "../problems.ts";
import { compileExpression } from "./cel-expression.ts";
import { milliseconds } from "./values.ts";

export function decodeMetricRules(message: PluginConfig, path: string, problems: Problems): MetricRules {
  if (message.definitions.length > 0) problems.leftOut(`${path}.definitions`, "a metric of one's own");
  if (milliseconds(message.rotationInterval, 0) > 0) {
    problems.leftOut(`${path}.rotation_interval`, "dropping series that nobody adds to: their number is bounded");
  }
  if (milliseconds(message.gracefulDeletionInterval, 0) > 0) {
    problems.leftOut(`${path}.graceful_deletion_interval`, "dropping series that nobody adds to");
  }
  const { tcpReportMs } = standardRules;
  return {
    usesHostHeader: !message.disableHostHeaderFallback,
    isServerGateway: message.reporter === Reporter.SERVER_GATEWAY,
    tcpReportMs: Math.max(1000, milliseconds(message.tcpReportingDuration, tcpReportMs)),
    changes: message.metrics.length === 0 ? null : decodeChanges(message.metrics, path, problems),
  };
}

function decodeChanges(
  metrics: readonly MetricConfig[],
  path: string,
  problems: Problems,
): NonNullable<MetricRules["changes"]> {
  const changes = new Map<StandardMetric, LabelChange[]>(standardMetrics.map((name) => [name, []]));
  for (const [i, metric] of metrics.entries()) {
    const at = `${path}.metrics[${i}]`;
    const change = decodeChange(metric, at, problems);
    const name = metric.name.replace(/^istio_/, "");
    const targets = standardMetrics.filter((target) => name === "" || name === target);
    for (const target of targets) changes.get(target)?.push(change);
    if (targets.length === 0) {
      problems.leftOut(`${at}.name`, `a change to the metric ${metric.name}, which is none of Istio's,`);
    }
  }
  return changes;
}

function decodeChange(metric: MetricConfig, path: string, problems: Problems): LabelChange {
  const match = metric.match === "" ? null : compile(metric.match, `${path}.match`, problems);
  return {
    applies: match === null ? null : (values) => match(values) === true,
    drops: metric.drop,
    removed: new Set(metric.tagsToRemove),
    values: Object.entries(metric.dimensions)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([label, expression]) => {
        const at = `${path}.dimensions["${label}"]`;
        if (!/^[A-Za-z_]\w*$/.test(label)) problems.invalid(at, "is no name for a label");
        const evaluate = compile(expression, at, problems);
        return evaluate === null ? [] : [{ label, valueOf: (values: MetricValues) => textOf(evaluate(values)) }];
      }),
  };
}

/** The evaluator answers undefined where the expression reads what is not there. Null after a problem. */
function compile(text: string, path: string, problems: Problems): ((values: MetricValues) => unknown) | null {
  return compileExpression(text, path, problems)?.evaluate ?? null;
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
