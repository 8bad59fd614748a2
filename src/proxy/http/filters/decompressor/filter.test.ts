import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib";
import { type FilterBench, type FilterBenchOptions, filterBench } from "../../../listener/testing/filter-bench.ts";
import { ask, until } from "../../../listener/testing/requests.ts";

const libraries = {
  gzip: "type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip",
  brotli: "type.googleapis.com/envoy.extensions.compression.brotli.decompressor.v3.Brotli",
  zstd: "type.googleapis.com/envoy.extensions.compression.zstd.decompressor.v3.Zstd",
} as const;

const decompressor = (library: keyof typeof libraries, more = "", options = ""): string => `
- name: ${library}
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.decompressor.v3.Decompressor
    decompressor_library: { name: text, typed_config: { "@type": ${libraries[library]}, ${options} } }
    ${more}`;

const text = Array.from({ length: 400 }, (_, i) => `line ${i} of ${(i * 7919) % 1000}`).join("\n");

interface Seen {
  encoding: string | undefined;
  accept: string | undefined;
  length: string | undefined;
  body: string;
}

/** Answers with what `answer` says, and keeps what it got. */
async function bench(
  t: TestContext,
  filters: string,
  answer: { readonly encoding?: string; readonly body: Buffer | string; readonly headers?: Record<string, string> } = {
    body: "ok",
  },
  options: Partial<FilterBenchOptions> = {},
): Promise<FilterBench & { seen: Seen }> {
  const seen: Seen = { encoding: undefined, accept: undefined, length: undefined, body: "" };
  const started = await filterBench({
    filters,
    upstream: (req, res) => {
      seen.encoding = req.headers["content-encoding"];
      seen.accept = req.headers["accept-encoding"]?.toString();
      seen.length = req.headers["content-length"];
      const chunks: Buffer[] = [];
      req.on("data", (chunk: Buffer) => chunks.push(chunk));
      req.on("error", () => {});
      req.on("end", () => {
        seen.body = Buffer.concat(chunks).toString();
        if (answer.encoding !== undefined) res.setHeader("content-encoding", answer.encoding);
        for (const [name, value] of Object.entries(answer.headers ?? {})) res.setHeader(name, value);
        res.end(answer.body);
      });
    },
    ...options,
  });
  t.after(() => started.stop());
  return { ...started, seen };
}

const post = (encoding: string, body: Buffer): Record<string, unknown> => ({
  method: "POST",
  headers: { "content-encoding": encoding, "content-length": body.length },
});

test("requests and responses in the encoding are decompressed, of every library", async (t) => {
  const cases = [
    ["gzip", "gzip", gzipSync(text)],
    ["brotli", "br", brotliCompressSync(text)],
    ["zstd", "zstd", zstdCompressSync(text)],
  ] as const;
  for (const [library, encoding, body] of cases) {
    const { path, seen, stat } = await bench(t, decompressor(library), { encoding, body });
    const answer = await ask(path, "/", post(encoding, body), body);
    assert.deepEqual([seen.encoding, seen.length, seen.body], [undefined, undefined, text], library);
    assert.equal(seen.accept, encoding, "the upstream may compress");
    assert.deepEqual(
      [answer.headers["content-encoding"], answer.headers["content-length"], answer.body],
      [undefined, undefined, text],
    );
    const prefix = `http.test.decompressor.text.${library}`;
    assert.equal(stat(`${prefix}.request.total_uncompressed_bytes`), text.length);
    assert.equal(stat(`${prefix}.response.total_compressed_bytes`), body.length);
  }
});

test("other messages pass as they are: other codings, no-transform, switched off", async (t) => {
  const gzip = gzipSync(text);
  const other = await bench(t, decompressor("brotli"), { encoding: "gzip", body: gzip });
  assert.ok((await ask(other.path, "/")).bytes.equals(gzip));
  const headers = { "cache-control": "no-transform" };
  const fixed = await bench(t, decompressor("gzip"), { encoding: "gzip", body: gzip, headers });
  assert.ok((await ask(fixed.path, "/")).bytes.equals(gzip));
  const ignoring = decompressor(
    "gzip",
    "response_direction_config: { common_config: { ignore_no_transform_header: true } }",
  );
  const ignored = await bench(t, ignoring, { encoding: "gzip", body: gzip, headers });
  assert.equal((await ask(ignored.path, "/")).body, text);
  const off = decompressor(
    "gzip",
    "response_direction_config: { common_config: { enabled: { default_value: false, runtime_key: x } } }",
  );
  const switchedOff = await bench(t, off, { encoding: "gzip", body: gzip });
  assert.ok((await ask(switchedOff.path, "/")).bytes.equals(gzip));
  assert.equal(switchedOff.seen.accept, undefined);
});

test("of several codings the last one is taken off", async (t) => {
  const body = brotliCompressSync(gzipSync(text));
  const { path, seen } = await bench(t, decompressor("brotli"));
  await ask(path, "/", post("gzip, br", body), body);
  assert.equal(seen.encoding, "gzip");
});

test("what the client accepts is kept when the encoding is added to it", async (t) => {
  const { path, seen } = await bench(t, decompressor("gzip"));
  await ask(path, "/", { headers: { "accept-encoding": "br;q=0.5" } });
  assert.equal(seen.accept, "br;q=0.5,gzip");
  await ask(path, "/", { headers: { "accept-encoding": "GZIP;q=0.5" } });
  assert.equal(seen.accept, "GZIP;q=0.5");
  const quiet = await bench(t, decompressor("gzip", "request_direction_config: { advertise_accept_encoding: false }"));
  await ask(quiet.path, "/");
  assert.equal(quiet.seen.accept, undefined);
});

test("CVE-2026-32976, CVE-2026-48042, CVE-2026-48044: a small body that becomes a large one is refused while it grows", async (t) => {
  const large = Buffer.alloc(64 * 1024 * 1024);
  const bombs = [
    ["gzip", "gzip", gzipSync(large)],
    ["brotli", "br", brotliCompressSync(large)],
    ["zstd", "zstd", zstdCompressSync(large)],
  ] as const;
  for (const [library, encoding, bomb] of bombs) {
    const { path, stat } = await bench(t, decompressor(library));
    const answer = await ask(path, "/", post(encoding, bomb), bomb).catch(() => null);
    assert.ok(answer === null || answer.status === 400, library);
    await until(() => path.logs.length === 1);
    assert.equal(path.logs[0]?.["responseCodeDetails"], "decompression_failed", library);
    const made = stat(`http.test.decompressor.text.${library}.request.total_uncompressed_bytes`) ?? 0;
    assert.ok(made <= bomb.length * 100 + 64 * 1024, `${library}: ${made} bytes of ${bomb.length}`);
  }
});

test("a broken body is refused, a broken response is an error or is cut short", async (t) => {
  const broken = Buffer.from("this is not gzip at all");
  const request = await bench(t, decompressor("gzip"));
  const answer = await ask(request.path, "/", post("gzip", broken), broken);
  assert.equal(answer.status, 400);
  await until(() => request.path.logs.length === 1);
  assert.match(String(request.path.logs[0]?.["cause"]), /cannot be decompressed: incorrect header check/);
  const response = await bench(t, decompressor("gzip"), { encoding: "gzip", body: broken });
  const got = await ask(response.path, "/").then(
    ({ status }) => status,
    () => "cut short",
  );
  assert.ok(got === 502 || got === "cut short", String(got));
});

test("settings that zlib cannot follow are refused", async () => {
  const refusal = (filters: string): Promise<string> =>
    filterBench({ filters, upstream: () => {} }).then(() => "accepted", String);
  assert.match(await refusal(decompressor("gzip", "", "window_bits: 16")), /16 is not from 9 to 15/);
  assert.match(await refusal(decompressor("gzip", "", "max_inflate_ratio: 0")), /0 is not from 1 to 1032/);
  assert.match(await refusal(decompressor("zstd", "", "dictionaries: [{ inline_string: a }]")), /a dictionary/);
});
