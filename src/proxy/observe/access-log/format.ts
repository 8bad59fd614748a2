// Compiles access log formats to renderers: Envoy's text format, and JSON formats whose single operators keep their
// type (a number stays a number, an absent value is null). Keys of JSON lines are sorted, as Envoy writes them.
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { AccessLogEntry } from "../../config/access-log.ts";
import { type CompileExpression, findOperator, hasNoValue, limited, type Operator } from "./operators.ts";

export type Render = (entry: AccessLogEntry) => string;

export interface FormatOptions {
  /** Absent values: nothing in text, no key in JSON. */
  readonly omitEmptyValues: boolean;
  /** Told of operators that are known and never have a value here. */
  readonly onValueless?: (operator: string) => void;
  /** What `%CEL(text)%` reads; null after the problem was told. */
  readonly compileExpression?: CompileExpression;
}

/** Calls `onProblem` for what is wrong in the format; that part then renders as nothing. */
export function compileTextFormat(
  format: string,
  options: FormatOptions,
  onProblem: (message: string) => void,
): Render {
  return renderText(parseFormat(format, options, onProblem, true), options.omitEmptyValues);
}

function renderText(parts: readonly (string | Operator)[], omitEmptyValues: boolean): Render {
  const absent = omitEmptyValues ? "" : "-";
  return (entry) => {
    let text = "";
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i] as string | Operator;
      text += typeof part === "string" ? part : (part(entry) ?? absent);
    }
    return text;
  };
}

/** Renders one line of JSON with its newline. */
export function compileJsonFormat(
  format: JsonObject,
  options: FormatOptions,
  onProblem: (message: string) => void,
): Render {
  const render = compileObject(format, options, onProblem);
  return (entry) => `${render(entry) ?? "{}"}\n`;
}

/**
 * Adds why to the lines of answers that the proxy gave itself: ` cause="..."` at the end of a text line, the key `cause`
 * in JSON. All other lines, and formats that place %OUTRIGGER_CAUSE% themselves, stay as they are.
 */
export function withCause(render: Render): Render {
  return (entry) => {
    const line = render(entry);
    if (entry.cause === undefined) return line;
    const cause = JSON.stringify(entry.cause);
    const end = line.endsWith("\n") ? line.length - 1 : line.length;
    if (!line.startsWith("{") || line[end - 1] !== "}") return `${line.slice(0, end)} cause=${cause}\n`;
    return `${line.slice(0, end - 1)}${end === 2 ? "" : ","}"cause":${cause}}\n`;
  };
}

/** Renders JSON text; undefined leaves the value out. */
type RenderJson = (entry: AccessLogEntry) => string | undefined;

function compileValue(value: JsonValue, options: FormatOptions, onProblem: (message: string) => void): RenderJson {
  if (typeof value === "string") return compileString(value, options, onProblem);
  if (Array.isArray(value)) {
    const items = value.map((item) => compileValue(item, options, onProblem));
    return (entry) => `[${items.map((item) => item(entry) ?? "null").join(",")}]`;
  }
  if (typeof value === "object" && value !== null) return compileObject(value, options, onProblem);
  const text = JSON.stringify(value);
  return () => text;
}

function compileObject(value: JsonObject, options: FormatOptions, onProblem: (message: string) => void): RenderJson {
  const fields = Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => ({
      key: `${JSON.stringify(key)}:`,
      render: compileValue(item as JsonValue, options, onProblem),
    }));
  return (entry) => {
    let text = "";
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i] as (typeof fields)[number];
      const rendered = field.render(entry);
      if (rendered !== undefined) text += `${text === "" ? "" : ","}${field.key}${rendered}`;
    }
    return `{${text}}`;
  };
}

function compileString(format: string, options: FormatOptions, onProblem: (message: string) => void): RenderJson {
  const parts = parseFormat(format, options, onProblem, false);
  const only = parts.length === 1 ? parts[0] : undefined;
  if (typeof only === "function") {
    const missing = options.omitEmptyValues ? undefined : "null";
    return (entry) => {
      const value = only(entry);
      return value === undefined ? missing : JSON.stringify(value);
    };
  }
  const text = renderText(parts, options.omitEmptyValues);
  return (entry) => JSON.stringify(text(entry));
}

/** An argument ends at the first parenthesis that the end of an operator follows: expressions have parentheses in them. */
const operatorPattern = /%(%|([A-Z][A-Z_0-9]*)(?:\((.*?)\))?(?::(\d+))?%)/gs;

/** Operators whose values a peer chooses. */
const foreign: ReadonlySet<string> = new Set([
  "REQ",
  "REQ_WITHOUT_QUERY",
  "RESP",
  "TRAILER",
  "QUERY_PARAM",
  "DOWNSTREAM_PEER_SUBJECT",
  "DOWNSTREAM_PEER_DNS_SAN",
  "DOWNSTREAM_PEER_ISSUER",
  "PATH",
  "STREAM_ID",
  "TRACE_ID",
  "CEL",
]);

/** What would end a line or a quoted field, or be obeyed by a terminal, is written as JSON writes it. */
function escaped(operator: Operator): Operator {
  return (entry) => {
    const value = operator(entry);
    return typeof value === "string" && special.test(value) ? value.replaceAll(specials, escapeOf) : value;
  };
}

const special = /["\\\p{Cc}]/u;
const specials = new RegExp(special, "gu");

function escapeOf(character: string): string {
  if (character === '"' || character === "\\") return `\\${character}`;
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

function parseFormat(
  format: string,
  { onValueless, compileExpression }: FormatOptions,
  onProblem: (message: string) => void,
  escapes: boolean,
): (string | Operator)[] {
  const parts: (string | Operator)[] = [];
  let end = 0;
  let literal = "";
  for (const match of format.matchAll(operatorPattern)) {
    const [whole, percent, name = "", argument, length] = match;
    literal += plainText(format.slice(end, match.index), onProblem);
    end = match.index + whole.length;
    if (percent === "%") {
      literal += "%";
      continue;
    }
    const operator = findOperator(name, argument, compileExpression);
    if (typeof operator === "string") {
      onProblem(operator);
      continue;
    }
    if (hasNoValue(name, argument)) onValueless?.(name);
    if (literal !== "") parts.push(literal);
    literal = "";
    const cut = length === undefined ? operator : limited(operator, Number(length));
    parts.push(escapes && foreign.has(name) ? escaped(cut) : cut);
  }
  literal += plainText(format.slice(end), onProblem);
  if (literal !== "") parts.push(literal);
  return parts;
}

function plainText(text: string, onProblem: (message: string) => void): string {
  if (text.includes("%")) onProblem(`"${text.trim()}" has a % that begins no operator`);
  return text;
}
