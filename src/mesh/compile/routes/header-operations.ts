// Header operations of a VirtualService. Pseudo headers and Host cannot be changed this way; `:authority` or `host`
// among the request headers to set or add becomes a host rewrite instead.
import { create } from "@bufbuild/protobuf";
import {
  HeaderValueOption_HeaderAppendAction as Append,
  type HeaderValueOption,
  HeaderValueOptionSchema,
} from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import type { Headers } from "../../kinds/virtual-service/spec.ts";

export interface HeaderOperations {
  requestHeadersToAdd: HeaderValueOption[];
  requestHeadersToRemove: string[];
  responseHeadersToAdd: HeaderValueOption[];
  responseHeadersToRemove: string[];
}

/** Compiles the operations: `set` before `add`, each sorted by name. */
export function headerOperations(headers: Headers | undefined): HeaderOperations {
  const { request, response } = headers ?? {};
  return {
    requestHeadersToAdd: [
      ...toAdd(request?.set, Append.OVERWRITE_IF_EXISTS_OR_ADD),
      ...toAdd(request?.add, Append.APPEND_IF_EXISTS_OR_ADD),
    ],
    requestHeadersToRemove: (request?.remove ?? []).filter((name) => !isInternal(name)),
    responseHeadersToAdd: [
      ...toAdd(response?.set, Append.OVERWRITE_IF_EXISTS_OR_ADD),
      ...toAdd(response?.add, Append.APPEND_IF_EXISTS_OR_ADD),
    ],
    responseHeadersToRemove: (response?.remove ?? []).filter((name) => !isInternal(name)),
  };
}

/** The authority that the operations ask for; `set` wins over `add`. Empty when they do not. */
export function authorityOf(headers: Headers | undefined): string {
  const { set = {}, add = {} } = headers?.request ?? {};
  for (const values of [set, add]) {
    const name = Object.keys(values).findLast(isAuthority);
    if (name !== undefined) return values[name] ?? "";
  }
  return "";
}

function toAdd(values: Readonly<Record<string, string>> | undefined, appendAction: Append): HeaderValueOption[] {
  return Object.entries(values ?? {})
    .filter(([key]) => !isInternal(key))
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([key, value]) => create(HeaderValueOptionSchema, { header: { key, value }, appendAction }));
}

function isInternal(name: string): boolean {
  return name.startsWith(":") || name.toLowerCase() === "host";
}

function isAuthority(name: string): boolean {
  return [":authority", "host"].includes(name.toLowerCase());
}
