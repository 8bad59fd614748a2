// The state-of-the-world variant of ADS: a response for clusters and listeners lists everything the client should
// have; for other types it carries what changed. What is absent from the full list is gone.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from "#wire/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import type { EncodedResource, ResourcesByName } from "../push/encoded-resource.ts";
import { encodeFullResponse } from "./response-bytes.ts";
import { plainMessage } from "./shared-responses.ts";
import type { ProtocolVariant, RequestPlace } from "./stream-session.ts";
import { type Difference, forget, sentVersion, type TypeState, unsettle } from "./type-state.ts";

const fullStateTypes: ReadonlySet<string> = new Set([typeUrl.cluster, typeUrl.listener]);

export const stateOfTheWorldVariant: ProtocolVariant<DiscoveryRequest> = {
  name: "sotw",
  decode: (bytes) => fromBinary(DiscoveryRequestSchema, bytes),
  typeUrlOf: (request) => request.typeUrl,
  nonceOf: (request) => request.responseNonce,
  namesOf: (request) => request.resourceNames,
  encodeOnce: ({ typeUrl, nonce, resources }) => {
    const message = create(DiscoveryResponseSchema, {
      typeUrl,
      nonce,
      versionInfo: nonce,
      resources: resources.map(({ typeUrl: type, value }) => ({ typeUrl: type, value })),
    });
    return Buffer.from(toBinary(DiscoveryResponseSchema, message));
  },
  errorOf: (request) => (request.errorDetail === undefined ? undefined : request.errorDetail.message || "rejected"),
  subscribe,
  select,
  encode: (state, nonce, content, resources) => {
    const version = `${resources.snapshotVersion || "0"}/${nonce}`;
    const bytes = encodeFullResponse({ typeUrl: state.typeUrl, nonce, version, resources: content.changed });
    return { nonce, message: plainMessage(bytes) };
  },
};

/** The names of a request are the whole subscription. A request with an old nonce is not looked at. */
function subscribe(
  state: TypeState,
  request: DiscoveryRequest,
  known: ResourcesByName,
  { isFirst, isStale }: RequestPlace,
): boolean {
  if (isStale) return false;
  const names = new Set(request.resourceNames);
  if (isFirst && names.size === 0) {
    state.wildcard = true;
    return true;
  }
  if (names.symmetricDifference(state.subscribed).size > 0) unsettle(state);
  if (names.has("*")) state.wildcard = names.delete("*");
  else if (names.size > 0) state.wildcard = false;
  for (const name of state.subscribed) {
    if (names.has(name)) continue;
    state.subscribed.delete(name);
    state.absent.delete(name);
    // The client drops what it no longer names, without being told.
    if (!state.wildcard) forget(state, name);
  }
  // One text for all who ask for it.
  for (const name of names) state.subscribed.add(known.get(name)?.name ?? name);
  return isFirst;
}

function select(
  state: TypeState,
  found: Difference,
  resources: ResourcesByName,
  sendRemovals: boolean,
): Difference | undefined {
  if (!fullStateTypes.has(state.typeUrl)) {
    // There is no way to say "removed": the names are only written off.
    for (const name of found.removed) {
      forget(state, name);
      if (state.subscribed.has(name)) state.absent.add(name);
    }
    return found.changed.length === 0 ? undefined : { changed: found.changed, removed: [] };
  }
  const gone = found.removed.filter((name) => sentVersion(state, name) !== undefined);
  if (found.changed.length === 0 && (gone.length === 0 || !sendRemovals)) {
    // Names that never existed need no response: the client's own timer tells it.
    for (const name of found.removed) if (sentVersion(state, name) === undefined) state.absent.add(name);
    return undefined;
  }
  return { changed: wanted(state, resources), removed: found.removed };
}

function wanted(state: TypeState, resources: ResourcesByName): EncodedResource[] {
  if (state.wildcard) return [...resources.values()];
  return [...state.subscribed].flatMap((name) => resources.get(name) ?? []);
}
