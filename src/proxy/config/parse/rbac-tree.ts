// Matching trees with RBAC actions: what the tree finds decides, and nothing found is refusal.

import type { Any } from "@bufbuild/protobuf/wkt";
import type { Origin } from "#base/issue.ts";
import { ownEntry } from "#base/own-entry.ts";
import { ActionSchema, RBAC_Action } from "#wire/gen/envoy/config/rbac/v3/rbac_pb.ts";
import {
  DestinationIPInputSchema,
  DestinationPortInputSchema,
  DirectSourceIPInputSchema,
  ServerNameInputSchema,
  SourceIPInputSchema,
  SourcePortInputSchema,
} from "#wire/gen/envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.ts";
import {
  DnsSanInputSchema,
  SubjectInputSchema,
  UriSanInputSchema,
} from "#wire/gen/envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs_pb.ts";
import { HttpRequestHeaderMatchInputSchema } from "#wire/gen/envoy/type/matcher/v3/http_inputs_pb.ts";
import { CelMatcherSchema } from "#wire/gen/xds/type/matcher/v3/cel_pb.ts";
import { HttpAttributesCelMatchInputSchema } from "#wire/gen/xds/type/matcher/v3/http_inputs_pb.ts";
import type { Matcher } from "#wire/gen/xds/type/matcher/v3/matcher_pb.ts";
import type { Problems } from "../problems.ts";
import type { RbacAction, RbacFinding, RbacRules, RbacSubject } from "../rbac.ts";
import { decodeCel } from "./cel.ts";
import { decodeMatchingTree, type TreeInput, type TreeKind } from "./matching-tree.ts";
import { typeName, unpack } from "./values.ts";

export function decodeMatchTree(
  matcher: Matcher,
  policyOrigins: ReadonlyMap<string, Origin>,
  path: string,
  problems: Problems,
): RbacRules {
  let logs = false;
  const kind: TreeKind<RbacSubject, RbacFinding> = {
    input: headerOrInput,
    predicate: celPredicate,
    action: (any, where, told) => {
      const finding = decodeFinding(any, policyOrigins, where, told);
      logs ||= finding?.action === "log";
      return finding;
    },
  };
  const find = decodeMatchingTree(matcher, kind, path, problems);
  return { action: "allow", policies: [], tree: { find, logs } };
}

function decodeFinding(
  any: Any,
  policyOrigins: ReadonlyMap<string, Origin>,
  path: string,
  problems: Problems,
): RbacFinding | null {
  if (typeName(any) !== ActionSchema.typeName) return null;
  const message = unpack(any, ActionSchema, path, problems);
  if (message === null) return null;
  if (message.name === "") problems.invalid(`${path}.name`, "is missing");
  const action = actions[message.action];
  if (action === undefined) problems.invalid(`${path}.action`, `${message.action} is not an action`);
  const origin = policyOrigins.get(message.name) ?? null;
  return {
    action: action ?? "deny",
    policy: { name: message.name, matches: () => true, conditions: [], origin },
  };
}

const actions: Readonly<Record<number, RbacAction>> = {
  [RBAC_Action.ALLOW]: "allow",
  [RBAC_Action.DENY]: "deny",
  [RBAC_Action.LOG]: "log",
};

function headerOrInput(any: Any, path: string, problems: Problems): TreeInput<RbacSubject> | null {
  if (typeName(any) !== HttpRequestHeaderMatchInputSchema.typeName) return ownEntry(inputs, typeName(any)) ?? null;
  const name = unpack(any, HttpRequestHeaderMatchInputSchema, path, problems)?.headerName.toLowerCase() ?? "";
  return (subject) => subject.header?.(name);
}

const inputs: Readonly<Record<string, TreeInput<RbacSubject>>> = {
  [DestinationIPInputSchema.typeName]: ({ destinationIp }) => destinationIp,
  [DestinationPortInputSchema.typeName]: ({ destinationPort }) => String(destinationPort),
  [SourceIPInputSchema.typeName]: ({ remoteIp }) => remoteIp,
  [SourcePortInputSchema.typeName]: ({ sourcePort }) => String(sourcePort),
  [DirectSourceIPInputSchema.typeName]: ({ directRemoteIp }) => directRemoteIp,
  [ServerNameInputSchema.typeName]: ({ requestedServerName }) => requestedServerName || undefined,
  [UriSanInputSchema.typeName]: ({ peer }) => peer?.uriSans.join(",") || undefined,
  [DnsSanInputSchema.typeName]: ({ peer }) => peer?.dnsSans.join(",") || undefined,
  [SubjectInputSchema.typeName]: ({ peer }) => peer?.subject || undefined,
};

function celPredicate(
  input: Any,
  matcher: Any,
  path: string,
  problems: Problems,
): ((subject: RbacSubject) => boolean) | null {
  if (typeName(input) !== HttpAttributesCelMatchInputSchema.typeName) return null;
  if (typeName(matcher) !== CelMatcherSchema.typeName) return null;
  const specifier = unpack(matcher, CelMatcherSchema, path, problems)?.exprMatch?.exprSpecifier;
  return decodeCel(specifier?.value?.expr, `${path}.expr_match`, problems)?.matches ?? (() => false);
}
