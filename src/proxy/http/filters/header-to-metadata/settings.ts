// Rules that make metadata out of headers and cookies.
import { fromBinary, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import {
  type Config,
  Config_ValueEncode as Encode,
  type Config_Rule as EnvoyRule,
  type Config_KeyValuePair as KeyValuePair,
  Config_ValueType as Type,
} from "#wire/gen/envoy/extensions/filters/http/header_to_metadata/v3/header_to_metadata_pb.ts";
import { decodeRegexRewrite } from "../../../config/parse/matcher.ts";
import type { Problems } from "../../../config/problems.ts";
import type { FilterPlace } from "../../filter.ts";

export interface HeaderToMetadataSettings {
  readonly request: readonly MetadataRule[];
  readonly response: readonly MetadataRule[];
}

export interface MetadataRule {
  /** Lower case; empty when a cookie is read. */
  readonly header: string;
  readonly cookie: string;
  readonly whenPresent: MetadataTarget | null;
  readonly whenMissing: MetadataTarget | null;
  /** The header is taken off when it was read. */
  readonly removes: boolean;
}

interface MetadataTarget {
  readonly namespace: string;
  readonly key: string;
  /** From the header's text; undefined when it cannot be read as what it should be. */
  readonly valueOf: (text: string) => unknown;
}

const defaultNamespace = "envoy.filters.http.header_to_metadata";

export function parseHeaderToMetadata(message: Config, { path, problems }: FilterPlace): HeaderToMetadataSettings {
  if (message.requestRules.length === 0 && message.responseRules.length === 0) problems.invalid(path, "has no rules");
  return {
    request: message.requestRules.map((rule, i) => parseRule(rule, `${path}.request_rules[${i}]`, problems)),
    response: message.responseRules.map((rule, i) => parseRule(rule, `${path}.response_rules[${i}]`, problems)),
  };
}

function parseRule(rule: EnvoyRule, path: string, problems: Problems): MetadataRule {
  const { header, cookie, onHeaderPresent, onHeaderMissing, remove } = rule;
  if ((header === "") === (cookie === "")) problems.invalid(path, "needs a header or a cookie, and not both");
  if (onHeaderPresent === undefined && onHeaderMissing === undefined) problems.invalid(path, "does nothing");
  if (cookie !== "" && remove) problems.invalid(`${path}.remove`, "cannot take a cookie off");
  if (onHeaderMissing !== undefined && onHeaderMissing.value === "") {
    problems.invalid(`${path}.on_header_missing.value`, "is missing");
  }
  return {
    header: header.toLowerCase(),
    cookie,
    whenPresent:
      onHeaderPresent === undefined ? null : parseTarget(onHeaderPresent, `${path}.on_header_present`, problems),
    whenMissing:
      onHeaderMissing === undefined ? null : parseTarget(onHeaderMissing, `${path}.on_header_missing`, problems),
    removes: remove,
  };
}

function parseTarget(pair: KeyValuePair, path: string, problems: Problems): MetadataTarget {
  if (pair.key === "") problems.invalid(`${path}.key`, "is missing");
  if (pair.value !== "" && pair.regexValueRewrite !== undefined) {
    problems.invalid(`${path}.regex_value_rewrite`, "has nothing to rewrite beside a value");
  }
  const rewrite = decodeRegexRewrite(pair.regexValueRewrite, `${path}.regex_value_rewrite`, problems);
  const read = readers[pair.type] ?? ((text: string) => text);
  const isBase64 = pair.encode === Encode.BASE64;
  return {
    namespace: pair.metadataNamespace || defaultNamespace,
    key: pair.key,
    valueOf: (text) => {
      const chosen = pair.value === "" ? (rewrite === null ? text : rewrite(text)) : pair.value;
      return read(isBase64 ? Buffer.from(chosen, "base64").toString("latin1") : chosen);
    },
  };
}

/** What a header's text stands for. */
const readers: Readonly<Record<number, (text: string) => unknown>> = {
  [Type.NUMBER]: (text) => {
    const number = Number(text);
    return text.trim() === "" || !Number.isFinite(number) ? undefined : number;
  },
  [Type.PROTOBUF_VALUE]: (text) => {
    try {
      return toJson(ValueSchema, fromBinary(ValueSchema, Buffer.from(text, "latin1")));
    } catch {
      return undefined;
    }
  },
};
