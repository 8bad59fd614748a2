// The condition of an RBAC policy, in the Common Expression Language. What it may read is known from its text, so only
// that is gathered for a request. As in Envoy, a condition that reads what is not there does not hold.
import type { Policy } from "#wire/gen/envoy/config/rbac/v3/rbac_pb.ts";
import type { Expr } from "#wire/gen/google/api/expr/v1alpha1/syntax_pb.ts";
import type { Problems } from "../problems.ts";
import type { RbacPredicate, RbacSubject } from "../rbac.ts";
import { celLibrary } from "./cel-library.ts";
import { type AttributePath, celText, matchesFunction } from "./cel-text.ts";
import { regexMatcher } from "./matcher.ts";

export interface CelCondition {
  readonly description: string;
  readonly matches: RbacPredicate;
}

/** Null: the policy has none, or it was told as a problem. */
export function decodeCondition(policy: Policy, path: string, problems: Problems): CelCondition | null {
  const { condition, checkedCondition } = policy;
  if (condition !== undefined) return decodeCel(condition, `${path}.condition`, problems);
  if (checkedCondition === undefined) return null;
  return decodeCel(checkedCondition.expr, `${path}.checked_condition`, problems);
}

export function decodeCel(expression: Expr | undefined, where: string, problems: Problems): CelCondition | null {
  if (expression === undefined) {
    problems.invalid(where, "has no expression");
    return null;
  }
  const { text, attributes, regexes, problem } = celText(expression);
  if (problem !== null) {
    problems.unsupported(where, `${problem} in a CEL condition`);
    return null;
  }
  // Anywhere in the text, as `matches` of CEL is.
  const patterns = regexes.map((regex) => regexMatcher(`(?s:.*)(?:${regex})(?s:.*)`, where, problems).matches);
  const readers = attributes.map((attribute) => attributeReader(attribute));
  const unknown = attributes.find((_, i) => readers[i] === null);
  if (unknown !== undefined) {
    problems.unsupported(where, `the CEL attribute ${unknown.join(".")}`);
    return null;
  }
  const evaluate = compile(text, patterns, where, problems);
  if (evaluate === null) return null;
  const fill = readers.filter((reader) => reader !== null);
  return {
    description: `condition ${text}`,
    matches: (subject) => {
      const context: CelContext = { request: { headers: {} }, source: {}, destination: {}, connection: {} };
      for (let i = 0; i < fill.length; i++) fill[i]?.(context, subject);
      return evaluate(context);
    },
  };
}

/** Values are as the evaluator has them: bigint is int, number is double. */
type CelValues = Record<string, unknown>;

interface CelContext extends CelValues {
  readonly request: CelValues & { readonly headers: CelValues };
  readonly source: CelValues;
  readonly destination: CelValues;
  readonly connection: CelValues;
  metadata?: { readonly filter_metadata: CelValues };
}

type TextTest = (text: string) => boolean;

function compile(
  text: string,
  patterns: readonly TextTest[],
  path: string,
  problems: Problems,
): ((context: CelContext) => boolean) | null {
  try {
    const { Environment } = celLibrary();
    const environment = new Environment({ limits: { maxAstNodes: 2000, maxDepth: 250 } })
      .registerVariable("request", "dyn")
      .registerVariable("source", "dyn")
      .registerVariable("destination", "dyn")
      .registerVariable("connection", "dyn")
      .registerVariable("metadata", "dyn")
      .registerFunction(`${matchesFunction}(dyn, int): bool`, (value: unknown, pattern: bigint) => {
        if (typeof value !== "string") throw new TypeError("matches needs a string");
        return patterns[Number(pattern)]?.(value) === true;
      });
    const program = environment.parse(text);
    const { valid, error } = program.check();
    if (!valid) {
      problems.invalid(path, `the CEL condition ${text} is not valid: ${firstLine(error)}`);
      return null;
    }
    return (context) => {
      try {
        return program(context) === true;
      } catch {
        return false; // it reads what is not there, or compares what can't be compared
      }
    };
  } catch (error) {
    problems.invalid(path, `the CEL condition ${text} is not valid: ${firstLine(error)}`);
    return null;
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "";
}

type AttributeReader = (context: CelContext, subject: RbacSubject) => void;

/** Puts the value in its place when there is one; null for an attribute that is not known. */
function attributeReader([root, field, key]: AttributePath): AttributeReader | null {
  if (root === undefined || field === undefined) return null;
  if (root === "request" && field === "headers") {
    if (key === undefined) return null;
    const name = key.toLowerCase();
    return ({ request }, subject) => put(request.headers, key, subject.header?.(name));
  }
  if (root === "metadata" && field === "filter_metadata") {
    if (key === undefined) return null;
    return (context, subject) => {
      context.metadata ??= { filter_metadata: {} };
      put(context.metadata.filter_metadata, key, subject.metadata?.(key));
    };
  }
  const read = attributes[`${root}.${field}`];
  if (read === undefined) return null;
  return (context, subject) => put(context[root] as CelValues, field, read(subject));
}

function put(values: CelValues, key: string, value: unknown): void {
  if (value === undefined) return;
  Object.defineProperty(values, key, { value, enumerable: true, configurable: true });
}

const address = (ip: string, port: number): string => (ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`);

const header =
  (name: string) =>
  (subject: RbacSubject): string | undefined =>
    subject.header?.(name);

const attributes: Readonly<Record<string, (subject: RbacSubject) => unknown>> = {
  "request.path": header(":path"),
  "request.url_path": ({ path }) => path,
  "request.query": (subject) => {
    const path = subject.header?.(":path");
    const at = path?.indexOf("?") ?? -1;
    return path === undefined ? undefined : at < 0 ? "" : path.slice(at + 1);
  },
  "request.host": header(":authority"),
  "request.method": header(":method"),
  "request.scheme": header(":scheme"),
  "request.referer": header("referer"),
  "request.useragent": header("user-agent"),
  "request.id": header("x-request-id"),
  "source.address": ({ remoteIp, sourcePort }) => address(remoteIp, sourcePort),
  "source.port": ({ sourcePort }) => BigInt(sourcePort),
  "destination.address": ({ destinationIp, destinationPort }) => address(destinationIp, destinationPort),
  "destination.port": ({ destinationPort }) => BigInt(destinationPort),
  "connection.mtls": ({ peer }) => peer !== null,
  "connection.requested_server_name": ({ requestedServerName }) => requestedServerName,
  "connection.uri_san_peer_certificate": ({ peer }) => peer?.uriSans[0],
  "connection.dns_san_peer_certificate": ({ peer }) => peer?.dnsSans[0],
  "connection.subject_peer_certificate": ({ peer }) => peer?.subject,
};
