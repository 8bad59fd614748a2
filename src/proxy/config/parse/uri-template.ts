// Envoy's path templates, `/users/{id}/*` or `/files/**`: `*` is one path segment, `**` any number of them. The config
// message has one field, `string path_template = 1`, and is read here as bytes: its proto is newer than our copies.
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { StringMatcher } from "../matcher.ts";
import type { Problems } from "../problems.ts";
import { regexMatcher } from "./matcher.ts";
import { typeName } from "./values.ts";

export const uriTemplateType = "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";

/** A matcher over the path without query; null when the template is not one. */
export function decodeUriTemplate(any: Any | undefined, path: string, problems: Problems): StringMatcher | null {
  if (any === undefined || typeName(any) !== uriTemplateType) {
    problems.unsupported(path, `the path matcher ${typeName(any)}`);
    return null;
  }
  const template = readTemplate(any.value);
  const regex = template === null ? null : templateRegex(template);
  if (template === null || regex === null) {
    problems.invalid(`${path}.path_template`, `"${template ?? ""}" is not a path template`);
    return null;
  }
  return { ...regexMatcher(regex, `${path}.path_template`, problems), description: `template "${template}"` };
}

function readTemplate(bytes: Uint8Array): string | null {
  try {
    const reader = new BinaryReader(bytes);
    let template: string | null = null;
    while (reader.pos < reader.len) {
      const [field, wire] = reader.tag();
      if (field === 1 && wire === WireType.LengthDelimited) template = reader.string();
      else reader.skip(wire, field);
    }
    return template;
  } catch {
    return null;
  }
}

/** Characters of a path segment, as Envoy allows them. */
const segment = "[a-zA-Z0-9\\-._~%!$&'()+,;:@=]";
const oneSegment = `${segment}+`;
const anySegments = `(?:${segment}|/)*`;

function templateRegex(template: string): string | null {
  if (!template.startsWith("/")) return null;
  let regex = "";
  let hasAny = false;
  for (const part of template.slice(1).split("/")) {
    const operator = operatorOf(part);
    if (operator === null) return null;
    // Nothing but literals may follow `**`.
    if (hasAny && operator !== "literal") return null;
    hasAny ||= operator === "any";
    regex += `/${operator === "any" ? anySegments : operator === "one" ? oneSegment : quote(part)}`;
  }
  return regex;
}

function operatorOf(part: string): "literal" | "one" | "any" | null {
  if (part === "*" || /^\{[A-Za-z_][A-Za-z0-9_]*(=\*)?\}$/.test(part)) return "one";
  if (part === "**" || /^\{[A-Za-z_][A-Za-z0-9_]*=\*\*\}$/.test(part)) return "any";
  return /[*{}]/.test(part) ? null : "literal";
}

function quote(literal: string): string {
  return literal.replace(/[\\.+*?()|[\]{}^$]/g, "\\$&");
}
