// EnvoyFilter patches on listeners: the listener itself, its listener filters, filter chains, network filters, HTTP
// filters and inline routes, in istiod's order.
import { clone } from "@bufbuild/protobuf";
import { anyPack, anyUnpack } from "@bufbuild/protobuf/wkt";
import {
  type Filter,
  type FilterChain,
  FilterChainSchema,
  FilterSchema,
  type ListenerFilter,
  ListenerFilterSchema,
} from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { type Listener, ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import {
  type HttpConnectionManager,
  HttpConnectionManagerSchema,
  type HttpFilter,
  HttpFilterSchema,
} from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { meansFilter } from "../../kinds/envoy-filter/filter-names.ts";
import { ApplyTo, Operation } from "../../kinds/envoy-filter/spec.ts";
import { isMerge } from "../../kinds/envoy-filter/validate.ts";
import { virtualInboundListener, virtualOutboundListener } from "../names.ts";
import { editList } from "./edit-list.ts";
import { mergeTypedConfig } from "./merge.ts";
import type { PatchSet, Place, ReadyPatch, ResourceContext } from "./patch-set.ts";
import { addOrigin } from "./provenance.ts";
import { patchInlineRoutes } from "./routes.ts";
import { copyOf, mergeTransportSocket, mergeValue, optionsOf } from "./values.ts";

const connectionManager = "envoy.filters.network.http_connection_manager";

const places: readonly Place[] = [
  ApplyTo.Listener,
  ApplyTo.ListenerFilter,
  ApplyTo.FilterChain,
  ApplyTo.NetworkFilter,
  ApplyTo.HttpFilter,
];
/** Inline route configurations stand in inbound listeners. */
const routePlaces: readonly Place[] = [ApplyTo.RouteConfiguration, ApplyTo.VirtualHost, ApplyTo.HttpRoute];

/** The patched listeners and those that patches add. Listeners that no patch concerns are the same objects. */
export function patchListeners(
  patches: PatchSet | undefined,
  context: ResourceContext,
  listeners: readonly Listener[],
): readonly Listener[] {
  if (patches === undefined) return listeners;
  const patched = listeners.flatMap(
    (listener) => patches.patched(listener, context, (original) => patchListener(patches, context, original)) ?? [],
  );
  const names = new Set(patched.map(({ name }) => name));
  const added = patches.added(ApplyTo.Listener, context).map((patch) => {
    const listener = copyOf(ListenerSchema, patch);
    // The first of a name counts.
    if (!names.has(listener.name)) patches.note(patch);
    names.add(listener.name);
    addOrigin(listener, patch.origin);
    return listener;
  });
  return [...patched, ...added];
}

function patchListener(patches: PatchSet, context: ResourceContext, original: Listener): Listener | undefined {
  const own = places.flatMap((place) => patches.at(place, context)).filter((patch) => isListener(original, patch));
  const routes = context === "SIDECAR_INBOUND" ? routePlaces.flatMap((place) => patches.at(place, context)) : [];
  if (own.length === 0 && routes.length === 0) return original;
  const at = (place: Place): ReadyPatch[] => own.filter((patch) => patch.place === place);
  const listener = clone(ListenerSchema, original);
  for (const patch of at(ApplyTo.Listener)) {
    if (patch.operation === Operation.Remove) {
      patches.note(patch);
      return undefined;
    }
    if (mergeValue(ListenerSchema, listener, patch)) took(patches, patch, listener);
  }
  for (const patch of at(ApplyTo.ListenerFilter)) {
    const isChanged = editList<ListenerFilter>(listener.listenerFilters, {
      ...named(patch, patch.match?.listener?.listenerFilter || undefined),
      make: () => copyOf(ListenerFilterSchema, patch),
    });
    if (isChanged) took(patches, patch, listener);
  }
  patchFilterChains(patches, context, listener, at);
  return listener;
}

/** The patch changed something of the listener or chain. */
function took(patches: PatchSet, patch: ReadyPatch, resource: Parameters<typeof addOrigin>[0]): void {
  patches.note(patch);
  addOrigin(resource, patch.origin);
}

type PatchesAt = (place: Place) => ReadyPatch[];

function patchFilterChains(patches: PatchSet, context: ResourceContext, listener: Listener, at: PatchesAt): void {
  const patched = (chain: FilterChain): FilterChain[] => {
    const isKept = patchFilterChain(patches, context, listener, chain, at);
    return isKept ? [chain] : [];
  };
  listener.filterChains = listener.filterChains.flatMap(patched);
  if (listener.defaultFilterChain !== undefined) {
    const [chain] = patched(listener.defaultFilterChain);
    if (chain === undefined) delete listener.defaultFilterChain;
  }
  for (const patch of at(ApplyTo.FilterChain)) {
    if (patch.operation !== Operation.Add) continue;
    const chain = copyOf(FilterChainSchema, patch);
    took(patches, patch, chain);
    listener.filterChains.push(chain);
  }
}

/** False when a patch removes the chain. */
function patchFilterChain(
  patches: PatchSet,
  context: ResourceContext,
  listener: Listener,
  chain: FilterChain,
  at: PatchesAt,
): boolean {
  const here = (place: Place): ReadyPatch[] => at(place).filter((patch) => isFilterChain(listener, chain, patch));
  for (const patch of here(ApplyTo.FilterChain)) {
    if (patch.operation === Operation.Remove) {
      patches.note(patch);
      return false;
    }
    if (!isMerge(patch.operation)) continue;
    const source = patch.value as FilterChain;
    if (!mergeTransportSocket(chain.transportSocket, source.transportSocket, patch)) {
      mergeValue(FilterChainSchema, chain, patch);
    }
    took(patches, patch, chain);
  }
  for (const patch of here(ApplyTo.NetworkFilter)) {
    const isChanged = editList<Filter>(chain.filters, {
      ...named(patch, patch.match?.listener?.filterChain?.filter?.name),
      make: () => copyOf(FilterSchema, patch),
    });
    if (isChanged) took(patches, patch, chain);
  }
  for (const filter of chain.filters) {
    for (const patch of here(ApplyTo.NetworkFilter)) {
      if (!isMerge(patch.operation) || !isNetworkFilter(filter, patch)) continue;
      if (mergeTypedConfig(filter, patch.value as Filter, optionsOf(patch))) took(patches, patch, chain);
    }
    const http = here(ApplyTo.HttpFilter).filter((patch) => isNetworkFilter(filter, patch));
    if (filter.name === connectionManager) patchConnectionManager(patches, context, chain, filter, http);
  }
  return true;
}

function patchConnectionManager(
  patches: PatchSet,
  context: ResourceContext,
  chain: FilterChain,
  filter: Filter,
  http: readonly ReadyPatch[],
): void {
  if (filter.configType.case !== "typedConfig") return;
  const manager = anyUnpack(filter.configType.value, HttpConnectionManagerSchema);
  if (manager === undefined) return;
  const areFiltersChanged = patchHttpFilters(patches, manager, chain, http);
  const areRoutesChanged = patchInlineRoutes(patches, context, manager);
  if (areFiltersChanged || areRoutesChanged) {
    filter.configType = { case: "typedConfig", value: anyPack(HttpConnectionManagerSchema, manager) };
  }
}

function patchHttpFilters(
  patches: PatchSet,
  manager: HttpConnectionManager,
  chain: FilterChain,
  http: readonly ReadyPatch[],
): boolean {
  let isChanged = false;
  const note = (patch: ReadyPatch): void => {
    isChanged = true;
    took(patches, patch, chain);
  };
  for (const patch of http) {
    const edit = { ...named<HttpFilter>(patch, subFilterOf(patch)), make: () => copyOf(HttpFilterSchema, patch) };
    if (editList(manager.httpFilters, edit)) note(patch);
  }
  for (const filter of manager.httpFilters) {
    for (const patch of http) {
      const name = subFilterOf(patch);
      if (!isMerge(patch.operation) || (name !== undefined && !meansFilter(name, filter.name))) continue;
      if (mergeTypedConfig(filter, patch.value as HttpFilter, optionsOf(patch))) note(patch);
    }
  }
  return isChanged;
}

function subFilterOf(patch: ReadyPatch): string | undefined {
  return patch.match?.listener?.filterChain?.filter?.subFilter?.name;
}

/** Filters go to the front whether or not the one that the match names is there. */
function named<Item extends { readonly name: string }>(
  { operation }: ReadyPatch,
  name: string | undefined,
): { operation: Operation; isTarget: ((item: Item) => boolean) | undefined } {
  const isTarget =
    name === undefined || operation === Operation.InsertFirst
      ? undefined
      : (item: Item) => meansFilter(name, item.name);
  return { operation, isTarget };
}

/** Whether a patch concerns a listener. Below the listener itself, the virtual ones have every port. */
function isListener(listener: Listener, { match, place }: ReadyPatch): boolean {
  const wanted = match?.listener;
  if (wanted === undefined) return true;
  if (wanted.name !== "" && wanted.name !== listener.name) return false;
  if (wanted.portNumber === 0 || (place !== ApplyTo.Listener && isVirtual(listener))) return true;
  const address = listener.address?.address;
  const port = address?.case === "socketAddress" ? address.value.portSpecifier : undefined;
  return port?.case === "portValue" && port.value === wanted.portNumber;
}

function isVirtual({ name }: Listener): boolean {
  return name === virtualInboundListener || name === virtualOutboundListener;
}

function isFilterChain(listener: Listener, chain: FilterChain, { match }: ReadyPatch): boolean {
  const wanted = match?.listener;
  if (wanted === undefined) return true;
  const has = chain.filterChainMatch;
  if (isVirtual(listener) && wanted.portNumber > 0 && has?.destinationPort !== wanted.portNumber) return false;
  const chainMatch = wanted.filterChain;
  if (chainMatch === undefined) return true;
  const { name, sni, transportProtocol, applicationProtocols, destinationPort } = chainMatch;
  return (
    (name === "" || name === chain.name) &&
    (sni === "" || has?.serverNames.includes(sni) === true) &&
    (transportProtocol === "" || has?.transportProtocol === transportProtocol) &&
    (applicationProtocols === "" ||
      applicationProtocols.split(",").every((protocol) => has?.applicationProtocols.includes(protocol) === true)) &&
    (destinationPort === 0 || has?.destinationPort === destinationPort)
  );
}

function isNetworkFilter(filter: Filter, { match }: ReadyPatch): boolean {
  const name = match?.listener?.filterChain?.filter?.name;
  return name === undefined || meansFilter(name, filter.name);
}
