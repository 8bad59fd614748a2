import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { request } from "node:http";
import { type TestContext, test } from "node:test";
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";
import { type FilterBench, type FilterBenchOptions, filterBench } from "../../../listener/testing/filter-bench.ts";
import { ask, until } from "../../../listener/testing/requests.ts";

const libraries = {
  gzip: "type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip",
  brotli: "type.googleapis.com/envoy.extensions.compression.brotli.compressor.v3.Brotli",
  zstd: "type.googleapis.com/envoy.extensions.compression.zstd.compressor.v3.Zstd",
} as const;
const type = "type.googleapis.com/envoy.extensions.filters.http.compressor.v3";

const compressor = (library: keyof typeof libraries, more = "", options = ""): string => `
- name: ${library}
  typed_config:
    "@type": ${type}.Compressor
    compressor_library: { name: text, typed_config: { "@type": ${libraries[library]}, ${options} } }
    ${more}`;

const text = "the same words again and again. ".repeat(200);

async function bench(t: TestContext, options: Partial<FilterBenchOptions> = {}): Promise<FilterBench> {
  const started = await filterBench({
    filters: compressor("gzip"),
    upstream: (req, res) => {
      res.setHeader("content-type", "text/plain; charset=utf-8");
      res.setHeader("x-accept-encoding", req.headers["accept-encoding"] ?? "none");
      for (const [name, value] of new URL(req.url ?? "", "http://a").searchParams) res.setHeader(name, value);
      res.end(text);
    },
    ...options,
  });
  t.after(() => started.stop());
  return started;
}

const accepting = (encodings: string): Record<string, unknown> => ({ headers: { "accept-encoding": encodings } });

test("a response is compressed as the client accepts it: gzip, Brotli, zstd", async (t) => {
  const cases = [
    ["gzip", "gzip", "memory_level: 9, window_bits: 15, compression_level: BEST_COMPRESSION", gunzipSync],
    ["brotli", "br", "quality: 5, encoder_mode: TEXT", brotliDecompressSync],
    ["zstd", "zstd", "compression_level: 5, enable_checksum: true", zstdDecompressSync],
  ] as const;
  for (const [library, encoding, options, decode] of cases) {
    const { path, stat } = await bench(t, { filters: compressor(library, "", options) });
    const answer = await ask(path, "/", accepting(encoding));
    assert.equal(answer.headers["content-encoding"], encoding);
    assert.equal(answer.headers["content-length"], undefined);
    assert.equal(answer.headers["vary"], "Accept-Encoding");
    assert.equal(decode(answer.bytes).toString(), text, library);
    assert.ok(answer.bytes.length < text.length / 10);
    const count = (name: string): unknown => stat(`http.test.compressor.text.${library}.${name}`);
    assert.deepEqual([count("compressed"), count("total_uncompressed_bytes")], [1, text.length]);
    assert.equal(count("total_compressed_bytes"), answer.bytes.length);
    assert.equal(count("header_compressor_used"), 1);
  }
});

test("another implementation reads what was compressed", async (t) => {
  const { path } = await bench(t);
  const { bytes } = await ask(path, "/", accepting("gzip"));
  assert.equal(execFileSync("gzip", ["-dc"], { input: bytes }).toString(), text);
});

test("what must not be compressed is passed on as it is", async (t) => {
  const { path, stat } = await bench(t, { filters: compressor("gzip", "disable_on_etag_header: true") });
  const untouched = [
    ["/?content-encoding=br", "it is compressed already"],
    ["/?cache-control=public,%20no-transform", "it may not be transformed"],
    ["/?content-type=image/png", "the type is not among those"],
    ["/?etag=%22a%22", "it has an etag"],
  ] as const;
  for (const [target, why] of untouched) {
    const answer = await ask(path, target, accepting("gzip"));
    assert.deepEqual([answer.body, answer.headers["vary"]], [text, undefined], why);
  }
  assert.equal(stat("http.test.compressor.text.gzip.not_compressed"), untouched.length);
  assert.equal(stat("http.test.compressor.text.gzip.not_compressed_etag"), 1);
  const none = await ask(path, "/");
  assert.deepEqual([none.body, none.headers["vary"]], [text, "Accept-Encoding"]);
  assert.equal(stat("http.test.compressor.text.gzip.no_accept_header"), 1);
});

test("short bodies, upgrades, partial content and answers to HEAD stay as they are", async (t) => {
  const { path, stat } = await bench(t, {
    upstream: (req, res) => {
      res.setHeader("content-type", "text/plain");
      res.statusCode = req.url === "/part" ? 206 : 200;
      res.end(req.url === "/part" ? text : "short");
    },
  });
  assert.equal((await ask(path, "/", accepting("gzip"))).body, "short");
  assert.equal(stat("http.test.compressor.text.gzip.content_length_too_small"), 1);
  assert.equal((await ask(path, "/part", accepting("gzip"))).body, text);
  const head = await ask(path, "/", { method: "HEAD", ...accepting("gzip") });
  assert.deepEqual([head.status, head.headers["content-encoding"]], [200, undefined]);
});

test("strong etags are taken off, weak ones stay; Vary grows", async (t) => {
  const { path } = await bench(t);
  const strong = await ask(path, "/?etag=%22a%22&vary=Origin", accepting("gzip"));
  assert.deepEqual(
    [strong.headers["content-encoding"], strong.headers["etag"], strong.headers["vary"]],
    ["gzip", undefined, "Origin, Accept-Encoding"],
  );
  const weak = await ask(path, "/?etag=W/%22a%22&vary=accept-encoding", accepting("gzip"));
  assert.deepEqual([weak.headers["etag"], weak.headers["vary"]], ['W/"a"', "accept-encoding"]);
});

test("of several compressors, the client's qualities choose, and Accept-Encoding may be kept from the upstream", async (t) => {
  const filters = compressor("gzip", "remove_accept_encoding_header: true") + compressor("brotli") + compressor("zstd");
  const { path } = await bench(t, { filters });
  const chosen = async (accept: string): Promise<unknown> => {
    const { headers } = await ask(path, "/", accepting(accept));
    assert.equal(headers["x-accept-encoding"], "none");
    return headers["content-encoding"];
  };
  assert.equal(await chosen("gzip;q=0.5, br;q=0.8, zstd;q=0.1"), "br");
  assert.equal(await chosen("br, gzip"), "br", "of equals, the one that is named first");
  assert.equal(await chosen("*"), "gzip", "any: the first compressor");
  assert.equal(await chosen("gzip;q=0, *"), "br");
  assert.equal(await chosen("deflate"), undefined);
  assert.equal(await chosen("identity, gzip;q=0.9"), undefined);
  assert.equal(await chosen("gzip;q=0"), undefined);
  assert.equal(await chosen("gzip;q=2"), undefined);
  const first = await bench(t, {
    filters: compressor("gzip", "choose_first: true") + compressor("brotli", "choose_first: true"),
  });
  assert.equal((await ask(first.path, "/", accepting("br, gzip"))).headers["content-encoding"], "gzip");
});

test("a route switches compression off, or keeps Accept-Encoding", async (t) => {
  const own = (yaml: string): string =>
    `typed_per_filter_config: { gzip: { "@type": ${type}.CompressorPerRoute, ${yaml} } }`;
  const { path } = await bench(t, {
    filters: compressor("gzip", "remove_accept_encoding_header: true"),
    routes: `
routes:
- { match: { prefix: /off }, route: { cluster: app }, ${own("disabled: true")} }
- match: { prefix: /keep }
  route: { cluster: app }
  ${own("overrides: { response_direction_config: { remove_accept_encoding_header: false } }")}
- { match: { prefix: / }, route: { cluster: app } }`,
  });
  assert.equal((await ask(path, "/off", accepting("gzip"))).body, text);
  const kept = await ask(path, "/keep", accepting("gzip"));
  assert.deepEqual([kept.headers["content-encoding"], kept.headers["x-accept-encoding"]], ["gzip", "gzip"]);
  assert.equal((await ask(path, "/", accepting("gzip"))).headers["x-accept-encoding"], "none");
});

test("directions have settings of their own; requests are compressed only when that is asked for", async (t) => {
  const filters = compressor(
    "gzip",
    `request_direction_config: { common_config: { min_content_length: 100, content_type: [text/csv] } }
    response_direction_config: { common_config: { enabled: { default_value: false, runtime_key: x } } }`,
  );
  let got = { coding: "", length: "", body: Buffer.alloc(0) };
  const { path, stat } = await bench(t, {
    filters,
    upstream: (req, res) => {
      const chunks: Buffer[] = [];
      req.on("data", (chunk: Buffer) => chunks.push(chunk));
      req.on("end", () => {
        const { "content-encoding": coding = "", "content-length": length = "" } = req.headers;
        got = { coding, length, body: Buffer.concat(chunks) };
        res.end(text);
      });
    },
  });
  const post = (contentType: string, body: string): Promise<unknown> =>
    ask(path, "/", { method: "POST", headers: { "content-type": contentType, "content-length": body.length } }, body);
  await post("text/csv", text);
  assert.deepEqual([got.coding, got.length, gunzipSync(got.body).toString()], ["gzip", "", text]);
  await post("text/plain", text);
  assert.equal(got.coding, "");
  await post("text/csv", "short");
  assert.deepEqual([got.coding, got.length], ["", "5"]);
  assert.equal(stat("http.test.compressor.text.gzip.request.compressed"), 1);
  assert.equal((await ask(path, "/", accepting("gzip"))).body, text, "responses are switched off");
});

test("each part of a streamed response goes out when it is there", async (t) => {
  let send: (part: string | null) => void = () => {};
  const { path } = await bench(t, {
    upstream: (_req, res) => {
      res.setHeader("content-type", "text/event-stream");
      res.flushHeaders();
      send = (part) => (part === null ? res.end() : res.write(part));
    },
    filters: compressor("gzip", "content_type: [text/event-stream]"),
  });
  const chunks: Buffer[] = [];
  let isEnded = false;
  const client = request(
    { host: "127.0.0.1", port: path.port(), headers: { "accept-encoding": "gzip" } },
    (response) => {
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => (isEnded = true));
      send("first event\n\n");
    },
  );
  client.end();
  const decoded = (): string => {
    try {
      return gunzipSync(Buffer.concat(chunks), { finishFlush: 2 }).toString();
    } catch {
      return "";
    }
  };
  await until(() => decoded() === "first event\n\n");
  send("second event\n\n");
  await until(() => decoded() === "first event\n\nsecond event\n\n");
  send(null);
  await until(() => isEnded);
  assert.equal(gunzipSync(Buffer.concat(chunks)).toString(), "first event\n\nsecond event\n\n");
});

test("a large response is compressed whole with bounded memory, and a client that leaves ends it", async (t) => {
  const large = Buffer.alloc(16 * 1024 * 1024, "some line that repeats\n");
  const { path } = await bench(t, {
    upstream: (_req, res) => {
      res.setHeader("content-type", "text/plain");
      res.end(large);
    },
  });
  const answer = await ask(path, "/", accepting("gzip"));
  assert.ok(gunzipSync(answer.bytes).equals(large));
  await assert.rejects(ask(path, "/", { ...accepting("gzip"), signal: AbortSignal.timeout(5) }));
});

test("settings that zlib cannot follow are refused", async () => {
  const refusal = (filters: string): Promise<string> =>
    filterBench({ filters, upstream: () => {} }).then(() => "accepted", String);
  assert.match(await refusal(compressor("gzip", "", "window_bits: 8")), /8 is not from 9 to 15/);
  assert.match(await refusal(compressor("brotli", "", "quality: 12")), /12 is not from 0 to 11/);
  assert.match(
    await refusal(compressor("zstd", "", "dictionary: { inline_string: a }")),
    /a dictionary is not supported/,
  );
  const none = `[{ name: c, typed_config: { "@type": ${type}.Compressor } }]`;
  assert.match(await refusal(none), /compressor_library.typed_config: is missing/);
});
