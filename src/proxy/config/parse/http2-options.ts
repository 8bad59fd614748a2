// envoy.config.core.v3.Http2ProtocolOptions over our own defaults. Bounds are Envoy's.
import type { Http2ProtocolOptions } from "#wire/gen/envoy/config/core/v3/protocol_pb.ts";
import type { Http2Config, KeepaliveConfig } from "../http2.ts";
import type { Problems } from "../problems.ts";
import { milliseconds } from "./values.ts";

export function decodeHttp2Options(
  options: Http2ProtocolOptions | undefined,
  defaults: Http2Config,
  path: string,
  problems: Problems,
): Http2Config {
  if (options === undefined) return defaults;
  if (options.customSettingsParameters.length > 0) {
    problems.leftOut(`${path}.custom_settings_parameters`, "sending settings of other extensions");
  }
  for (const [field, name] of ownLimits) {
    if (options[field] !== undefined) problems.leftOut(`${path}.${name}`, "this limit: floods are told by a score");
  }
  if (options.allowMetadata) problems.leftOut(`${path}.allow_metadata`, "passing METADATA frames on");
  const bounded = (
    value: number | undefined,
    otherwise: number,
    least: number,
    most: number,
    field: string,
  ): number => {
    if (value === undefined) return otherwise;
    if (value >= least && value <= most) return value;
    problems.invalid(`${path}.${field}`, `${value} is not from ${least} to ${most}`);
    return otherwise;
  };
  const { settings } = defaults;
  const window = (value: number | undefined, otherwise: number, field: string): number =>
    bounded(value, otherwise, 65_535, 0x7fffffff, field);
  const streams = bounded(
    options.maxConcurrentStreams,
    settings.maxConcurrentStreams,
    1,
    0x7fffffff,
    "max_concurrent_streams",
  );
  return {
    settings: {
      ...settings,
      headerTableSize: options.hpackTableSize ?? settings.headerTableSize,
      encoderTableSize: options.hpackTableSize ?? settings.encoderTableSize,
      maxConcurrentStreams: streams,
      initialPeerStreams: Math.min(settings.initialPeerStreams, streams),
      streamWindow: window(options.initialStreamWindowSize, settings.streamWindow, "initial_stream_window_size"),
      connectionWindow: window(
        options.initialConnectionWindowSize,
        settings.connectionWindow,
        "initial_connection_window_size",
      ),
      limits: {
        ...settings.limits,
        maxQueuedControlFrames: options.maxOutboundControlFrames ?? settings.limits.maxQueuedControlFrames,
        maxQueuedHeads: options.maxOutboundFrames ?? settings.limits.maxQueuedHeads,
      },
    },
    keepalive: decodeKeepalive(options.connectionKeepalive),
  };
}

const ownLimits = [
  ["maxConsecutiveInboundFramesWithEmptyPayload", "max_consecutive_inbound_frames_with_empty_payload"],
  ["maxInboundPriorityFramesPerStream", "max_inbound_priority_frames_per_stream"],
  ["maxInboundWindowUpdateFramesPerDataFrameSent", "max_inbound_window_update_frames_per_data_frame_sent"],
] as const;

function decodeKeepalive(keepalive: Http2ProtocolOptions["connectionKeepalive"]): KeepaliveConfig {
  return {
    intervalMs: milliseconds(keepalive?.interval, 0),
    idleIntervalMs: milliseconds(keepalive?.connectionIdleInterval, 0),
    timeoutMs: milliseconds(keepalive?.timeout, 0),
  };
}
