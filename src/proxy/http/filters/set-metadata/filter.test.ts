import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type FilterBench, filterBench, script } from "../../../listener/testing/filter-bench.ts";
import { ask } from "../../../listener/testing/requests.ts";
import { CONTINUE } from "../../filter.ts";

const type = "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config";
const filter = (yaml: string): string => `{ name: set, typed_config: { "@type": ${type}, ${yaml} } }`;

async function bench(t: TestContext, filters: string): Promise<FilterBench & { found(): unknown }> {
  let found: unknown;
  const reading = script(() => ({
    onRequestHeaders: (stream) => {
      found = structuredClone({ a: stream.metadata("a"), b: stream.metadata("b") });
      return CONTINUE;
    },
  }));
  const started = await filterBench({ filters, filtersBehind: [reading], upstream: (_req, res) => void res.end() });
  t.after(() => started.stop());
  return { ...started, found: () => JSON.parse(JSON.stringify(found)) };
}

test("values are put into their namespaces, and merged into what may be overwritten", async (t) => {
  const { path, found, stat } = await bench(
    t,
    `[${filter(`metadata: [
       { metadata_namespace: a, value: { text: one, list: [1], object: { x: 1 } } },
       { metadata_namespace: a, allow_overwrite: true, value: { text: two, list: [2], object: { y: 2 } } },
       { metadata_namespace: a, value: { text: three } },
       { metadata_namespace: b, value: { n: 1 } }]`)}]`,
  );
  await ask(path, "/");
  assert.deepEqual(found(), { a: { text: "two", list: [1, 2], object: { x: 1, y: 2 } }, b: { n: 1 } });
  assert.equal(stat("http.test.set_metadata.overwrite_denied"), 1);
});

test("the old fields are merged too", async (t) => {
  const { path, found } = await bench(
    t,
    `[${filter("metadata_namespace: b, value: { x: 1 }")}, ${filter("metadata_namespace: b, value: { y: 2 }")}]`,
  );
  await ask(path, "/");
  assert.deepEqual(found(), { b: { x: 1, y: 2 } });
});
