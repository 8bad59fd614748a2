// Injection of a text of YAML documents, as `outrigger kube-inject` does it: workloads get the proxy in their pod
// template, every other document stays byte for byte as it is.
import { type Document, parseAllDocuments, stringify } from "yaml";
import { type Issue, Severity } from "#base/issue.ts";
import { injectPod } from "./inject-pod.ts";
import type { InjectionContext } from "./injection.ts";
import { isRecord, type JsonRecord, type Pod } from "./pod.ts";
import { workloadOwner } from "./workload-owner.ts";

export interface YamlInjection {
  readonly text: string;
  /** What kept a workload from being injected; such a workload stays as it was. */
  readonly issues: readonly Issue[];
  /** Sentences about workloads that are left alone on purpose. */
  readonly skipped: readonly string[];
}

export interface YamlInjectionOptions {
  readonly context: InjectionContext;
  /** Namespace of objects that name none. Default `default`. */
  readonly namespace?: string;
  /** For positions in issues. */
  readonly file?: string;
}

const templatePaths: Readonly<Record<string, readonly string[]>> = {
  Deployment: ["spec", "template"],
  StatefulSet: ["spec", "template"],
  DaemonSet: ["spec", "template"],
  ReplicaSet: ["spec", "template"],
  ReplicationController: ["spec", "template"],
  DeploymentConfig: ["spec", "template"],
  Job: ["spec", "template"],
  CronJob: ["spec", "jobTemplate", "spec", "template"],
  Pod: [],
};

interface Report {
  readonly issues: Issue[];
  readonly skipped: string[];
}

export function injectYaml(text: string, options: YamlInjectionOptions): YamlInjection {
  const report: Report = { issues: [], skipped: [] };
  const documents = parseAllDocuments(text, { version: "1.1", keepSourceTokens: false });
  if (!Array.isArray(documents)) return { text, issues: [], skipped: [] };
  let result = "";
  let start = 0;
  for (const document of documents) {
    const end = document.range[2];
    const part = injectDocument(document, text.slice(start, end), start, options, report);
    const glued = result !== "" && !/^\s*(#[^\n]*\n\s*)*---/.test(part);
    result += glued ? `${result.endsWith("\n") ? "" : "\n"}---\n${part}` : part;
    start = end;
  }
  return { text: result + text.slice(start), ...report };
}

/** Injects one object as JSON; the same object comes back when nothing is to be done. */
function injectObject(object: JsonRecord, options: YamlInjectionOptions, report: Report): JsonRecord {
  const kind = String(object["kind"] ?? "");
  if (kind === "List" && Array.isArray(object["items"])) {
    const items = object["items"].map((item: unknown) => (isRecord(item) ? injectObject(item, options, report) : item));
    return items.some((item, index) => item !== (object["items"] as unknown[])[index]) ? { ...object, items } : object;
  }
  const path = templatePaths[kind];
  return path === undefined ? object : injectWorkload(object, path, options, report);
}

/** `source` is the document with the separator and comments before it; it starts at `offset` of the whole text. */
function injectDocument(
  document: Document.Parsed,
  source: string,
  offset: number,
  options: YamlInjectionOptions,
  report: Report,
): string {
  for (const error of document.errors) {
    const position = error.linePos?.[0];
    report.issues.push({
      code: "OUT0001",
      severity: Severity.Error,
      message: error.message.split("\n")[0] ?? error.message,
      ...(position !== undefined && {
        position: { file: options.file ?? "-", line: position.line, column: position.col },
      }),
    });
  }
  const value: unknown = document.errors.length > 0 ? undefined : document.toJS();
  if (!isRecord(value)) return source;
  const injected = injectObject(value, options, report);
  if (injected === value) return source;
  const before = source.slice(0, Math.max(0, (document.contents?.range[0] ?? offset) - offset));
  const opening = before === "" || before.endsWith("\n") ? before : "---\n";
  return `${opening}${stringify(injected, { version: "1.1", lineWidth: 0 })}`;
}

function injectWorkload(
  object: JsonRecord,
  path: readonly string[],
  options: YamlInjectionOptions,
  report: Report,
): JsonRecord {
  const metadata = isRecord(object["metadata"]) ? object["metadata"] : {};
  const kind = String(object["kind"]);
  const name = String(metadata["name"] ?? metadata["generateName"] ?? "");
  const template = path.reduce<unknown>((value, field) => (isRecord(value) ? value[field] : undefined), object);
  if (!isRecord(template) || !isRecord(template["spec"])) return object;
  const pod: Pod = { ...template, spec: template["spec"] };
  const templateNamespace = isRecord(template["metadata"]) ? template["metadata"]["namespace"] : undefined;
  const namespace = String(metadata["namespace"] ?? templateNamespace ?? options.namespace ?? "default");
  const owner = kind === "Pod" ? workloadOwner(pod) : { apiVersion: String(object["apiVersion"]), kind, name };

  const result = injectPod({ pod, namespace, context: { ...options.context, owner } });
  if ("issues" in result) {
    const reference = { kind, namespace, name };
    report.issues.push(...result.issues.map((issue) => ({ ...issue, object: reference })));
    return object;
  }
  if ("skipped" in result) {
    report.skipped.push(`Skipping injection because ${kind} "${namespace}/${name}": ${result.skipped}`);
    return object;
  }
  return replaceAt(object, path, result.pod);
}

function replaceAt(object: JsonRecord, path: readonly string[], value: JsonRecord): JsonRecord {
  const [field, ...rest] = path;
  if (field === undefined) return value;
  const child = object[field];
  return { ...object, [field]: replaceAt(isRecord(child) ? child : {}, rest, value) };
}
