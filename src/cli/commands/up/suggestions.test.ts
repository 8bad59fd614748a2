import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseYamlDocuments } from "#mesh/objects/yaml.ts";
import { suggestCommands } from "./suggestions.ts";

const bookinfo = join(import.meta.dirname, "../../../../examples/bookinfo");
const objects = [
  "bookinfo.yaml",
  "networking/bookinfo-gateway.yaml",
  "networking/virtual-service-reviews.yaml",
].flatMap((name) =>
  parseYamlDocuments(name, readFileSync(join(bookinfo, name), "utf8")).objects.map((parsed) => parsed.object),
);

test("a rule with a header match becomes a request to explain, from the workload behind the gateway", () => {
  assert.deepEqual(suggestCommands(objects), [
    "status",
    "proxy-status",
    "explain GET http://reviews:9080/ -H 'end-user: jason' --from productpage",
    "logs productpage -c istio-proxy -f",
  ]);
});

test("without a gateway only the general commands are left", () => {
  assert.deepEqual(suggestCommands([]), ["status", "proxy-status"]);
});
