// What is said of tracing that is wrong, or more than this proxy does.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { parse } from "yaml";
import { HttpConnectionManagerSchema } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { anyRegistry } from "../xds/any-registry.ts";
import { decodeTracing } from "./decode-tracing.ts";
import { Problems } from "./problems.ts";

const trace = "type.googleapis.com/envoy.config.trace.v3";
const zipkin = `provider: { name: z, typed_config: { "@type": ${trace}.ZipkinConfig, collector_cluster: c, collector_endpoint: /s, collector_endpoint_version: HTTP_JSON } }`;
const otel = (fields: string): string =>
  `provider: { name: o, typed_config: { "@type": ${trace}.OpenTelemetryConfig, grpc_service: { envoy_grpc: { cluster_name: c } }, ${fields} } }`;

function decode(fields: string) {
  const json = { tracing: parse(`{ ${fields} }`) as JsonValue };
  const problems = new Problems("listener", "l");
  const manager = fromJson(HttpConnectionManagerSchema, json, { registry: anyRegistry() });
  const { value, issues } = problems.done(decodeTracing(manager, "manager", problems));
  return { value, said: issues.map(({ severity, path, message }) => `${severity} ${path}: ${message}`) };
}

const cases: readonly [what: string, fields: string, accepted: boolean, said: RegExp | null][] = [
  ["Zipkin", zipkin, true, null],
  ["no provider", "verbose: true", true, null],
  [
    "a tag whose format is wrong costs that part of it",
    `${zipkin}, custom_tags: [{ tag: a, value: "%NOPE% %PROTOCOL%" }]`,
    true,
    /^warning manager\.tracing\.custom_tags\[0\]\.value: a part of the format \(%NOPE% is not a known operator\)/,
  ],
  ["a tag of no kind", `${zipkin}, custom_tags: [{ tag: a }]`, false, /names no kind of tag/],
  [
    "Zipkin in protobuf",
    zipkin.replace("HTTP_JSON", "HTTP_PROTO"),
    true,
    /collector_endpoint_version: a form of spans other than HTTP_JSON .* JSON is sent/,
  ],
  ["Zipkin without a path", zipkin.replace("collector_endpoint: /s, ", ""), false, /names no path of a collector/],
  [
    "a sampler",
    otel("sampler: { name: s, typed_config: { '@type': type.googleapis.com/google.protobuf.StringValue, value: a } }"),
    true,
    /provider\.sampler: the sampler s .*the connection manager's sampling counts/,
  ],
  [
    "a detector",
    otel(
      "resource_detectors: [{ name: d, typed_config: { '@type': type.googleapis.com/google.protobuf.StringValue, value: a } }]",
    ),
    true,
    /resource_detectors\[0\]: the resource detector d .* left out/,
  ],
  [
    "OpenTelemetry without a service",
    `provider: { name: o, typed_config: { "@type": ${trace}.OpenTelemetryConfig } }`,
    false,
    /grpc_service: names no service/,
  ],
];
for (const [what, fields, accepted, said] of cases) {
  test(`tracing: ${what}`, () => {
    const it = decode(fields);
    assert.equal(it.value !== null, accepted, it.said.join("; "));
    if (said === null) assert.deepEqual(it.said, []);
    else assert.match(it.said.join("; "), said);
  });
}
