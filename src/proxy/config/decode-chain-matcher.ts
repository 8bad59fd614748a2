// A listener's `filter_chain_matcher`: a matching tree over what is known of a connection, whose actions name chains.

import type { Any } from "@bufbuild/protobuf/wkt";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { ownEntry } from "#base/own-entry.ts";
import {
  ApplicationProtocolInputSchema,
  DestinationIPInputSchema,
  DestinationPortInputSchema,
  DirectSourceIPInputSchema,
  ServerNameInputSchema,
  SourceIPInputSchema,
  SourcePortInputSchema,
  SourceTypeInputSchema,
  TransportProtocolInputSchema,
} from "#wire/gen/envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.ts";
import type { Matcher } from "#wire/gen/xds/type/matcher/v3/matcher_pb.ts";
import { isLocal } from "../decide/filter-chain.ts";
import type { ChainMatcher, ConnectionFacts } from "./listener.ts";
import { decodeMatchingTree, type TreeInput, type TreeKind } from "./parse/matching-tree.ts";
import { typeName, unpack } from "./parse/values.ts";
import type { Problems } from "./problems.ts";

export function decodeChainMatcher(
  matcher: Matcher,
  chainNames: ReadonlySet<string>,
  path: string,
  problems: Problems,
): ChainMatcher {
  const kind: TreeKind<ConnectionFacts, string> = {
    input: (any) => ownEntry(inputs, typeName(any)) ?? null,
    action: (any, where) => chainName(any, chainNames, where, problems),
  };
  return decodeMatchingTree(matcher, kind, path, problems);
}

function chainName(any: Any, names: ReadonlySet<string>, path: string, problems: Problems): string | null {
  if (typeName(any) !== StringValueSchema.typeName) return null;
  const name = unpack(any, StringValueSchema, path, problems)?.value ?? "";
  if (!names.has(name)) problems.invalid(path, `no filter chain is named "${name}"`);
  return name;
}

const orNone = (value: string): string | undefined => (value === "" ? undefined : value);

const inputs: Readonly<Record<string, TreeInput<ConnectionFacts>>> = {
  [DestinationIPInputSchema.typeName]: (facts) => orNone(facts.destinationIp),
  [DestinationPortInputSchema.typeName]: (facts) => String(facts.destinationPort),
  [SourceIPInputSchema.typeName]: (facts) => orNone(facts.sourceIp),
  [SourcePortInputSchema.typeName]: (facts) => String(facts.sourcePort),
  [DirectSourceIPInputSchema.typeName]: (facts) => orNone(facts.directSourceIp),
  [SourceTypeInputSchema.typeName]: (facts) => (isLocal(facts.sourceIp, facts.destinationIp) ? "local" : undefined),
  [ServerNameInputSchema.typeName]: (facts) => orNone(facts.serverName),
  [TransportProtocolInputSchema.typeName]: (facts) => facts.transportProtocol || "raw_buffer",
  // Envoy's text for several: 'h2','http/1.1'.
  [ApplicationProtocolInputSchema.typeName]: (facts) =>
    facts.applicationProtocols.length === 0 ? undefined : facts.applicationProtocols.map((it) => `'${it}'`).join(","),
};
