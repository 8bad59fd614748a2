// Istio's peer metadata exchange in headers: who the workload at the other end is, for metrics. What came in is taken
// off the request or response before the application sees it, and our own is put on where the settings say so.
import { ConfigSchema } from "#wire/gen/istio/peer-metadata_pb.ts";
import { X_ENVOY_PEER_METADATA, X_ENVOY_PEER_METADATA_ID } from "#wire/http/header-names.ts";
import type { Headers } from "#wire/http/headers.ts";
import { TrafficDirection } from "../../../config/listener.ts";
import type { OwnPeerMetadata } from "../../environment.ts";
import {
  CONTINUE,
  defineHttpFilter,
  type HttpFilter,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
} from "../../filter.ts";

interface PeerMetadataSettings {
  readonly downstreamPropagation: boolean;
  readonly upstreamPropagation: boolean;
}

export const peerMetadata: HttpFilterType = defineHttpFilter<PeerMetadataSettings>({
  type: "peer_metadata",
  messages: [
    settingsFrom(ConfigSchema, ({ downstreamPropagation, upstreamPropagation }) => ({
      downstreamPropagation: downstreamPropagation.length > 0,
      upstreamPropagation: upstreamPropagation.length > 0,
    })),
  ],
  configure: (config, { environment }) => {
    const own = environment.ownPeerMetadata;
    const filter: HttpFilter = {
      onRequestHeaders: (stream, headers) => {
        if (stream.connection.direction !== TrafficDirection.Outbound) {
          stream.downstreamPeerMetadata = headers.getId(X_ENVOY_PEER_METADATA);
          stream.downstreamPeerMetadataId = headers.getId(X_ENVOY_PEER_METADATA_ID);
        }
        replace(headers, config.upstreamPropagation ? own : null);
        return CONTINUE;
      },
      onResponseHeaders: (stream, headers) => {
        if (stream.connection.direction !== TrafficDirection.Inbound) {
          stream.upstreamPeerMetadata = headers.getId(X_ENVOY_PEER_METADATA);
          stream.upstreamPeerMetadataId = headers.getId(X_ENVOY_PEER_METADATA_ID);
        }
        // Who never told its name is not told ours: a client outside the mesh has no use for it.
        const asked = stream.downstreamPeerMetadata !== undefined;
        replace(headers, config.downstreamPropagation && asked ? own : null);
        return CONTINUE;
      },
    };
    return sharedFilter(filter);
  },
});

function replace(headers: Headers, own: OwnPeerMetadata | null): void {
  headers.removeId(X_ENVOY_PEER_METADATA);
  headers.removeId(X_ENVOY_PEER_METADATA_ID);
  if (own === null) return;
  headers.addKnown(X_ENVOY_PEER_METADATA, "x-envoy-peer-metadata", own.value);
  headers.addKnown(X_ENVOY_PEER_METADATA_ID, "x-envoy-peer-metadata-id", own.id);
}
