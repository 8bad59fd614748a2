// Label and field selectors, in the string form of queries and in the object form of specs.

import { apiError } from "./errors.ts";
import { asRecord, fieldAt, isRecord } from "./json.ts";

export type Labels = Readonly<Record<string, string>>;

export interface LabelSelector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly LabelRequirement[];
}

interface LabelRequirement {
  readonly key: string;
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  readonly values?: readonly string[];
}

/** The object form: an absent or empty selector matches everything. */
export function matchesLabelSelector(selector: LabelSelector | undefined, labels: Labels): boolean {
  if (selector === undefined) return true;
  return (
    matchesLabels(selector.matchLabels ?? {}, labels) &&
    (selector.matchExpressions ?? []).every((requirement) => matchesRequirement(requirement, labels))
  );
}

export function matchesLabels(wanted: Labels, labels: Labels): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
}

export function labelsOf(object: { readonly metadata: { readonly labels?: Labels } }): Labels {
  return object.metadata.labels ?? {};
}

/** Compiles `a=b,c!=d,e in (f,g),h notin (i),j,!k`. Throws BAD_REQUEST on anything else. */
export function parseLabelSelector(text: string): (object: unknown) => boolean {
  const requirements = splitOutsideParentheses(text).map(parseRequirement);
  return (object) => {
    const labels = asRecord(fieldAt(object, "metadata", "labels"));
    return requirements.every((requirement) => matchesRequirement(requirement, labels));
  };
}

/** Compiles `metadata.name=x,spec.nodeName!=y`. An absent field equals "". Throws BAD_REQUEST on anything else. */
export function parseFieldSelector(text: string): (object: unknown) => boolean {
  const terms = text
    .split(",")
    .map((term) => term.trim())
    .filter((term) => term !== "")
    .map((term) => {
      const match = /^([\w.-]+)\s*(!=|==|=)\s*([^=!]*)$/.exec(term);
      if (match === null) throw apiError("BAD_REQUEST", `unable to parse field selector "${text}"`);
      return { path: (match[1] ?? "").split("."), negated: match[2] === "!=", value: (match[3] ?? "").trim() };
    });
  return (object) => terms.every((term) => (scalarText(fieldAt(object, ...term.path)) === term.value) !== term.negated);
}

function matchesRequirement(requirement: LabelRequirement, labels: Readonly<Record<string, unknown>>): boolean {
  const present = Object.hasOwn(labels, requirement.key);
  const isIn = present && (requirement.values ?? []).includes(String(labels[requirement.key]));
  switch (requirement.operator) {
    case "In":
      return isIn;
    case "NotIn":
      return !isIn;
    case "Exists":
      return present;
    case "DoesNotExist":
      return !present;
    default:
      return false;
  }
}

function parseRequirement(text: string): LabelRequirement {
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(text);
  if (set !== null) {
    const values = (set[3] ?? "").split(",").map((value) => value.trim());
    return { key: labelKey(set[1] ?? "", text), operator: set[2] === "in" ? "In" : "NotIn", values };
  }
  const equality = /^([^=!\s]+)\s*(!=|==|=)\s*([^=!\s]*)$/.exec(text);
  if (equality !== null) {
    const operator = equality[2] === "!=" ? "NotIn" : "In";
    return { key: labelKey(equality[1] ?? "", text), operator, values: [equality[3] ?? ""] };
  }
  if (text.startsWith("!")) return { key: labelKey(text.slice(1).trim(), text), operator: "DoesNotExist" };
  return { key: labelKey(text, text), operator: "Exists" };
}

function labelKey(key: string, text: string): string {
  if (!/^([A-Za-z0-9.-]+\/)?[A-Za-z0-9_.-]+$/.test(key)) {
    throw apiError("BAD_REQUEST", `unable to parse label selector near "${text}"`);
  }
  return key;
}

function splitOutsideParentheses(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let index = 0; index <= text.length; index++) {
    const character = text[index];
    if (character === "(") depth++;
    else if (character === ")") depth--;
    else if (character === undefined || (character === "," && depth === 0)) {
      parts.push(text.slice(start, index).trim());
      start = index + 1;
    }
  }
  return parts.filter((part) => part !== "");
}

function scalarText(value: unknown): string {
  if (value === undefined || value === null || isRecord(value) || Array.isArray(value)) return "";
  return String(value);
}
