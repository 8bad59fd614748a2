// Rules for EnvoyFilters that the types of their fields cannot say (reference 1.7, and Istio's webhook).
import { validateTargetReference } from "../../objects/fields/policy-target.ts";
import { validateSelector } from "../../objects/fields/selector.ts";
import { checkRegex } from "../../objects/regex.ts";
import type { Report } from "../../objects/report.ts";
import { warn } from "../../objects/validate-names.ts";
import { currentFilterName } from "./filter-names.ts";
import { filtersWithoutConfig, readPatchValue } from "./patch-value.ts";
import {
  ApplyTo,
  type ConfigPatch,
  type EnvoyFilterSpec,
  FilterClass,
  type ListenerMatch,
  Operation,
  PatchContext,
  type PatchMatch,
} from "./spec.ts";

const connectionManager = "envoy.filters.network.http_connection_manager";

/** Which part of `match` says something about a place. */
const matchOf: Partial<Readonly<Record<ApplyTo, "listener" | "routeConfiguration" | "cluster">>> = {
  [ApplyTo.Listener]: "listener",
  [ApplyTo.ListenerFilter]: "listener",
  [ApplyTo.FilterChain]: "listener",
  [ApplyTo.NetworkFilter]: "listener",
  [ApplyTo.HttpFilter]: "listener",
  [ApplyTo.RouteConfiguration]: "routeConfiguration",
  [ApplyTo.VirtualHost]: "routeConfiguration",
  [ApplyTo.HttpRoute]: "routeConfiguration",
  [ApplyTo.Cluster]: "cluster",
};

export function validateEnvoyFilter(spec: EnvoyFilterSpec, report: Report): void {
  const { workloadSelector, targetRefs, configPatches } = spec;
  if (workloadSelector !== undefined) {
    validateSelector(workloadSelector.labels, "spec.workloadSelector.labels", report);
    if (targetRefs.length > 0) {
      report({ path: "spec.targetRefs", message: "only one of workloadSelector and targetRefs can be set" });
    }
    if (Object.keys(workloadSelector.labels).length === 0) {
      report(warn("spec.workloadSelector", "a workloadSelector without labels is for the whole namespace"));
    }
  }
  for (const [index, reference] of targetRefs.entries()) {
    validateTargetReference(reference, `spec.targetRefs[${index}]`, report);
  }
  for (const [index, patch] of configPatches.entries()) validatePatch(patch, `spec.configPatches[${index}]`, report);
}

function validatePatch(configPatch: ConfigPatch, path: string, report: Report): void {
  const { applyTo, match, patch } = configPatch;
  if (applyTo === ApplyTo.Invalid) {
    report({ path: `${path}.applyTo`, message: "applyTo is missing", fix: "applyTo: HTTP_FILTER, for example" });
    return;
  }
  if (patch === undefined) {
    report({ path: `${path}.patch`, message: "patch is missing" });
    return;
  }
  const { operation, value, filterClass } = patch;
  if (operation === Operation.Invalid) {
    report({ path: `${path}.patch.operation`, message: "operation is missing", fix: "operation: MERGE, for example" });
  }
  if (value === undefined && operation !== Operation.Remove) {
    report({ path: `${path}.patch.value`, message: `${operation} needs a value` });
  }
  if (filterClass !== FilterClass.Unspecified && operation !== Operation.Add) {
    report({ path: `${path}.patch.filterClass`, message: "filterClass goes with operation ADD" });
  } else if (filterClass !== FilterClass.Unspecified) {
    report(
      warn(`${path}.patch.filterClass`, "filterClass has no effect, as in Istio; use INSERT_BEFORE or INSERT_AFTER"),
    );
  }
  if (match !== undefined) validateMatch(applyTo, match, `${path}.match`, report);
  validateOperation(applyTo, operation, path, report);
  if (value !== undefined) validateValue(applyTo, operation, value, path, report);
}

function validateValue(
  applyTo: Exclude<ApplyTo, "INVALID">,
  operation: Operation,
  value: NonNullable<NonNullable<ConfigPatch["patch"]>["value"]>,
  path: string,
  report: Report,
): void {
  const { message, problem } = readPatchValue(applyTo, value);
  if (message !== undefined && !isMerge(operation) && operation !== Operation.Remove) {
    for (const name of filtersWithoutConfig(message)) {
      report(warn(`${path}.patch.value`, `the filter ${name} has no typed_config: it is not found by its name alone`));
    }
  }
  if (problem === undefined) return;
  if (message === undefined) report({ path: `${path}.patch.value`, message: problem });
  else report(warn(`${path}.patch.value`, `${problem}; the rest is used`));
}

/** istioctl has codes for these. */
const ignoredOnRoutes: Partial<Readonly<Record<Operation, string>>> = {
  [Operation.Add]: "IST0153",
  [Operation.Remove]: "IST0154",
};

/** Operations that have no effect in a place are errors in Istio's analyzers; here they are warned about. */
function validateOperation(applyTo: ApplyTo, operation: Operation, path: string, report: Report): void {
  if (applyTo === ApplyTo.RouteConfiguration && !isMerge(operation)) {
    const code = ignoredOnRoutes[operation];
    const problem = warn(
      `${path}.patch.operation`,
      `only MERGE has an effect on ROUTE_CONFIGURATION, not ${operation}`,
    );
    report({ ...problem, ...(code !== undefined && { code }) });
  }
  const isFilter =
    applyTo === ApplyTo.HttpFilter || applyTo === ApplyTo.NetworkFilter || applyTo === ApplyTo.ListenerFilter;
  if (operation === Operation.Replace && !isFilter && applyTo !== ApplyTo.VirtualHost) {
    report({ ...warn(`${path}.patch.operation`, `REPLACE has no effect on ${applyTo}`), code: "IST0152" });
  }
  if (applyTo === ApplyTo.ExtensionConfig && operation !== Operation.Add) {
    report(warn(`${path}.patch.operation`, `only ADD has an effect on EXTENSION_CONFIG, not ${operation}`));
  }
  if (applyTo === ApplyTo.ListenerFilter && isMerge(operation)) {
    report(warn(`${path}.patch.operation`, "MERGE has no effect on LISTENER_FILTER"));
  }
}

export function isMerge(operation: Operation): boolean {
  return operation === Operation.Merge || operation === Operation.MergeAndReplaceList;
}

function validateMatch(applyTo: ApplyTo, match: PatchMatch, path: string, report: Report): void {
  if (match.proxy !== undefined && match.proxy.proxyVersion !== "") {
    checkRegex(match.proxy.proxyVersion, `${path}.proxy.proxyVersion`, report);
  }
  if (match.context === PatchContext.Waypoint || match.waypoint !== undefined) {
    report(warn(`${path}.context`, "there are no waypoints in sidecar mode; the patch has no effect"));
  }
  const wanted = matchOf[applyTo];
  for (const part of ["listener", "routeConfiguration", "cluster"] as const) {
    if (match[part] !== undefined && part !== wanted) {
      const fix = wanted === undefined ? "leave it out" : `match.${wanted}`;
      report({ path: `${path}.${part}`, message: `a match by ${part} does not go with applyTo ${applyTo}`, fix });
    }
  }
  if (match.listener !== undefined) validateListenerMatch(applyTo, match.listener, `${path}.listener`, report);
}

function warnOfOldName(name: string, path: string, report: Report): void {
  const current = currentFilterName(name);
  if (current !== name) report(warn(path, `${name} is an old name of the filter`, current));
}

function validateListenerMatch(applyTo: ApplyTo, match: ListenerMatch, path: string, report: Report): void {
  if (match.portName !== "") report(warn(`${path}.portName`, "portName has no effect; use portNumber"));
  const filter = match.filterChain?.filter;
  if (filter === undefined) return;
  const at = `${path}.filterChain.filter`;
  if (applyTo === ApplyTo.Listener || applyTo === ApplyTo.FilterChain) {
    report(warn(at, `a match by filter has no effect with applyTo ${applyTo}`));
  }
  warnOfOldName(filter.name, `${at}.name`, report);
  warnOfOldName(filter.subFilter?.name ?? "", `${at}.subFilter.name`, report);
  if (filter.name === "") report({ path: at, message: "the filter match has no name" });
  if (filter.subFilter === undefined) return;
  if (applyTo !== ApplyTo.HttpFilter) {
    report({ path: `${at}.subFilter`, message: "subFilter goes with applyTo HTTP_FILTER" });
  }
  if (currentFilterName(filter.name) !== connectionManager) {
    report({ path: `${at}.name`, message: "subFilter needs the HTTP connection manager", fix: connectionManager });
  }
  if (filter.subFilter.name === "") report({ path: `${at}.subFilter`, message: "the subFilter match has no name" });
}
