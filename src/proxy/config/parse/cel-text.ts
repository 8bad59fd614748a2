// An expression of the Common Expression Language from its syntax tree back to text, which is what the evaluator takes.
// Every operation is in parentheses. `matches` is written as a function of ours: the evaluator's own backtracks.
import { ownEntry } from "#base/own-entry.ts";
import type { Constant, Expr, Expr_Call } from "#wire/gen/google/api/expr/v1alpha1/syntax_pb.ts";

/** `request.headers["x-user"]` is ["request", "headers", "x-user"]. */
export type AttributePath = readonly string[];

export interface CelText {
  readonly text: string;
  /** What the expression reads, longest constant path each. */
  readonly attributes: readonly AttributePath[];
  /** Patterns of `matches`, by the number that stands for each in the text. */
  readonly regexes: readonly string[];
  /** What can't be written; null when all could. */
  readonly problem: string | null;
}

/** Name of the function that stands for `matches`: it takes the text and the number of a pattern. */
export const matchesFunction = "matches_re2";

const maxDepth = 32;

const binary: Readonly<Record<string, string>> = {
  "_&&_": "&&",
  "_||_": "||",
  "_==_": "==",
  "_!=_": "!=",
  "_<_": "<",
  "_<=_": "<=",
  "_>_": ">",
  "_>=_": ">=",
  "_+_": "+",
  "_-_": "-",
  "_*_": "*",
  "_/_": "/",
  "_%_": "%",
  "@in": "in",
  _in_: "in",
  in: "in",
};

const functions: ReadonlySet<string> = new Set([
  "bool",
  "bytes",
  "contains",
  "double",
  "dyn",
  "endsWith",
  "int",
  "size",
  "startsWith",
  "string",
  "uint",
]);

export function celText(expression: Expr): CelText {
  const writer = new CelWriter();
  const text = writer.write(expression, 0);
  return { text, attributes: writer.attributes, regexes: writer.regexes, problem: writer.problem };
}

class CelWriter {
  readonly attributes: AttributePath[] = [];
  readonly regexes: string[] = [];
  problem: string | null = null;

  write(expr: Expr, depth: number): string {
    if (depth > maxDepth) return this.#refuse(`nesting deeper than ${maxDepth}`);
    const kind = expr.exprKind;
    switch (kind.case) {
      case "constExpr":
        return this.#constant(kind.value);
      case "identExpr":
        return this.#attribute([kind.value.name]);
      case "selectExpr": {
        const { operand, field, testOnly } = kind.value;
        if (operand === undefined) return this.#refuse("a selection without an operand");
        const path = constantPath(expr, 0);
        if (testOnly) {
          if (path !== null) this.attributes.push(path);
          return `(${JSON.stringify(field)} in ${path === null ? this.write(operand, depth + 1) : pathText(path.slice(0, -1))})`;
        }
        if (path !== null) return this.#attribute(path);
        return `${this.write(operand, depth + 1)}[${JSON.stringify(field)}]`;
      }
      case "callExpr":
        return this.#call(expr, kind.value, depth + 1);
      case "listExpr":
        return `[${kind.value.elements.map((it) => this.write(it, depth + 1)).join(", ")}]`;
      case "structExpr":
        return this.#refuse("a message or map literal");
      case "comprehensionExpr":
        return this.#refuse("a macro over a list");
      case undefined:
        return this.#refuse("an empty expression");
    }
  }

  #constant(constant: Constant): string {
    const kind = constant.constantKind;
    switch (kind.case) {
      case "nullValue":
        return "null";
      case "boolValue":
        return String(kind.value);
      case "int64Value":
        return kind.value < 0n ? `(${kind.value})` : String(kind.value);
      case "uint64Value":
        return `${kind.value}u`;
      case "doubleValue":
        return Number.isFinite(kind.value) ? `double(${JSON.stringify(String(kind.value))})` : this.#refuse("infinity");
      case "stringValue":
        return JSON.stringify(kind.value);
      default:
        return this.#refuse(`a constant of type ${kind.case ?? "nothing"}`);
    }
  }

  #call(whole: Expr, { target, function: name, args }: Expr_Call, depth: number): string {
    const operator = ownEntry(binary, name);
    const [first, second, third] = args;
    if (name === "_[_]") {
      const path = constantPath(whole, 0);
      if (path !== null) return this.#attribute(path);
      if (first === undefined || second === undefined) return this.#refuse("an index without operands");
      return `${this.write(first, depth)}[${this.write(second, depth)}]`;
    }
    if (operator === "in" && first !== undefined && second !== undefined) return this.#membership(first, second, depth);
    if (operator !== undefined && first !== undefined) {
      // `&&` and `||` may have any number of operands.
      return `(${args.map((it) => this.write(it, depth)).join(` ${operator} `)})`;
    }
    if (name === "!_" && first !== undefined) return `(!${this.write(first, depth)})`;
    if (name === "-_" && first !== undefined) return `(-${this.write(first, depth)})`;
    if (name === "_?_:_" && first !== undefined && second !== undefined && third !== undefined) {
      return `(${this.write(first, depth)} ? ${this.write(second, depth)} : ${this.write(third, depth)})`;
    }
    if (name === "matches") return this.#matches(target === undefined ? args : [target, ...args], depth);
    if (!functions.has(name)) return this.#refuse(`the function ${name}`);
    const list = args.map((it) => this.write(it, depth)).join(", ");
    return target === undefined ? `${name}(${list})` : `${this.write(target, depth)}.${name}(${list})`;
  }

  /** `"x" in request.headers` reads one header. */
  #membership(item: Expr, container: Expr, depth: number): string {
    const path = constantPath(container, 0);
    const key = constantString(item);
    if (path === null || key === null) return `(${this.write(item, depth)} in ${this.write(container, depth)})`;
    this.attributes.push([...path, key]);
    return `(${JSON.stringify(key)} in ${pathText(path)})`;
  }

  #matches([text, pattern]: readonly Expr[], depth: number): string {
    const regex = constantString(pattern);
    if (text === undefined || regex === null) return this.#refuse("a regular expression that is no constant");
    this.regexes.push(regex);
    return `${matchesFunction}(${this.write(text, depth)}, ${this.regexes.length - 1})`;
  }

  #attribute(path: AttributePath): string {
    this.attributes.push(path);
    return pathText(path);
  }

  #refuse(what: string): string {
    this.problem ??= what;
    return "false";
  }
}

function pathText([root = "", ...keys]: AttributePath): string {
  return `${root}${keys.map((key) => `[${JSON.stringify(key)}]`).join("")}`;
}

function constantString(expr: Expr | undefined): string | null {
  if (expr?.exprKind.case !== "constExpr") return null;
  const kind = expr.exprKind.value.constantKind;
  return kind.case === "stringValue" ? kind.value : null;
}

function constantPath(expr: Expr | undefined, depth: number): AttributePath | null {
  const kind = expr?.exprKind;
  if (depth > maxDepth || kind === undefined) return null;
  if (kind.case === "identExpr") return [kind.value.name];
  if (kind.case === "selectExpr") {
    const inner = constantPath(kind.value.operand, depth + 1);
    return inner === null ? null : [...inner, kind.value.field];
  }
  if (kind.case !== "callExpr" || kind.value.function !== "_[_]") return null;
  const inner = constantPath(kind.value.args[0], depth + 1);
  const key = constantString(kind.value.args[1]);
  return inner === null || key === null ? null : [...inner, key];
}
