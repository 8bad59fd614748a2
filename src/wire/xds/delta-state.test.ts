import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { NodeSchema } from "../gen/envoy/config/core/v3/base_pb.ts";
import {
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from "../gen/envoy/service/discovery/v3/discovery_pb.ts";
import { DeltaState } from "./delta-state.ts";
import { typeUrl } from "./type-urls.ts";

const newState = (): DeltaState =>
  new DeltaState(create(NodeSchema, { id: "sidecar~1" }), [
    { typeUrl: typeUrl.cluster, wildcard: true },
    { typeUrl: typeUrl.endpoint, wildcard: false },
  ]);

const response = (type: string, names: readonly string[], removed: readonly string[] = []): DeltaDiscoveryResponse =>
  create(DeltaDiscoveryResponseSchema, {
    typeUrl: type,
    nonce: "n1",
    systemVersionInfo: "7",
    resources: names.map((name) => ({ name, version: `${name}-v`, resource: create(AnySchema, { typeUrl: type }) })),
    removedResources: [...removed],
  });

test("a stream begins with the node and the wildcard types, once, and no empty request for named types", () => {
  const state = newState();
  const requests = state.open();
  assert.equal(requests.length, 1);
  assert.equal(requests[0]?.typeUrl, typeUrl.cluster);
  assert.equal(requests[0]?.node?.id, "sidecar~1");
  assert.deepEqual(requests[0]?.resourceNamesSubscribe, []);
  assert.equal(state.setNames(typeUrl.endpoint, new Set(["a"]))?.node, undefined);
});

test("names are added and dropped by their difference", () => {
  const state = newState();
  state.open();
  assert.deepEqual(state.setNames(typeUrl.endpoint, new Set(["a", "b"]))?.resourceNamesSubscribe, ["a", "b"]);
  assert.equal(state.setNames(typeUrl.endpoint, new Set(["b", "a"])), null);
  const change = state.setNames(typeUrl.endpoint, new Set(["b", "c"]));
  assert.deepEqual(change?.resourceNamesSubscribe, ["c"]);
  assert.deepEqual(change?.resourceNamesUnsubscribe, ["a"]);
});

test("a new stream tells the versions of what was accepted, and only of that", () => {
  const state = newState();
  state.open();
  const first = response(typeUrl.cluster, ["good", "bad"]);
  state.answer(first, state.read(first), new Map([["bad", "cluster bad: no"]]));
  const second = response(typeUrl.cluster, ["other"], ["good"]);
  state.answer(second, state.read(second), new Map());
  state.close();
  state.setNames(typeUrl.endpoint, new Set(["e"]));
  const [clusters, endpoints] = state.open();
  assert.deepEqual(clusters?.initialResourceVersions, { other: "other-v" });
  assert.deepEqual(endpoints?.resourceNamesSubscribe, ["e"]);
  assert.equal(clusters?.node?.id, "sidecar~1");
  assert.equal(endpoints?.node, undefined);
});

test("an answer carries the nonce; refusals make it a NACK with all reasons", () => {
  const state = newState();
  state.open();
  const message = response(typeUrl.cluster, ["a", "b"]);
  const ack = state.answer(message, state.read(message), new Map());
  assert.deepEqual([ack.responseNonce, ack.errorDetail], ["n1", undefined]);
  const nack = state.answer(
    message,
    state.read(message),
    new Map([
      ["a", "cluster a: x"],
      ["b", "cluster b: y"],
    ]),
  );
  assert.equal(nack.responseNonce, "n1");
  assert.equal(nack.errorDetail?.code, 3);
  assert.equal(nack.errorDetail?.message, "cluster a: x; cluster b: y");
});

test("resources that nobody asked for are dropped", () => {
  const state = newState();
  state.open();
  state.setNames(typeUrl.endpoint, new Set(["mine"]));
  const update = state.read(response(typeUrl.endpoint, ["mine", "foreign"], ["alien"]));
  assert.deepEqual(
    update.added.map((it) => it.name),
    ["mine"],
  );
  assert.deepEqual(update.removed, []);
  assert.deepEqual(state.read(response(typeUrl.route, ["r"])).added, []);
});
