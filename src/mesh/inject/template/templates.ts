// Which templates a pod gets, built in order: the built-in ones, and the user's (a partial Pod as YAML; Go template
// directives are refused with an issue, because running them here would need Go's template language).
import { parse } from "yaml";
import { describeError } from "#base/error.ts";
import { type Issue, Severity } from "#base/issue.ts";
import { annotationIssue, annotationName, splitList } from "../annotations.ts";
import type { InjectorConfig } from "../injection.ts";
import { overlay } from "../overlay.ts";
import { type Container, isRecord, type Pod, podAnnotations, proxyContainerName } from "../pod.ts";
import { gatewayTemplate } from "./gateway.ts";
import { sidecarTemplate } from "./sidecar.ts";
import type { TemplateInput } from "./template-input.ts";

const builtIn: Readonly<Record<string, (input: TemplateInput) => Pod>> = {
  sidecar: sidecarTemplate,
  gateway: gatewayTemplate,
};

export interface BuiltTemplates {
  /** Each is laid over the pod in turn. */
  readonly layers: readonly Pod[];
  /** All of them together, without the pod. */
  readonly added: Pod;
  readonly issues: readonly Issue[];
}

export function buildTemplates(input: TemplateInput, config: InjectorConfig): BuiltTemplates {
  const issues: Issue[] = [];
  const layers: Pod[] = [];
  let added: Pod = { spec: {} };
  for (const name of templateNames(input, config)) {
    const template = readTemplate(name, input, config);
    if ("issue" in template) {
      issues.push(template.issue);
      continue;
    }
    const layer = withProxyInPlace(template.pod, added);
    layers.push(layer);
    added = overlay(added, layer);
  }
  return { layers, added, issues };
}

function templateNames(input: TemplateInput, config: InjectorConfig): string[] {
  const own = podAnnotations(input.pod)[annotationName.templates];
  const names = own === undefined ? (config.defaultTemplates ?? []) : splitList(own);
  const chosen = names.length === 0 ? ["sidecar"] : names;
  return chosen.flatMap((name) => config.aliases?.[name] ?? [name]);
}

function readTemplate(
  name: string,
  input: TemplateInput,
  config: InjectorConfig,
): { readonly pod: Pod } | { readonly issue: Issue } {
  const text = config.templates?.[name];
  const build = builtIn[name];
  if (text === undefined) {
    if (build !== undefined) return { pod: build(input) };
    const known = [...Object.keys(builtIn), ...Object.keys(config.templates ?? {})].join(", ");
    return { issue: annotationIssue(annotationName.templates, `there is no template "${name}", only ${known}`) };
  }
  if (text.includes("{{")) return { issue: templateIssue(name, "uses Go template directives, which are not run") };
  let value: unknown;
  try {
    value = parse(text, { version: "1.1" });
  } catch (error) {
    return { issue: templateIssue(name, describeError(error)) };
  }
  if (!isRecord(value)) return { issue: templateIssue(name, "is not a partial Pod") };
  return { pod: { ...value, spec: isRecord(value["spec"]) ? value["spec"] : {} } };
}

/** A template that adds to `istio-proxy` finds it where an earlier template put it. */
function withProxyInPlace(layer: Pod, added: Pod): Pod {
  const isProxy = (container: Container): boolean => container.name === proxyContainerName;
  const containers = layer.spec.containers ?? [];
  if (added.spec.initContainers?.some(isProxy) !== true || !containers.some(isProxy)) return layer;
  return {
    ...layer,
    spec: {
      ...layer.spec,
      containers: containers.filter((container) => !isProxy(container)),
      initContainers: [...(layer.spec.initContainers ?? []), ...containers.filter(isProxy)],
    },
  };
}

function templateIssue(name: string, problem: string): Issue {
  return {
    code: "OUT0107",
    severity: Severity.Error,
    message: `injection template "${name}" ${problem}`,
    fix: "write the template as a plain partial Pod",
  };
}
