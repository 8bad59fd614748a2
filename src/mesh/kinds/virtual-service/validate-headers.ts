// Headers that a route changes.
import type { Report } from "../../objects/report.ts";
import type { Headers, HttpRewrite } from "./spec.ts";

const headerName = /^:?[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

export function validateHeaders(headers: Headers, path: string, report: Report): void {
  for (const direction of ["request", "response"] as const) {
    const operations = headers[direction];
    if (operations === undefined) continue;
    for (const field of ["set", "add"] as const) {
      for (const [name, value] of Object.entries(operations[field])) {
        const at = `${path}.${direction}.${field}["${name}"]`;
        const problem = nameProblem(name, direction === "request") ?? valueProblem(value);
        if (problem !== undefined) report({ path: at, ...problem });
      }
    }
    for (const [index, name] of operations.remove.entries()) {
      const problem = nameProblem(name, false);
      if (problem !== undefined) report({ path: `${path}.${direction}.remove[${index}]`, ...problem });
    }
  }
}

/** The host of a request has one new value, wherever it is written. */
export function validateAuthority(
  { rewrite, headers }: { readonly rewrite?: HttpRewrite; readonly headers?: Headers },
  path: string,
  report: Report,
): void {
  let earlier = rewrite !== undefined && rewrite.authority !== "" ? `${path}.rewrite.authority` : undefined;
  for (const field of ["set", "add"] as const) {
    for (const name of Object.keys(headers?.request?.[field] ?? {})) {
      if (!isAuthority(name)) continue;
      const at = `${path}.headers.request.${field}["${name}"]`;
      if (earlier !== undefined) report({ path: at, message: `the host is set in ${earlier} already` });
      earlier ??= at;
    }
  }
}

interface HeaderProblem {
  readonly message: string;
  readonly fix?: string;
}

function isAuthority(name: string): boolean {
  return /^(?::authority|host)$/i.test(name);
}

function nameProblem(name: string, takesAuthority: boolean): HeaderProblem | undefined {
  if (!headerName.test(name)) return { message: `"${name}" is not a header name` };
  if (isAuthority(name) ? takesAuthority : !name.startsWith(":")) return undefined;
  return { message: `${name} cannot be changed here` };
}

function valueProblem(value: string): HeaderProblem | undefined {
  if (hasControlCharacter(value)) return { message: "a header value has no control characters" };
  if (isFormat(value)) return undefined;
  return { message: `"${value}" has a % that is not closed`, fix: "%% for a percent sign" };
}

/** Tabs are none here. */
function hasControlCharacter(value: string): boolean {
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return true;
  }
  return false;
}

/** Whether all percent signs are pairs (`%%`) or enclose a command (`%NAME%`, `%NAME(arguments)%`). */
function isFormat(value: string): boolean {
  return /^(?:[^%]|%%|%[^%(]+(?:\((?:[^)\\]|\\.)*\)[^%]*)?%)*$/s.test(value);
}
