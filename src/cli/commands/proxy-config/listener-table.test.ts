import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfigDump } from "./config-dump.ts";
import { listenerTable, selectListeners } from "./listener-table.ts";
import { envoyDump } from "./testing/envoy-dump.ts";

const { listeners } = readConfigDump(envoyDump);

test("listeners show a row for each filter chain, by port", () => {
  assert.deepEqual(listenerTable(listeners).trimEnd().split("\n").map(cells), [
    ["ADDRESSES", "PORT", "MATCH", "DESTINATION"],
    ["0.0.0.0", "80", "SNI: api.example", "Route: 80"],
    [
      "0.0.0.0",
      "15006",
      "Trans: tls; App: istio,istio-peer-exchange; Addr: 10.0.0.9/32:8080",
      "Inline Route: /*, regex /a.* (end_user)",
    ],
    ["0.0.0.0", "15006", "ALL", "Clusters: a 1, b 99"],
  ]);
});

test("listeners are chosen by address and port", () => {
  const count = (address?: string, port?: string): number => selectListeners(listeners, { address, port }).length;
  assert.deepEqual([count(), count("0.0.0.0"), count("10.0.0.1"), count(undefined, "80")], [2, 2, 0, 1]);
});

const cells = (line: string): string[] => line.split(/ {5,}/);
