// Envoy's path templates, `/users/{id}/*` or `/files/**`: `*` is one path segment, `**` any number of them.
import type { Any } from "@bufbuild/protobuf/wkt";
import { UriTemplateMatchConfigSchema } from "#wire/gen/envoy/extensions/path/match/uri_template/v3/uri_template_match_pb.ts";
import type { StringMatcher } from "../matcher.ts";
import type { Problems } from "../problems.ts";
import { regexMatcher } from "./matcher.ts";
import { typeName, unpack } from "./values.ts";

/** A matcher over the path without query; null when the template is not one. */
export function decodeUriTemplate(any: Any | undefined, path: string, problems: Problems): StringMatcher | null {
  if (any === undefined || typeName(any) !== UriTemplateMatchConfigSchema.typeName) {
    problems.unsupported(path, `the path matcher ${typeName(any)}`);
    return null;
  }
  const config = unpack(any, UriTemplateMatchConfigSchema, path, problems);
  if (config === null) return null;
  const regex = templateRegex(config.pathTemplate);
  if (regex === null) {
    problems.invalid(`${path}.path_template`, `"${config.pathTemplate}" is not a path template`);
    return null;
  }
  const test = regexMatcher(regex, `${path}.path_template`, problems);
  return { ...test, description: `template "${config.pathTemplate}"` };
}

/** Characters of a path segment, as Envoy allows them. */
const segment = "[a-zA-Z0-9\\-._~%!$&'()+,;:@=]";
const oneSegment = `${segment}+`;
const anySegments = `(?:${segment}|/)*`;

/** Envoy's limits: operators of one template, and names of its variables. */
const maxVariables = 5;
const maxTemplateLength = 256;

function templateRegex(template: string): string | null {
  if (!template.startsWith("/") || template.length > maxTemplateLength) return null;
  const parts = splitTemplate(template.slice(1));
  if (parts === null) return null;
  const state: TemplateState = { hasAny: false, names: new Set() };
  let regex = "";
  for (const part of parts) {
    const piece = partRegex(part, state);
    if (piece === null) return null;
    regex += `/${piece}`;
  }
  return regex;
}

/** Segments; a variable in braces may hold slashes and is one part with what stands around it. */
function splitTemplate(template: string): string[] | null {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < template.length; i++) {
    const char = template[i];
    if (char === "{" && ++depth > 1) return null;
    if (char === "}" && --depth < 0) return null;
    if (char === "/" && depth === 0) {
      parts.push(template.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(template.slice(start));
  return depth === 0 ? parts : null;
}

interface TemplateState {
  /** Only literals may follow `**`. */
  hasAny: boolean;
  readonly names: Set<string>;
}

function partRegex(part: string, state: TemplateState): string | null {
  const match = /^([^{}*]*)(?:(\*\*?)|\{([A-Za-z_][A-Za-z0-9_]{0,15})(?:=([^{}]+))?\})?([^{}*]*)$/.exec(part);
  if (match === null) return null;
  const [, before = "", operator, name, pattern, after = ""] = match;
  if (operator === undefined && name === undefined) return quote(before);
  if (name !== undefined) {
    if (state.names.has(name) || state.names.size === maxVariables) return null;
    state.names.add(name);
  }
  // `*` stands for whole segments, or ends one with a literal behind it, as `/**.mpd` does.
  if (before !== "") return null;
  const inner = name === undefined ? operatorRegex(operator ?? "", state) : variableRegex(pattern ?? "*", state);
  return inner === null ? null : `${inner}${quote(after)}`;
}

function variableRegex(pattern: string, state: TemplateState): string | null {
  const pieces: string[] = [];
  for (const segmentPattern of pattern.split("/")) {
    const piece = segmentPattern.includes("*") ? operatorRegex(segmentPattern, state) : quote(segmentPattern);
    if (piece === null || segmentPattern === "") return null;
    pieces.push(piece);
  }
  return pieces.join("/");
}

function operatorRegex(operator: string, state: TemplateState): string | null {
  if (state.hasAny) return null;
  if (operator === "*") return oneSegment;
  if (operator !== "**") return null;
  state.hasAny = true;
  return anySegments;
}

function quote(literal: string): string {
  return literal.replace(/[\\.+*?()|[\]{}^$]/g, "\\$&");
}
