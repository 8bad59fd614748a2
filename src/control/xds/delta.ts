// The delta (incremental) variant of ADS: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from "#wire/gen/envoy/service/discovery/v3/discovery_pb.ts";
import type { ProxyResources, ResourcesByName } from "../push/encoded-resource.ts";
import { deltaResponse } from "./shared-responses.ts";
import type { ProtocolVariant, RequestPlace } from "./stream-session.ts";
import { type Difference, forget, lose, sentVersion, type TypeState, unsettle } from "./type-state.ts";

const wildcardName = "*";

export const deltaVariant: ProtocolVariant<DeltaDiscoveryRequest> = {
  name: "delta",
  decode: (bytes) => fromBinary(DeltaDiscoveryRequestSchema, bytes),
  typeUrlOf: (request) => request.typeUrl,
  nonceOf: (request) => request.responseNonce,
  namesOf: (request) => request.resourceNamesSubscribe,
  encodeOnce: ({ typeUrl, nonce, resources }) => {
    const message = create(DeltaDiscoveryResponseSchema, {
      typeUrl,
      nonce,
      resources: resources.map(({ name, ...any }) => ({ name, resource: any })),
    });
    return Buffer.from(toBinary(DeltaDiscoveryResponseSchema, message));
  },
  errorOf: (request) => (request.errorDetail === undefined ? undefined : request.errorDetail.message || "rejected"),
  subscribe,
  select,
  encode: ({ typeUrl, lastNonce }, nonce, { changed, removed }, { snapshotVersion }: ProxyResources) =>
    deltaResponse({ typeUrl, nonce, systemVersion: snapshotVersion, resources: changed, removed }, lastNonce),
};

/** Subscriptions count even in a request with an old nonce: they are not repeated. */
function subscribe(
  state: TypeState,
  request: DeltaDiscoveryRequest,
  known: ResourcesByName,
  { isFirst }: RequestPlace,
): boolean {
  const { resourceNamesSubscribe: added, resourceNamesUnsubscribe: dropped } = request;
  if (dropped.length > 0 || added.includes(wildcardName)) unsettle(state);
  if (isFirst) {
    if (added.length === 0) state.wildcard = true;
    for (const [name, version] of Object.entries(request.initialResourceVersions)) state.sent.set(name, version);
  }
  for (const name of added) {
    if (name === wildcardName) {
      state.wildcard = true;
      continue;
    }
    // Who subscribes again has lost the resource, whatever we sent before.
    if (!isFirst) lose(state, name);
    state.absent.delete(name);
    // One text for all who ask for it.
    state.subscribed.add(known.get(name)?.name ?? name);
  }
  for (const name of dropped) {
    if (name === wildcardName) {
      state.wildcard = false;
      for (const sent of state.sent.keys()) if (!state.subscribed.has(sent)) state.sent.delete(sent);
      continue;
    }
    state.subscribed.delete(name);
    forget(state, name);
  }
  return isFirst;
}

/** What never existed can be told at once; what the client uses goes away at the end of a push. */
function select(
  state: TypeState,
  found: Difference,
  _resources: ResourcesByName,
  sendRemovals: boolean,
): Difference | undefined {
  const removed = sendRemovals ? found.removed : found.removed.filter((name) => sentVersion(state, name) === undefined);
  return found.changed.length === 0 && removed.length === 0 ? undefined : { changed: found.changed, removed };
}
