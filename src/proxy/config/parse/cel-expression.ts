// Text in the Common Expression Language, compiled once: what it reads, and a function from values to its result.
// `matches` runs in RE2: the library's own backtracks, so the text names a function of ours in its place.
import type { ASTNode } from "@marcbachmann/cel-js";
import { Problems } from "../problems.ts";
import { celLibrary } from "./cel-library.ts";
import type { AttributePath } from "./cel-text.ts";
import { regexMatcher } from "./matcher.ts";

export interface CelExpression {
  /** What the expression reads, longest constant path each. */
  readonly attributes: readonly AttributePath[];
  /** Values as the library has them: bigint is int, number is double. Undefined where the expression has no value. */
  readonly evaluate: (values: Readonly<Record<string, unknown>>) => unknown;
}

/** What expressions may begin with. */
export const celRoots: readonly string[] = [
  "request",
  "response",
  "source",
  "destination",
  "connection",
  "upstream",
  "xds",
  "metadata",
  "filter_state",
  "upstream_filter_state",
  "node",
];

const maxTextLength = 4096;
const matchesFunction = "matches_re2";

/** What is wrong with an expression beyond its syntax. */
type Complain = (message: string) => void;

/**
 * As Envoy takes it: only text that cannot be parsed is refused, with null. What could never have a value, because it
 * reads what nobody knows or has no sense, is told as left out and never has one.
 */
export function compileLenientExpression(
  text: string,
  path: string,
  problems: Problems,
  instead = "it never holds",
): CelExpression | null {
  const ast = parseExpression(text, path, problems);
  if (ast === null) return null;
  const others = [...new Set(identifiers(ast))].filter((name) => !celRoots.includes(name));
  const complain: Complain = (message) => problems.replaced(path, `the expression (${message})`, instead);
  return compile(text, ast, others, path, complain) ?? { attributes: [], evaluate: () => undefined };
}

function parseExpression(text: string, path: string, problems: Problems): ASTNode | null {
  const ast = parsed(text);
  if (typeof ast !== "string") return ast;
  problems.invalid(path, ast);
  return null;
}

/** What is wrong with the syntax. */
export function syntaxProblem(text: string): string | null {
  const ast = parsed(text);
  return typeof ast === "string" ? ast : null;
}

function parsed(text: string): ASTNode | string {
  if (text.length > maxTextLength) return `the expression is longer than ${maxTextLength} characters`;
  try {
    const { Environment } = celLibrary();
    return new Environment({ limits }).parse(text).ast;
  } catch (error) {
    return `${text} is not valid: ${firstLine(error)}`;
  }
}

const limits = { maxAstNodes: 2000, maxDepth: 250 };

function compile(
  text: string,
  ast: ASTNode,
  others: readonly string[],
  path: string,
  complain: Complain,
): CelExpression | null {
  const patterns: ((value: string) => boolean)[] = [];
  const { Environment } = celLibrary();
  let environment = new Environment({ limits }).registerFunction(
    `dyn.${matchesFunction}(int): bool`,
    (value: unknown, pattern: bigint) => {
      if (typeof value !== "string") throw new TypeError("matches needs a string");
      return patterns[Number(pattern)]?.(value) === true;
    },
  );
  for (const root of [...celRoots, ...others]) environment = environment.registerVariable(root, "dyn");
  const found = new Reading(text);
  found.read(ast);
  if (found.hasDynamicPattern) {
    complain("a regular expression that is no constant");
    return null;
  }
  try {
    // Anywhere in the text, as `matches` of CEL is.
    for (const regex of found.regexes) {
      const own = new Problems("", "");
      patterns.push(regexMatcher(`(?s:.*)(?:${regex})(?s:.*)`, path, own).matches);
      const [issue] = own.done(null).issues;
      if (issue !== undefined) {
        complain(issue.message);
        return null;
      }
    }
    const program = environment.parse(found.rewritten());
    const { valid, error } = program.check();
    if (!valid) {
      complain(`${text} is not valid: ${firstLine(error)}`);
      return null;
    }
    return {
      attributes: found.attributes,
      evaluate: (values) => {
        try {
          return program(values);
        } catch {
          return undefined; // it reads what is not there, or compares what can't be compared
        }
      },
    };
  } catch (error) {
    complain(`${text} is not valid: ${firstLine(error)}`);
    return null;
  }
}

/** What an expression begins paths with. */
function* identifiers(node: ASTNode): Iterable<string> {
  if (node.op === "id") yield node.args;
  for (const inner of nodesIn(node.args)) yield* identifiers(inner);
}

interface Edit {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

/** Walks a tree for what it reads and for its patterns. */
class Reading {
  readonly attributes: AttributePath[] = [];
  readonly regexes: string[] = [];
  hasDynamicPattern = false;
  readonly #text: string;
  readonly #edits: Edit[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  read(node: ASTNode): void {
    const path = constantPath(node);
    if (path !== null) {
      this.attributes.push(path);
      return;
    }
    if (node.op === "in") {
      const [item, container] = node.args;
      const of = constantPath(container);
      if (of !== null && item.op === "value" && typeof item.args === "string") {
        this.attributes.push([...of, item.args]);
        return;
      }
    }
    if (node.op === "rcall" && node.args[0] === "matches") this.#readMatches(node, node.args[2]);
    for (const inner of nodesIn(node.args)) this.read(inner);
  }

  /** `a.matches("b")` becomes `a.matches_re2(0)`. */
  #readMatches(call: ASTNode, [pattern]: readonly ASTNode[]): void {
    const regex = pattern?.op === "value" && typeof pattern.args === "string" ? pattern : null;
    const end = regex === null ? -1 : this.#text.slice(0, regex.range.start).search(/\.\s*matches\s*\(\s*$/);
    if (regex === null || end < 0) {
      this.hasDynamicPattern = true;
      return;
    }
    this.#edits.push({ from: end, to: call.range.end, text: `.${matchesFunction}(${this.regexes.length})` });
    this.regexes.push(String(regex.args));
  }

  rewritten(): string {
    let text = this.#text;
    for (const edit of [...this.#edits].sort((a, b) => b.from - a.from)) {
      text = text.slice(0, edit.from) + edit.text + text.slice(edit.to);
    }
    return text;
  }
}

function constantPath(node: ASTNode): string[] | null {
  if (node.op === "id") return [node.args];
  if (node.op !== "." && node.op !== "[]") return null;
  const [of, key] = node.args;
  const inner = constantPath(of);
  const name = typeof key === "string" ? key : key.op === "value" && typeof key.args === "string" ? key.args : null;
  return inner === null || name === null ? null : [...inner, name];
}

function* nodesIn(value: unknown): Iterable<ASTNode> {
  if (Array.isArray(value)) for (const item of value) yield* nodesIn(item);
  else if (typeof value === "object" && value !== null && "op" in value) yield value as ASTNode;
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "";
}

/** A duration as expressions compare it with `duration("1s")`. */
export function celDuration(ms: number): unknown {
  return celLibrary().evaluate("duration(text)", { text: `${ms.toFixed(3)}ms` });
}
