import assert from "node:assert/strict";
import { test } from "node:test";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { OverloadManagerSchema } from "#wire/gen/envoy/config/overload/v3/overload_pb.ts";
import { anyRegistry } from "../xds/any-registry.ts";
import { decodeOverload } from "./decode-overload.ts";
import type { OverloadConfig } from "./overload.ts";
import { defaultOverload } from "./overload.ts";
import type { Decoded } from "./problems.ts";

const decode = (json: JsonValue): Decoded<OverloadConfig> =>
  decodeOverload(fromJson(OverloadManagerSchema, json, { registry: anyRegistry() }));
const told = (json: JsonValue): string[] => decode(json).issues.map(({ path, message }) => `${path}: ${message}`);
const type = "type.googleapis.com/";
const fixedHeap = {
  name: "envoy.resource_monitors.fixed_heap",
  typed_config: {
    "@type": `${type}envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig`,
    max_heap_size_bytes: "1000",
  },
};
const trigger = { name: fixedHeap.name, threshold: { value: 0.9 } };
const action = (name: string, more: object = {}) => ({
  name: `envoy.overload_actions.${name}`,
  triggers: [trigger],
  ...more,
});

test("no message means our defaults, and a message means what it says alone", () => {
  assert.equal(decodeOverload(undefined).value, defaultOverload);
  assert.deepEqual(decode({}).value, {
    refreshMs: 1000,
    monitors: [],
    actions: [],
    connectionIdle: null,
    streamIdle: null,
  });
});

test("monitors, triggers and shorter timeouts are read", () => {
  const { value, issues } = decode({
    refresh_interval: "0.25s",
    resource_monitors: [
      fixedHeap,
      {
        name: "group",
        typed_config: { "@type": `${type}envoy.extensions.resource_monitors.cgroup_memory.v3.CgroupMemoryConfig` },
      },
      {
        name: "cx",
        typed_config: {
          "@type": `${type}envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig`,
          max_active_downstream_connections: "7",
        },
      },
      { name: "loop", typed_config: { "@type": `${type}google.protobuf.Duration`, value: "0.4s" } },
    ],
    actions: [
      {
        name: "envoy.overload_actions.stop_accepting_requests",
        triggers: [trigger, { name: "loop", scaled: { scaling_threshold: 0.5, saturation_threshold: 1 } }],
      },
      action("reduce_timeouts", {
        typed_config: {
          "@type": `${type}envoy.config.overload.v3.ScaleTimersOverloadActionConfig`,
          timer_scale_factors: [
            { timer: "HTTP_DOWNSTREAM_CONNECTION_IDLE", min_timeout: "2s" },
            { timer: "HTTP_DOWNSTREAM_STREAM_IDLE", min_scale: { value: 10 } },
          ],
        },
      }),
    ],
  });
  assert.deepEqual(issues, []);
  assert.deepEqual(value, {
    refreshMs: 250,
    monitors: [
      { name: fixedHeap.name, type: "fixed_heap", maxBytes: 1000 },
      { name: "group", type: "cgroup_memory", maxBytes: 0 },
      { name: "cx", type: "downstream_connections", max: 7 },
      { name: "loop", type: "event_loop_delay", maxMs: 400 },
    ],
    actions: [
      {
        name: "stop_accepting_requests",
        triggers: [
          { monitor: fixedHeap.name, scaling: 0.9, saturation: 0.9 },
          { monitor: "loop", scaling: 0.5, saturation: 1 },
        ],
      },
      { name: "reduce_timeouts", triggers: [{ monitor: fixedHeap.name, scaling: 0.9, saturation: 0.9 }] },
    ],
    connectionIdle: { minMs: 2000, minShare: 0 },
    streamIdle: { minMs: 0, minShare: 0.1 },
  });
});

test("what is wrong is refused", () => {
  assert.deepEqual(told({ actions: [action("fly")] }), [
    'actions[0].name: "envoy.overload_actions.fly" is not an overload action',
  ]);
  assert.deepEqual(told({ actions: [action("shrink_heap")] }), [
    'actions[0].triggers[0].name: "envoy.resource_monitors.fixed_heap" is not a resource monitor of this configuration',
  ]);
  assert.deepEqual(
    told({
      resource_monitors: [fixedHeap],
      actions: [
        { name: "envoy.overload_actions.shrink_heap", triggers: [{ name: fixedHeap.name, threshold: { value: 1.5 } }] },
        action("reduce_timeouts"),
        {
          name: "envoy.overload_actions.shrink_heap",
          triggers: [{ name: fixedHeap.name, scaled: { scaling_threshold: 0.9, saturation_threshold: 0.5 } }],
        },
      ],
    }),
    [
      "actions[0].triggers[0].threshold.value: 1.5 is not from 0 to 1",
      "actions[1].typed_config: reduce_timeouts needs a ScaleTimersOverloadActionConfig",
      "actions[2].triggers[0].scaled: scaling_threshold is not below saturation_threshold",
    ],
  );
  assert.deepEqual(told({ resource_monitors: [{ name: "x" }] }), [
    "resource_monitors[0]: the resource monitor x (without a typed_config) is not supported by this proxy",
  ]);
});

test("what is left out is told, and what is done instead", () => {
  const { value, issues } = decode({
    resource_monitors: [fixedHeap],
    actions: [action("reset_high_memory_stream"), action("stop_accepting_connections")],
    loadshed_points: [{ name: "envoy.load_shed_points.tcp_listener_accept", triggers: [trigger] }],
  });
  assert.deepEqual(
    value?.actions.map(({ name }) => name),
    ["reject_incoming_connections"],
  );
  assert.deepEqual(
    issues.map(({ path, message }) => `${path}: ${message}`),
    [
      "actions[0]: reset_high_memory_stream is not supported by this proxy and left out",
      "actions[1]: leaving connections in the kernel's queue is not supported by this proxy: new connections are closed at once",
      "loadshed_points: a load shed point is not supported by this proxy and left out",
    ],
  );
});
