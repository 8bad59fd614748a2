// What an analyzer may look at: the snapshot, and the objects as they were written, of kinds that the mesh does not read
// too (Deployments, webhooks).
import type { Issue } from "#base/issue.ts";
import type { Labels } from "../objects/fields/selector.ts";
import type { KubernetesObject } from "../objects/kubernetes-object.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import { type Problem, toIssue } from "../objects/report.ts";
import type { BuiltSnapshot } from "../snapshot/build.ts";
import type { ObjectTable } from "../snapshot/object-table.ts";
import { locate, type SourceObject } from "../snapshot/read-object.ts";

export interface AnalysisContext {
  readonly snapshot: BuiltSnapshot;
  readonly objects: ObjectTable;
  readonly written: WrittenObjects;
  /** Milliseconds since 1970. */
  readonly now: number;
}

export interface Analyzer {
  /** As `istioctl analyze -L` lists it. */
  readonly name: string;
  readonly description: string;
  /** All that it can find. */
  readonly codes: readonly string[];
  readonly check?: (context: AnalysisContext) => Issue[];
}

export interface WrittenObject {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly body: KubernetesObject;
  issue(problem: Problem): Issue;
}

export class WrittenObjects {
  readonly #byKind: Map<string, WrittenObject[]>;

  constructor(sources: readonly SourceObject[]) {
    this.#byKind = Map.groupBy(sources.map(written), ({ kind }) => kind);
  }

  ofKind(kind: string): readonly WrittenObject[] {
    return this.#byKind.get(kind) ?? [];
  }

  find(kind: string, namespace: string, name: string): WrittenObject | undefined {
    return this.ofKind(kind).find((object) => object.name === name && object.namespace === namespace);
  }

  namespaceLabels(name: string): Labels {
    return this.find("Namespace", "", name)?.labels ?? {};
  }
}

function written(source: SourceObject): WrittenObject {
  const { object } = source;
  const { namespace = "", name, labels, annotations } = object.metadata;
  const ref = { kind: object.kind, namespace, name };
  return {
    ...ref,
    labels: stringsOf(labels),
    annotations: stringsOf(annotations),
    body: object,
    issue: (problem) => toIssue(problem, ref, locate(source)),
  };
}

function stringsOf(value: unknown): Labels {
  return Object.fromEntries(
    Object.entries(recordOf(value)).flatMap(([key, text]) => (typeof text === "string" ? [[key, text]] : [])),
  );
}

export type JsonRecord = Readonly<Record<string, unknown>>;

/** What a path of names leads to in an object that nobody has checked. */
export function at(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce((inner: unknown, name) => recordOf(inner)[name], value);
}

export function recordOf(value: unknown): JsonRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonRecord) : {};
}

export function recordsOf(value: unknown): readonly JsonRecord[] {
  return Array.isArray(value) ? value.map(recordOf) : [];
}

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** An issue of an object that the mesh reads. */
export function issueOf(object: MeshObject<unknown>, problem: Problem): Issue {
  return toIssue(problem, object.origin, (path) => object.position(path));
}

/** The pods that a workload object makes. */
export function podTemplate(body: KubernetesObject): { readonly spec: JsonRecord; readonly labels: Labels } {
  const template = at(body, "spec", "template");
  return { spec: recordOf(at(template, "spec")), labels: stringsOf(at(template, "metadata", "labels")) };
}
