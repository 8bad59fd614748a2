// Chunked bodies: attacks, limits, trailers, and equality under any cut.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BodyDecoder } from "./body-decoder.ts";
import { ERR_CHUNK_END, ERR_CHUNK_EXTENSION, ERR_CHUNK_SIZE, ERR_LINE_END } from "./parse-error.ts";

const limits = { maxBytes: 4096, maxHeaders: 20 };

function decode(text: string, step = text.length): { result: number; body: string; decoder: BodyDecoder } {
  const decoder = new BodyDecoder(limits);
  decoder.startChunked();
  let body = "";
  const sink = { onBodyData: (data: Buffer): void => void (body += data.toString("latin1")) };
  const bytes = Buffer.from(text, "latin1");
  let result = 0;
  for (let at = 0; at < bytes.length && !decoder.done; at = result) {
    const end = Math.min(bytes.length, at + step);
    result = decoder.decode(bytes, at, end, sink);
    if (result < 0) break;
  }
  return { result, body, decoder };
}

const attacks: readonly (readonly [string, string, number])[] = [
  ["a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n", ERR_CHUNK_SIZE],
  ["a signed size", "+5\r\nhello\r\n0\r\n\r\n", ERR_CHUNK_SIZE],
  ["a negative size", "-5\r\nhello\r\n0\r\n\r\n", ERR_CHUNK_SIZE],
  ["an empty size", "\r\nhello\r\n0\r\n\r\n", ERR_CHUNK_SIZE],
  ["a space before the size", " 5\r\nhello\r\n0\r\n\r\n", ERR_CHUNK_SIZE],
  ["a space after the size", "5 \r\nhello\r\n0\r\n\r\n", ERR_CHUNK_SIZE],
  ["an overflowing size", "10000000000000005\r\nhello\r\n0\r\n\r\n", ERR_CHUNK_SIZE],
  ["a bare LF after the size", "5\nhello\r\n0\r\n\r\n", ERR_CHUNK_SIZE],
  ["CR CR after the size", "5\r\rhello\r\n0\r\n\r\n", ERR_LINE_END],
  ["a longer chunk than said", "5\r\nhelloX\r\n0\r\n\r\n", ERR_CHUNK_END],
  ["any two bytes for the chunk's end", "5\r\nhelloXX0\r\n\r\n", ERR_CHUNK_END],
  ["a bare LF at the chunk's end", "5\r\nhello\n0\r\n\r\n", ERR_CHUNK_END],
  ["CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n", ERR_LINE_END],
  ["LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n", ERR_CHUNK_EXTENSION],
  ["an empty extension", "5;\r\nhello\r\n0\r\n\r\n", ERR_CHUNK_EXTENSION],
  ["an endless extension", `5;a=${"b".repeat(20_000)}`, ERR_CHUNK_EXTENSION],
];

for (const [name, text, code] of attacks) {
  test(`${name} is refused, however the bytes are cut`, () => {
    assert.equal(decode(text).result, code);
    assert.equal(decode(text, 1).result, code);
  });
}

test("extensions are dropped and trailers are kept", () => {
  const text =
    '5;a=1;b="x;\\"y";c\r\nhello\r\n6\r\n world\r\n0\r\nVary: *\r\nContent-Length: 9\r\nX-Sum: 1\r\n\r\nGET /next';
  for (const step of [1, 3, 1000]) {
    const { body, decoder, result } = decode(text, step);
    assert.equal(body, "hello world");
    assert.equal(decoder.trailers?.serialize(), "Vary: *\r\nX-Sum: 1\r\n");
    assert.equal(text.slice(result), "GET /next");
  }
});

test("any chunked body is read the same however it is cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.stringMatching(/^[ -~]{1,60}$/), { maxLength: 8 }),
      fc.integer({ min: 1, max: 50 }),
      (chunks, step) => {
        const text = `${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("")}0\r\n\r\n`;
        const { body, decoder } = decode(text, step);
        assert.equal(body, chunks.join(""));
        assert.ok(decoder.done);
      },
    ),
  );
});

test("random bytes never throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 20 }), (bytes, step) => {
      decode(Buffer.from(bytes).toString("latin1"), step);
    }),
  );
});

test("trailers of one body are not those of the next", () => {
  const decoder = new BodyDecoder(limits);
  const sink = { onBodyData: (): void => {} };
  const bytes = Buffer.from("0\r\nX-Secret: 1\r\n\r\nhello");
  const starts = [
    (): void => decoder.startLength(5),
    (): void => decoder.startEmpty(),
    (): void => decoder.startUntilClose(),
    (): void => decoder.startChunked(),
  ];
  for (const start of starts) {
    decoder.startChunked();
    assert.equal(decoder.decode(bytes, 0, bytes.length, sink), bytes.length - 5);
    assert.equal(decoder.trailers?.serialize(), "X-Secret: 1\r\n");
    start();
    assert.equal(decoder.trailers, null);
  }
});
