import assert from "node:assert/strict";
import { test } from "node:test";
import { Headers } from "../../http/headers.ts";
import { FrameOutput } from "../output.ts";
import { type FieldSink, HpackDecoder } from "./decoder.ts";
import { type EncoderOptions, HpackEncoder } from "./encoder.ts";

const request = { method: "GET", scheme: "http", authority: "a.example", path: "/", protocol: "", status: 0 };

class Fields implements FieldSink {
  readonly list: [string, string][] = [];
  onField(_id: number, name: string, value: string): void {
    this.list.push([name, value]);
  }
}

class Pair {
  readonly encoder: HpackEncoder;
  readonly decoder: HpackDecoder;
  readonly #out = new FrameOutput();

  constructor(options: Partial<EncoderOptions> = {}) {
    this.encoder = new HpackEncoder({ tableSize: 4096, huffman: false, preserveHeaderCase: false, ...options });
    this.decoder = new HpackDecoder(options.preserveHeaderCase === true);
  }

  /** Encodes a response and decodes it again: its bytes, and the fields after :status. */
  send(...fields: readonly (readonly [string, string])[]): { bytes: Buffer; fields: [string, string][] } {
    const headers = new Headers();
    for (const [name, value] of fields) headers.add(name, value);
    return this.sendHeaders(headers);
  }

  sendHeaders(headers: Headers): { bytes: Buffer; fields: [string, string][] } {
    this.#out.frameStart = this.#out.at;
    this.encoder.encodeResponse(this.#out, 200, headers);
    const bytes = Buffer.from(this.#out.bytes.subarray(this.#out.frameStart, this.#out.at));
    const sink = new Fields();
    assert.ok(this.decoder.decode(bytes, 0, bytes.length, sink), this.decoder.failure);
    assert.equal(this.decoder.tableSize, this.encoder.tableSize);
    return { bytes, fields: sink.list.slice(1) };
  }
}

test("a value is added to the table when it comes again, and costs one byte from then on", () => {
  const pair = new Pair();
  const lengths = [1, 2, 3, 4].map(() => pair.send(["x-version", "v1-abcdef"]).bytes.length);
  assert.deepEqual(lengths, [22, 22, 2, 2]);
});

test("values that never repeat are not added, but their name is", () => {
  const pair = new Pair();
  for (let i = 0; i < 200; i++) {
    const { bytes, fields } = pair.send(["x-request-id", `id-${i}-${i * 7919}`]);
    assert.deepEqual(fields, [["x-request-id", `id-${i}-${i * 7919}`]]);
    if (i > 10) assert.ok(bytes.length < 20, `${bytes.length}`);
  }
  assert.ok(pair.encoder.tableSize < 100, `${pair.encoder.tableSize}`);
});

test("a name whose entries do not pay is given up", () => {
  const pair = new Pair();
  // Every value comes twice in a row and never again.
  for (let i = 0; i < 400; i++) pair.send(["x-twice", `value ${i >> 1}`], ["x-good", "always"]);
  const { bytes } = pair.send(["x-good", "always"]);
  assert.equal(bytes.length, 2, "the good entry was not pushed out");
});

test("credentials are never indexed, here or later", () => {
  const pair = new Pair();
  const secrets = [
    ["authorization", "Bearer 0123456789"],
    ["proxy-authorization", "Basic 0123456789"],
    ["set-cookie", "session=0123456789abcdef0123456789"],
    ["cookie", "a=short"],
  ] as const;
  for (const [name, value] of secrets) {
    for (let i = 0; i < 5; i++) {
      const { bytes } = pair.send([name, value]);
      assert.equal((bytes[1] ?? 0) >> 4, 1, `${name} is a literal that is never indexed (RFC 7541 6.2.3)`);
    }
  }
  assert.equal(pair.encoder.tableSize, 0);
});

test("a long cookie is compressed", () => {
  const pair = new Pair();
  const cookie = ["cookie", "session=0123456789abcdef0123456789"] as const;
  assert.equal([1, 2, 3].map(() => pair.send(cookie).bytes.length)[2], 2);
});

test("what is about one connection does not travel, and te says trailers or nothing", () => {
  const { fields } = new Pair().send(
    ["connection", "close, x"],
    ["keep-alive", "timeout=5"],
    ["proxy-connection", "close"],
    ["transfer-encoding", "chunked"],
    ["upgrade", "websocket"],
    ["te", "gzip, Trailers"],
    ["x", "1"],
  );
  assert.deepEqual(fields, [
    ["te", "trailers"],
    ["x", "1"],
  ]);
  assert.deepEqual(new Pair().send(["te", "gzip"]).fields, []);
});

test("names are sent in lower case, or as they were written between two of us", () => {
  for (const name of ["X-Custom", "Content-Type"]) {
    assert.deepEqual(new Pair().send([name, "1"]).fields, [[name.toLowerCase(), "1"]]);
    const pair = new Pair({ preserveHeaderCase: true });
    for (let i = 0; i < 4; i++) {
      assert.deepEqual(pair.send([name, "1"], [name.toLowerCase(), "1"], [name.toUpperCase(), "1"]).fields, [
        [name, "1"],
        [name.toLowerCase(), "1"],
        [name.toUpperCase(), "1"],
      ]);
    }
  }
});

test("CVE-2023-27491 a field with bytes that may not travel is left out and reported", () => {
  for (const [name, value] of [
    ["x", "a\r\nb: c"],
    ["x", "a\0b"],
    ["x", "a\u010ab"],
    ["x y", "1"],
    [":path", "/"],
    ["", "1"],
    ["x\u0178", "1"],
  ] as const) {
    const pair = new Pair();
    assert.deepEqual(pair.send(["good", "1"], [name, value], ["better", "2"]).fields, [
      ["good", "1"],
      ["better", "2"],
    ]);
    assert.equal(pair.encoder.hasRefused, true);
    pair.send(["good", "1"]);
    assert.equal(pair.encoder.hasRefused, false);
  }
});

test("white space around a value is left out", () => {
  const pair = new Pair();
  assert.deepEqual(pair.send(["x", " a b\t"]).fields, [["x", "a b"]]);
  assert.equal(pair.encoder.hasRefused, false);
});

test("RFC 7541 4.2 a lower and a higher size are both told, before the next field", () => {
  const pair = new Pair({ tableSize: 65536 });
  for (let i = 0; i < 3; i++) pair.send(["x", "value"]);
  assert.ok(pair.encoder.tableSize > 0);
  pair.decoder.setLimit(0);
  pair.encoder.setPeerLimit(0);
  pair.decoder.setLimit(8192);
  pair.encoder.setPeerLimit(8192);
  assert.deepEqual([...pair.send(["x", "value"]).bytes.subarray(0, 4)], [0x20, 0x3f, 0xe1, 0x3f]);
});

test("our own limit holds where the peer would allow more", () => {
  const pair = new Pair({ tableSize: 100 });
  for (let i = 0; i < 50; i++) pair.send(["x", `value${i % 5}`], ["y", "abc"]);
  assert.ok(pair.encoder.tableSize <= 100);
});

test("names that a peer makes up do not grow the encoder", () => {
  const pair = new Pair();
  for (let i = 0; i < 2000; i++) {
    assert.deepEqual(pair.send([`x-${i}`, "v"], ["x-always", "v"]).fields, [
      [`x-${i}`, "v"],
      ["x-always", "v"],
    ]);
  }
});

test("a request's pseudo-headers come first and use the static table", () => {
  const out = new FrameOutput();
  const encoder = new HpackEncoder({ tableSize: 4096, huffman: false, preserveHeaderCase: false });
  const headers = new Headers();
  headers.add("Host", "dropped.example");
  headers.add("accept-encoding", "gzip, deflate");
  encoder.encodeRequest(out, request, headers);
  const bytes = out.bytes.subarray(0, out.at);
  assert.equal(bytes.toString("latin1"), "\x82\x86\x84\x01\x09a.example\x90");
});
