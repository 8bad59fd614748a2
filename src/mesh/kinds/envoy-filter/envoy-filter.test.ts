import assert from "node:assert/strict";
import { before, test } from "node:test";
import { type JsonObject, toJson } from "@bufbuild/protobuf";
import type { Route } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import {
  type HttpFilter,
  HttpFilterSchema,
} from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { envoyTypes, loadEnvoyTypes } from "../../objects/envoy-types.ts";
import { problemsOf } from "../../objects/testing/objects.ts";
import { envoyFilter } from "./kind.ts";
import { readPatchValue } from "./patch-value.ts";
import { ApplyTo } from "./spec.ts";

before(loadEnvoyTypes);

const filter = {
  name: "envoy.filters.http.cors",
  typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors" },
};
const inManager = (name: string, subFilter?: object): object => ({
  filterChain: { filter: { name, ...(subFilter !== undefined && { subFilter }) } },
});
const manager = "envoy.filters.network.http_connection_manager";

test("a patch says where, what and with which value", () => {
  const at = "spec.configPatches[0]";
  const cases: readonly [object, string[]][] = [
    [{ applyTo: "HTTP_FILTER", patch: { operation: "ADD", value: filter } }, []],
    [{ patch: { operation: "ADD", value: filter } }, [`${at}.applyTo: applyTo is missing`]],
    [{ applyTo: "HTTP_FILTER" }, [`${at}.patch: patch is missing`]],
    [{ applyTo: "HTTP_FILTER", patch: { value: filter } }, [`${at}.patch.operation: operation is missing`]],
    [{ applyTo: "HTTP_FILTER", patch: { operation: "ADD" } }, [`${at}.patch.value: ADD needs a value`]],
    [{ applyTo: "HTTP_FILTER", patch: { operation: "REMOVE" } }, []],
    [
      { applyTo: "HTTP_FILTER", patch: { operation: "INSERT_FIRST", filterClass: "AUTHZ", value: filter } },
      [`${at}.patch.filterClass: filterClass goes with operation ADD`],
    ],
    [
      { applyTo: "HTTP_FILTER", patch: { operation: "ADD", filterClass: "AUTHZ", value: filter } },
      [`warning ${at}.patch.filterClass: filterClass has no effect, as in Istio; use INSERT_BEFORE or INSERT_AFTER`],
    ],
    [
      { applyTo: "ROUTE_CONFIGURATION", patch: { operation: "ADD", value: {} } },
      [`warning ${at}.patch.operation: only MERGE has an effect on ROUTE_CONFIGURATION, not ADD`],
    ],
    [
      { applyTo: "CLUSTER", match: { listener: {} }, patch: { operation: "MERGE", value: {} } },
      [`${at}.match.listener: a match by listener does not go with applyTo CLUSTER`],
    ],
    [
      {
        applyTo: "NETWORK_FILTER",
        match: { listener: inManager(manager, { name: "a" }) },
        patch: { operation: "ADD", value: filter },
      },
      [`${at}.match.listener.filterChain.filter.subFilter: subFilter goes with applyTo HTTP_FILTER`],
    ],
    [
      {
        applyTo: "HTTP_FILTER",
        match: { listener: inManager("other", {}) },
        patch: { operation: "ADD", value: filter },
      },
      [
        `${at}.match.listener.filterChain.filter.name: subFilter needs the HTTP connection manager`,
        `${at}.match.listener.filterChain.filter.subFilter: the subFilter match has no name`,
      ],
    ],
    [
      {
        applyTo: "HTTP_FILTER",
        match: { proxy: { proxyVersion: "[" } },
        patch: { operation: "ADD", value: filter },
      },
      [
        `${at}.match.proxy.proxyVersion: not a regular expression of RE2: error parsing regexp: missing closing ]: \`[\``,
      ],
    ],
    [
      { applyTo: "HTTP_FILTER", match: { context: "WAYPOINT" }, patch: { operation: "ADD", value: filter } },
      [`warning ${at}.match.context: there are no waypoints in sidecar mode; the patch has no effect`],
    ],
  ];
  for (const [patch, expected] of cases) {
    assert.deepEqual(problemsOf(envoyFilter, { configPatches: [patch] }), expected, JSON.stringify(patch));
  }
});

test("a value must be the message of its place; fields that nobody knows are warned about", () => {
  const problems = (value: object): string[] =>
    problemsOf(envoyFilter, { configPatches: [{ applyTo: "CLUSTER", patch: { operation: "ADD", value } }] });
  assert.deepEqual(problems({ name: "a", connect_timeout: "1s", connectTimeout: "1s" }).length, 1);
  assert.deepEqual(problems({ name: "a", type: "STATIC", connect_timeout: "1s" }), []);
  assert.match(problems({ name: 1 }).join(), /^spec\.configPatches\[0\]\.patch\.value: .*name/);
  assert.match(problems({ name: "a", colour: "red" }).join(), /^warning .*colour.*; the rest is used$/);
  const unknown = { name: "x", typed_extension_protocol_options: { a: { "@type": "type.googleapis.com/no.Such" } } };
  assert.match(problems(unknown).join(), /^spec.*no\.Such/);
});

test("a TypedStruct is the message that it stands for, wherever it is written", () => {
  const buffer = "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer";
  const struct = (package_: string, fields: object): object => ({
    "@type": `type.googleapis.com/${package_}.TypedStruct`,
    ...fields,
  });
  const read = (config: object): unknown => {
    const { message, problem } = readPatchValue(ApplyTo.HttpFilter, { name: "b", typed_config: config as JsonObject });
    if (message === undefined) return problem;
    return toJson(HttpFilterSchema, message as HttpFilter, { registry: envoyTypes() });
  };
  const plain = { name: "b", typedConfig: { "@type": buffer, maxRequestBytes: 7 } };
  const value = { max_request_bytes: 7 };
  assert.deepEqual(read({ "@type": buffer, ...value }), plain);
  assert.deepEqual(read(struct("udpa.type.v1", { type_url: buffer, value })), plain);
  assert.deepEqual(read(struct("xds.type.v3", { typeUrl: buffer, value })), plain);
  const unknown = struct("udpa.type.v1", { typeUrl: "type.googleapis.com/no.Such", value });
  assert.deepEqual(read(unknown), { name: "b", typedConfig: unknown });
  assert.match(String(read(struct("xds.type.v3", { type_url: buffer, value: { max_request_bytes: "x" } }))), /got "x"/);
  const inside = { name: "r", typed_per_filter_config: { b: struct("udpa.type.v1", { type_url: buffer, value }) } };
  const route = readPatchValue(ApplyTo.HttpRoute, inside as JsonObject).message as Route;
  assert.equal(route.typedPerFilterConfig["b"]?.typeUrl, buffer);
});

test("selector and target references exclude each other", () => {
  const gateway = { group: "gateway.networking.k8s.io", kind: "Gateway", name: "g" };
  const both = { workloadSelector: { labels: { app: "a" } }, targetRefs: [gateway] };
  assert.deepEqual(problemsOf(envoyFilter, both), [
    "spec.targetRefs: only one of workloadSelector and targetRefs can be set",
  ]);
  const targeting = (target: object): string[] => problemsOf(envoyFilter, { targetRefs: [{ ...gateway, ...target }] });
  assert.deepEqual(targeting({}), []);
  assert.deepEqual(targeting({ kind: "GatewayClass" }), []);
  assert.deepEqual(targeting({ group: "networking.istio.io" }), [
    'spec.targetRefs[0].group: a target cannot be of kind Gateway in group "networking.istio.io"',
  ]);
  assert.deepEqual(targeting({ kind: "Pod", group: "" }), [
    'spec.targetRefs[0].kind: a target cannot be of kind Pod in group ""',
  ]);
  assert.deepEqual(targeting({ namespace: "other" }), ["spec.targetRefs[0].namespace: namespace must be empty"]);
});
