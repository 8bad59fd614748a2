import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfigDump } from "./config-dump.ts";
import { routeTable } from "./route-table.ts";
import { envoyDump } from "./testing/envoy-dump.ts";

test("routes show their virtual host, match and VirtualService; a host without routes answers 404", () => {
  const lines = routeTable(readConfigDump(envoyDump).routes).trimEnd().split("\n");
  const host = ["80", "api.default.svc.cluster.local:80", "api, api.default + 1 more..."];
  assert.deepEqual(
    lines.map((line) => line.split(/ {5,}/)),
    [
      ["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"],
      [...host, "PathPrefix:/v1", "api_routes.default"],
      [...host, "/exact"],
      ["80", "block_all", "*", "/*", "404"],
    ],
  );
});
