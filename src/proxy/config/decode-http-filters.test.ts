import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { HttpFilterSchema } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { decodeHttpFilters } from "./decode-http-filters.ts";
import { Problems } from "./problems.ts";

/** What is said of a chain of one filter and the router. */
function said(type: string, isOptional = false): string[] {
  const filter = (name: string, typeName: string): ReturnType<typeof create<typeof HttpFilterSchema>> =>
    create(HttpFilterSchema, {
      name,
      isOptional,
      configType: { case: "typedConfig", value: create(AnySchema, { typeUrl: `type.googleapis.com/${typeName}` }) },
    });
  const problems = new Problems("listener", "l");
  const chain = [filter("mine", type), filter("router", "envoy.extensions.filters.http.router.v3.Router")];
  const decoded = problems.done(decodeHttpFilters(chain, new Map(), "http_filters", problems));
  return decoded.issues.map(({ severity, message }) => `${severity}: ${message}`);
}

test("a filter that is not there refuses the chain and says what is missing; an optional one is left out", () => {
  const why = "the HTTP filter mine (Lua scripts are not run; Wasm plugins and header_mutation are there)";
  assert.deepEqual(said("envoy.extensions.filters.http.lua.v3.Lua"), [`error: ${why} is not supported by this proxy`]);
  assert.match(said("envoy.extensions.filters.http.tap.v3.Tap")[0] ?? "", /traffic is not recorded/);
  assert.match(said("my.company.Filter")[0] ?? "", /my\.company\.Filter/);
  assert.deepEqual(said("envoy.extensions.filters.http.lua.v3.Lua", true), [
    "warning: the HTTP filter mine is not supported by this proxy and left out",
  ]);
});
