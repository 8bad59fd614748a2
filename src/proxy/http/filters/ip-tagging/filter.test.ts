import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type FilterBench, filterBench } from "../../../listener/testing/filter-bench.ts";
import { ask } from "../../../listener/testing/requests.ts";

const tagging = (yaml: string): string =>
  `[{ name: tags, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.ip_tagging.v3.IPTagging, ${yaml} } }]`;

const tags = `ip_tags: [
  { ip_tag_name: office, ip_list: [{ address_prefix: 10.0.0.0, prefix_len: 8 }] },
  { ip_tag_name: floor-2, ip_list: [{ address_prefix: 10.2.0.0, prefix_len: 16 }, { address_prefix: "2001:db8::", prefix_len: 32 }] }]`;

async function bench(
  t: TestContext,
  yaml: string,
): Promise<FilterBench & { tagsOf(ip: string, before?: string): Promise<unknown> }> {
  let seen: unknown;
  const started = await filterBench({
    filters: tagging(yaml),
    upstream: (req, res) => {
      seen = req.headers["x-envoy-ip-tags"];
      res.end();
    },
  });
  t.after(() => started.stop());
  return {
    ...started,
    tagsOf: async (ip, before) => {
      const headers = { "x-forwarded-for": ip, ...(before !== undefined && { "x-envoy-ip-tags": before }) };
      await ask(started.path, "/", { headers });
      return seen;
    },
  };
}

test("a client gets the names of all blocks that its address is in, behind those that are there", async (t) => {
  const { tagsOf, stat } = await bench(t, tags);
  assert.equal(await tagsOf("10.1.0.1"), "office");
  assert.equal(await tagsOf("10.2.0.1"), "office,floor-2");
  assert.equal(await tagsOf("2001:db8::7"), "floor-2");
  assert.equal(await tagsOf("192.0.2.1"), undefined);
  assert.equal(await tagsOf("10.1.0.1", "vip"), "vip,office");
  const counts = ["total", "no_hit", "office.hit", "floor-2.hit"].map((name) => stat(`http.test.ip_tagging.${name}`));
  assert.deepEqual(counts, [5, 1, 3, 2]);
});

test("only requests from inside, or only those from outside, may be tagged", async (t) => {
  const { tagsOf } = await bench(t, `request_type: INTERNAL, ${tags}`);
  assert.equal(await tagsOf("10.1.0.1"), undefined);
  const external = await bench(t, `request_type: EXTERNAL, ${tags}`);
  assert.equal(await external.tagsOf("10.1.0.1"), "office");
});

test("tags without a name or a block are refused", async () => {
  const refusal = (yaml: string): Promise<string> =>
    filterBench({ filters: tagging(yaml), upstream: () => {} }).then(() => "accepted", String);
  assert.match(await refusal(""), /ip_tags: is empty/);
  assert.match(await refusal("ip_tags: [{ ip_tag_name: 'a b' }]"), /"a b" is no name for a tag.*ip_list: is empty/);
});
