// Header additions and removals of virtual hosts, routes and weighted clusters. Removals come first, as in Envoy.
import {
  type HeaderValueOption,
  HeaderValueOption_HeaderAppendAction,
} from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { type HeaderMutation, type HeaderMutations, noHeaderMutations } from "../http.ts";
import type { Problems } from "../problems.ts";

export interface MutationSource {
  readonly requestHeadersToAdd: readonly HeaderValueOption[];
  readonly requestHeadersToRemove: readonly string[];
  readonly responseHeadersToAdd: readonly HeaderValueOption[];
  readonly responseHeadersToRemove: readonly string[];
}

export function decodeHeaderMutations(source: MutationSource, path: string, problems: Problems): HeaderMutations {
  const request = mutations(
    source.requestHeadersToAdd,
    source.requestHeadersToRemove,
    `${path}.request_headers_to_add`,
    problems,
  );
  const response = mutations(
    source.responseHeadersToAdd,
    source.responseHeadersToRemove,
    `${path}.response_headers_to_add`,
    problems,
  );
  return request.length === 0 && response.length === 0 ? noHeaderMutations : { request, response };
}

function mutations(
  add: readonly HeaderValueOption[],
  remove: readonly string[],
  path: string,
  problems: Problems,
): HeaderMutation[] {
  return [
    ...remove.map((name): HeaderMutation => ({ name, operation: "remove", value: "" })),
    ...decodeHeaderOptions(add, path, problems),
  ];
}

/** Decodes additions alone, in order. */
export function decodeHeaderOptions(
  options: readonly HeaderValueOption[],
  path: string,
  problems: Problems,
): HeaderMutation[] {
  return options.flatMap((option, i) => decodeOption(option, `${path}[${i}]`, problems) ?? []);
}

function decodeOption(option: HeaderValueOption, path: string, problems: Problems): HeaderMutation | null {
  const name = option.header?.key ?? "";
  const value = option.header?.value || Buffer.from(option.header?.rawValue ?? []).toString("latin1");
  if (!/^[:!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) {
    problems.invalid(`${path}.header.key`, `"${name}" is not a header name`);
    return null;
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these characters would split the header
  if (/[\r\n\0]/.test(value)) {
    problems.invalid(`${path}.header.value`, "holds a line break");
    return null;
  }
  // Envoy drops an empty value unless told to keep it.
  if (value === "" && !option.keepEmptyValue) return null;
  return { name, operation: operationOf(option), value };
}

function operationOf(option: HeaderValueOption): HeaderMutation["operation"] {
  if (option.append !== undefined) return option.append ? "append" : "set";
  switch (option.appendAction) {
    case HeaderValueOption_HeaderAppendAction.ADD_IF_ABSENT:
      return "add_if_absent";
    case HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD:
      return "set";
    case HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS:
      return "set_if_exists";
    default:
      return "append";
  }
}
