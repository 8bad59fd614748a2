// Reads YAML (and JSON) as Kubernetes does: several documents, `List` objects flattened, version 1.1 booleans; and
// keeps where every field was written. A document that is wrong costs only itself.
// Bounded: size of a file and of a document, number of documents, depth, expansion of aliases.
import {
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type ScalarTag,
  type Tags,
} from "yaml";
import { type Issue, Severity, type SourcePosition } from "#base/issue.ts";
import { maxObjectDepth } from "./depth.ts";
import type { KubernetesObject } from "./kubernetes-object.ts";
import { type PathSegment, parsePath } from "./path.ts";

export interface ParsedObject {
  readonly object: KubernetesObject;
  readonly file: string;
  /** Where the object starts. */
  readonly line: number;
  readonly column: number;
  /** Where a field was written; the nearest enclosing field when it is not there. Path as `spec.http[0]`. */
  position(path: string): SourcePosition;
  /**
   * Where a place within a text was written, line and column of the text from 1: exactly in a literal block (`|`), the
   * field's place otherwise.
   */
  positionInText(path: string, line: number, column: number): SourcePosition;
  /** Visits fields with their positions, parents before children, level by level. */
  fields(): Iterable<readonly [path: readonly PathSegment[], line: number, column: number]>;
}

export interface ParsedYaml {
  readonly objects: readonly ParsedObject[];
  readonly issues: readonly Issue[];
}

const yamlLimits: {
  readonly fileBytes: number;
  readonly documentBytes: number;
  readonly documents: number;
  readonly depth: number;
  readonly aliases: number;
} = {
  fileBytes: 67_108_864,
  documentBytes: 3_145_728,
  documents: 20_000,
  depth: maxObjectDepth,
  aliases: 100,
};

/** Reads all objects of a file's text. `file` only names the place in positions. */
export function parseYamlDocuments(file: string, text: string): ParsedYaml {
  const issues: Issue[] = [];
  const objects: ParsedObject[] = [];
  const complain = (code: string, line: number, column: number, message: string, fix?: string): void => {
    const issue = { code, severity: Severity.Error, message, position: { file, line, column } };
    issues.push(fix === undefined ? issue : { ...issue, fix });
  };
  if (text.length > yamlLimits.fileBytes) {
    complain("OUT0002", 1, 1, `the file has more than ${yamlLimits.fileBytes} characters`);
    return { objects, issues };
  }
  const documents = splitDocuments(text);
  if (documents.length > yamlLimits.documents) {
    const next = documents[yamlLimits.documents];
    complain(
      "OUT0002",
      next?.line ?? 1,
      1,
      `the file has more than ${yamlLimits.documents} documents; the rest is not read`,
    );
  }
  for (const document of documents.slice(0, yamlLimits.documents)) readDocument(file, document, objects, complain);
  return { objects, issues };
}

type Complain = (code: string, line: number, column: number, message: string, fix?: string) => void;

interface DocumentText {
  readonly text: string;
  /** Line of the file at which the text starts, from 1. */
  readonly line: number;
  /** Columns that come before the text in its first line. */
  readonly indent: number;
}

/** A line that starts with `---` always separates documents, whatever came before it. */
function splitDocuments(text: string): DocumentText[] {
  const documents: DocumentText[] = [];
  const separator = /^---(?=[ \t\r\n]|$).*$/gm;
  let start = 0;
  let indent = 0;
  let line = 1;
  let counted = 0;
  const add = (from: number, to: number): void => {
    for (; counted < from; counted++) if (text.charCodeAt(counted) === 10) line++;
    const part = text.slice(from, to);
    if (!/^(?:\s|#.*|%.*|\.\.\.)*$/.test(part.length > 10_000 ? "x" : part))
      documents.push({ text: part, line, indent });
  };
  for (let match = separator.exec(text); match !== null; match = separator.exec(text)) {
    add(start, match.index);
    start = match.index + 3;
    indent = 3;
  }
  add(start, text.length);
  return documents;
}

function readDocument(file: string, document: DocumentText, objects: ParsedObject[], complain: Complain): void {
  if (document.text.length > yamlLimits.documentBytes) {
    complain("OUT0002", document.line, 1, `the document has more than ${yamlLimits.documentBytes} characters`);
    return;
  }
  if (openBrackets(document.text) > maxOpenBrackets) {
    complain("OUT0002", document.line, 1, `the document is nested deeper than ${yamlLimits.depth} levels`);
    return;
  }
  const lines = new LineCounter();
  // What is missing at the end of a document is reported in its last line, not in the next document.
  const end = document.text.trimEnd().length;
  const place = (offset: number): { line: number; column: number } => {
    const { line, col } = lines.linePos(Math.min(offset, end));
    return { line: document.line + line - 1, column: line === 1 ? col + document.indent : col };
  };
  try {
    const parsed = parseDocument(document.text, {
      version: "1.1",
      customTags: kubernetesTags,
      lineCounter: lines,
      prettyErrors: false,
      strict: true,
      // The library compares every pair of keys; `duplicateKeys` looks them up.
      uniqueKeys: false,
    });
    if (parsed.errors.length > 0) {
      // One slip makes many errors further on: only the first of each kind helps.
      const reported = new Set<string>();
      for (const error of parsed.errors) {
        const { line, column } = place(error.pos[0]);
        const { code, message, fix } = explainYamlError(error.code, error.message);
        if (reported.has(error.code) || reported.size >= 5) continue;
        reported.add(error.code);
        complain(code, line, column, message, fix);
      }
      return;
    }
    if (parsed.contents === null) return;
    const start = place(parsed.contents.range?.[0] ?? 0);
    if (depthExceeds(parsed.contents, yamlLimits.depth)) {
      complain("OUT0002", start.line, start.column, `the document is nested deeper than ${yamlLimits.depth} levels`);
      return;
    }
    const twice = duplicateKeys(parsed.contents);
    for (const offset of twice.slice(0, 10)) {
      const { line, column } = place(offset);
      complain("OUT0001", line, column, "this key stands twice in the same object", "remove or rename one of them");
    }
    if (twice.length > 0) return;
    const value: unknown = parsed.toJS({ maxAliasCount: yamlLimits.aliases });
    collect(
      value,
      parsed.contents,
      { file, text: document.text, place, resolve: (node) => resolveAlias(node, parsed) },
      objects,
      complain,
    );
  } catch (error) {
    // The library reports excessive aliases by throwing, and nesting beyond its recursion overflows the stack.
    const message = error instanceof RangeError ? "the document is nested too deeply" : String(error);
    complain("OUT0002", document.line, 1, message.replace(/^ReferenceError: /, ""));
  }
}

interface Source {
  readonly file: string;
  /** Of the document. */
  readonly text: string;
  place(offset: number): { line: number; column: number };
  resolve(node: unknown): unknown;
}

/** Adds the object, or the items of a List. */
function collect(value: unknown, node: Node, source: Source, objects: ParsedObject[], complain: Complain): void {
  const start = source.place(node.range?.[0] ?? 0);
  if (isForeign(value)) {
    complain(
      "OUT0008",
      start.line,
      start.column,
      "the document is no object of Kubernetes: it has no apiVersion and kind",
    );
    return;
  }
  const object = value as Record<string, unknown>;
  const kind = object["kind"];
  if (typeof kind === "string" && kind.endsWith("List") && Array.isArray(object["items"])) {
    const items = step(node, "items", source);
    const nodes = isSeq(items?.value) ? items.value.items : [];
    for (const [index, item] of (object["items"] as unknown[]).entries()) {
      const itemNode = source.resolve(nodes[index]);
      if (isNode(itemNode)) collect(item, itemNode, source, objects, complain);
    }
    return;
  }
  const wrong = wrongIdentity(object);
  if (wrong !== undefined) {
    const place = new YamlObject(value as KubernetesObject, node, source, start).position(wrong.path);
    complain("OUT0001", place.line, place.column, wrong.message, wrong.fix);
    return;
  }
  objects.push(new YamlObject(value as KubernetesObject, node, source, start));
}

/** Files of other tools lie beside Kubernetes' own. */
function isForeign(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return true;
  const { apiVersion, kind } = value as Record<string, unknown>;
  if (typeof apiVersion === "string" && apiVersion.startsWith("kustomize.config.k8s.io/")) return true;
  return apiVersion === undefined && kind === undefined;
}

interface WrongIdentity {
  readonly path: string;
  readonly message: string;
  readonly fix?: string;
}

function wrongIdentity(object: Record<string, unknown>): WrongIdentity | undefined {
  for (const field of ["apiVersion", "kind"]) {
    const wrong = notText(object[field], field);
    if (wrong !== undefined) return wrong;
  }
  const metadata = object["metadata"];
  if (typeof metadata !== "object" || metadata === null) return { path: "", message: "the object has no metadata" };
  const { name, generateName, namespace } = metadata as Record<string, unknown>;
  if (namespace !== undefined && namespace !== null && typeof namespace !== "string") {
    return notText(namespace, "metadata.namespace");
  }
  return typeof generateName === "string" && generateName !== "" && name === undefined
    ? undefined
    : notText(name, "metadata.name");
}

function notText(value: unknown, path: string): WrongIdentity | undefined {
  if (typeof value === "string" && value !== "") return undefined;
  if (value === undefined || value === null || value === "") return { path, message: `the object has no ${path}` };
  // YAML reads on, off, yes, no and digits as something else than text.
  return { path, message: `${path} is ${String(value)}, not text`, fix: "put it in quotes" };
}

class YamlObject implements ParsedObject {
  readonly object: KubernetesObject;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly #node: Node;
  readonly #source: Source;

  constructor(object: KubernetesObject, node: Node, source: Source, start: { line: number; column: number }) {
    this.object = object;
    this.file = source.file;
    this.line = start.line;
    this.column = start.column;
    this.#node = node;
    this.#source = source;
  }

  position(path: string): SourcePosition {
    let node: unknown = this.#node;
    let place = { line: this.line, column: this.column };
    for (const segment of parsePath(path)) {
      const next = step(node, segment, this.#source);
      if (next === undefined) break;
      place = this.#source.place(next.offset);
      node = next.value;
    }
    return { file: this.file, ...place };
  }

  positionInText(path: string, line: number, column: number): SourcePosition {
    const value = parsePath(path).reduce<unknown>(
      (node, segment) => step(node, segment, this.#source)?.value,
      this.#node,
    );
    if (!isScalar(value) || value.type !== "BLOCK_LITERAL" || !value.range) return this.position(path);
    const header = this.#source.text.indexOf("\n", value.range[0]);
    const indent = /^( *)\S/m.exec(this.#source.text.slice(header + 1, value.range[1]))?.[1]?.length ?? 0;
    const start = this.#source.place(value.range[0]);
    return { file: this.file, line: start.line + line, column: column + indent };
  }

  *fields(): Iterable<readonly [readonly PathSegment[], number, number]> {
    const queue: [PathSegment[], unknown][] = [[[], this.#node]];
    for (let entry = queue.shift(); entry !== undefined; entry = queue.shift()) {
      const [path, node] = entry;
      for (const segment of segmentsOf(node)) {
        const next = step(node, segment, this.#source);
        if (next === undefined) continue;
        const { line, column } = this.#source.place(next.offset);
        yield [[...path, segment], line, column];
        queue.push([[...path, segment], next.value]);
      }
    }
  }
}

function segmentsOf(node: unknown): PathSegment[] {
  if (isMap(node)) return node.items.map((pair) => keyOf(pair.key)).filter((key) => key !== "<<");
  return isSeq(node) ? node.items.map((_, index) => index) : [];
}

/** Goes one step down: the value, and the offset of the key or of the list item. */
function step(node: unknown, segment: PathSegment, source: Source): { value: unknown; offset: number } | undefined {
  if (typeof segment === "number") {
    if (!isSeq(node)) return undefined;
    const item: unknown = node.items[segment];
    const range = isNode(item) ? item.range : undefined;
    return range === undefined || range === null ? undefined : { value: source.resolve(item), offset: range[0] };
  }
  if (!isMap(node)) return undefined;
  const pair = node.items.find((candidate) => keyOf(candidate.key) === segment);
  if (pair === undefined || !isNode(pair.key) || !pair.key.range) return undefined;
  return { value: source.resolve(pair.value), offset: pair.key.range[0] };
}

function keyOf(key: unknown): string {
  return isScalar(key) ? String(key.value) : "";
}

function resolveAlias(
  node: unknown,
  document: Parameters<NonNullable<Extract<Node, { resolve: unknown }>["resolve"]>>[0],
): unknown {
  return isAlias(node) ? node.resolve(document) : node;
}

function depthExceeds(node: unknown, limit: number): boolean {
  if (limit < 0) return true;
  if (isMap(node)) return node.items.some((pair) => depthExceeds(pair.value, limit - 1));
  return isSeq(node) && node.items.some((item) => depthExceeds(item, limit - 1));
}

/** Brackets that are never closed; those in texts count too, so the limit is far above what a person writes. */
function openBrackets(text: string): number {
  let open = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 91 || code === 123) open++;
    else if (code === 93 || code === 125) open--;
  }
  return open;
}

const maxOpenBrackets = 5000;

/** Offsets of keys that repeat an earlier one of the same map. */
function duplicateKeys(node: unknown): number[] {
  if (isSeq(node)) return node.items.flatMap(duplicateKeys);
  if (!isMap(node)) return [];
  const seen = new Set<string>();
  const found: number[] = [];
  for (const { key, value } of node.items) {
    const name = keyOf(key);
    if (seen.has(name) && name !== "<<" && isNode(key) && key.range) found.push(key.range[0]);
    seen.add(name);
    found.push(...duplicateKeys(value));
  }
  return found;
}

/** Go's YAML reads no times, sexagesimal numbers, sets or binary into JSON, and no number without a digit before `e`. */
function kubernetesTags(tags: Tags): Tags {
  return tags
    .filter(
      (tag) => typeof tag === "string" || (!foreignTags.has(tag.tag) && (!("format" in tag) || tag.format !== "TIME")),
    )
    .map((tag) => {
      if (typeof tag === "string" || !("test" in tag)) return tag;
      const scalar = tag as ScalarTag;
      const test = floatTests.get(scalar.test?.source ?? "");
      return test === undefined ? tag : { ...scalar, test };
    });
}

/** The library's tests for numbers take `e2` and `.`, which are names. */
const floatTests: ReadonlyMap<string, RegExp> = new Map([
  [
    String.raw`^[-+]?(?:[0-9][0-9_]*)?(?:\.[0-9_]*)?[eE][-+]?[0-9]+$`,
    /^[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)[eE][-+]?[0-9]+$/,
  ],
  [String.raw`^[-+]?(?:[0-9][0-9_]*)?\.[0-9_]*$`, /^[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)$/],
]);

const foreignTags: ReadonlySet<string> = new Set(
  ["binary", "omap", "pairs", "set", "timestamp"].map((name) => `tag:yaml.org,2002:${name}`),
);

function explainYamlError(code: string, message: string): { code: string; message: string; fix?: string } {
  switch (code) {
    case "TAB_AS_INDENT":
      return { code: "OUT0001", message: "a tab is used as indentation", fix: "use spaces" };
    default:
      if (message.startsWith("Maximum call stack")) return { code: "OUT0002", message: "nested too deeply" };
      return { code: "OUT0001", message: `not valid YAML: ${message.split("\n")[0] ?? message}` };
  }
}
