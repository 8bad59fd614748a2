// Attacks on heads (HTTP Garden and CVE lists), limits, and properties under any cut of the input.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as names from "../http/header-names.ts";
import { Headers } from "../http/headers.ts";
import { HeadParser, REQUEST, RESPONSE } from "./head-parser.ts";
import {
  ERR_CONTENT_LENGTH,
  ERR_DUPLICATE_CONTENT_LENGTH,
  ERR_HEAD_TOO_LARGE,
  ERR_HEADER_NAME,
  ERR_HEADER_VALUE,
  ERR_HTTP2_PREFACE,
  ERR_LENGTH_AND_CODING,
  ERR_LINE_END,
  ERR_OBS_FOLD,
  ERR_START_LINE,
  ERR_STATUS,
  ERR_TARGET,
  ERR_TOO_MANY_HEADERS,
  ERR_TRANSFER_ENCODING,
  ERR_UNSUPPORTED_CODING,
  ERR_VERSION,
  NEED_MORE,
  parseErrorMeaning,
} from "./parse-error.ts";

const limits = { maxBytes: 4096, maxHeaders: 20 };

function parse(text: string, kind = REQUEST): { result: number; parser: HeadParser } {
  const parser = new HeadParser(kind, limits);
  const bytes = Buffer.from(text, "latin1");
  return { result: parser.parse(bytes, 0, bytes.length), parser };
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n";
const attacks: readonly (readonly [string, string, number])[] = [
  ["length and chunked", `${get}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n`, ERR_LENGTH_AND_CODING],
  ["chunked and length", `${get}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n`, ERR_LENGTH_AND_CODING],
  ["two lengths", `${get}Content-Length: 3\r\nContent-Length: 3\r\n\r\n`, ERR_DUPLICATE_CONTENT_LENGTH],
  ["a list of lengths", `${get}Content-Length: 3, 3\r\n\r\n`, ERR_CONTENT_LENGTH],
  ["a signed length", `${get}Content-Length: +3\r\n\r\n`, ERR_CONTENT_LENGTH],
  ["a negative length", `${get}Content-Length: -3\r\n\r\n`, ERR_CONTENT_LENGTH],
  ["a hexadecimal length", `${get}Content-Length: 0x3\r\n\r\n`, ERR_CONTENT_LENGTH],
  ["a length with an underscore", `${get}Content-Length: 1_0\r\n\r\n`, ERR_CONTENT_LENGTH],
  ["an empty length", `${get}Content-Length:\r\n\r\n`, ERR_CONTENT_LENGTH],
  ["an endless length", `${get}Content-Length: ${"9".repeat(40)}\r\n\r\n`, ERR_CONTENT_LENGTH],
  ["chunked twice", `${get}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`, ERR_TRANSFER_ENCODING],
  ["a coding list with a hole", `${get}Transfer-Encoding: ,chunked\r\n\r\n`, ERR_TRANSFER_ENCODING],
  ["an unknown coding", `${get}Transfer-Encoding: xchunked\r\n\r\n`, ERR_UNSUPPORTED_CODING],
  ["chunked not last", `${get}Transfer-Encoding: chunked, identity\r\n\r\n`, ERR_UNSUPPORTED_CODING],
  ["chunked with a vertical tab", `${get}Transfer-Encoding: \x0bchunked\r\n\r\n`, ERR_HEADER_VALUE],
  ["chunked in HTTP/1.0", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_TRANSFER_ENCODING],
  ["space before the colon", `${get}Content-Length : 3\r\n\r\n`, ERR_HEADER_NAME],
  ["a folded line", `${get}X: a\r\n b\r\n\r\n`, ERR_OBS_FOLD],
  ["a folded coding", `${get}Transfer-Encoding:\r\n chunked\r\n\r\n`, ERR_TRANSFER_ENCODING],
  ["space before the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", ERR_OBS_FOLD],
  ["a bare LF", "GET / HTTP/1.1\nHost: a\n\n", ERR_LINE_END],
  ["a bare LF after a value", `${get}X: a\nY: b\r\n\r\n`, ERR_LINE_END],
  ["a bare LF as the last line", `${get}\n`, ERR_LINE_END],
  ["a bare CR in a value", `${get}X: a\rb\r\n\r\n`, ERR_LINE_END],
  ["CR LF CR X as the end", `${get}\rX`, ERR_LINE_END],
  ["NUL in a value", `${get}X: a\0b\r\n\r\n`, ERR_HEADER_VALUE],
  ["DEL in a value", `${get}X: a\x7fb\r\n\r\n`, ERR_HEADER_VALUE],
  ["an empty name", `${get}: b\r\n\r\n`, ERR_HEADER_NAME],
  ["a line without a colon", `${get}abc\r\n\r\n`, ERR_HEADER_NAME],
  ["a name above ASCII", `${get}X\xe9: b\r\n\r\n`, ERR_HEADER_NAME],
  ["a method with a control byte", "G\x01T / HTTP/1.1\r\n\r\n", ERR_START_LINE],
  ["an endless method", "G".repeat(100), ERR_START_LINE],
  ["no method", " / HTTP/1.1\r\n\r\n", ERR_START_LINE],
  ["no target", "GET  HTTP/1.1\r\n\r\n", ERR_TARGET],
  ["a target with a space", "GET /a b HTTP/1.1\r\n\r\n", ERR_START_LINE],
  ["a target above ASCII", "GET /\xe9 HTTP/1.1\r\n\r\n", ERR_TARGET],
  ["two spaces before the version", "GET /  HTTP/1.1\r\n\r\n", ERR_START_LINE],
  ["a tab before the version", "GET /\tHTTP/1.1\r\n\r\n", ERR_TARGET],
  ["a space after the version", "GET / HTTP/1.1 \r\n\r\n", ERR_START_LINE],
  ["version 3.0", "GET / HTTP/3.0\r\n\r\n", ERR_VERSION],
  ["version 1.10", "GET / HTTP/1.10\r\n\r\n", ERR_START_LINE],
  ["version 01.1", "GET / HTTP/01.1\r\n\r\n", ERR_START_LINE],
  ["version 1.2", "GET / HTTP/1.2\r\n\r\n", ERR_VERSION],
  ["version in lower case", "GET / http/1.1\r\n\r\n", ERR_START_LINE],
  ["the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ERR_HTTP2_PREFACE],
  ["a TLS hello", "\x16\x03\x01\x02\x00\x01", ERR_START_LINE],
  ["too many headers", `${get}${"X: a\r\n".repeat(30)}\r\n`, ERR_TOO_MANY_HEADERS],
  ["a head that is too large", `${get}X: ${"a".repeat(5000)}\r\n\r\n`, ERR_HEAD_TOO_LARGE],
];

for (const [name, text, code] of attacks) {
  test(`${name} is refused, however the bytes are cut`, () => {
    assert.equal(parse(text).result, code);
    const parser = new HeadParser(REQUEST, limits);
    let result = NEED_MORE;
    for (let i = 0; i < text.length && result === NEED_MORE; i++) {
      result = parser.parse(Buffer.from(text[i] ?? "", "latin1"), 0, 1);
    }
    // A missing LF may be all that a later error is seen by.
    if (result === NEED_MORE) result = parser.parse(Buffer.from("\r\n"), 0, 2);
    assert.ok(result < NEED_MORE, `${result}`);
    assert.ok(parseErrorMeaning(result).status >= 400);
  });
}

test("a response with a bad status line is refused", () => {
  assert.equal(parse("HTTP/1.1 20 OK\r\n\r\n", RESPONSE).result, ERR_STATUS);
  assert.equal(parse("HTTP/1.1 2000 OK\r\n\r\n", RESPONSE).result, ERR_STATUS);
  assert.equal(parse("HTTP/1.1 099 OK\r\n\r\n", RESPONSE).result, ERR_STATUS);
  assert.equal(parse("HTTP/2.0 200 OK\r\n\r\n", RESPONSE).result, ERR_VERSION);
  assert.equal(parse("HTTP/1.1 200 O\rK\r\n\r\n", RESPONSE).result, ERR_LINE_END);
});

test("a head that never ends is refused at the limit and costs no more than its bytes", () => {
  const parser = new HeadParser(REQUEST, { maxBytes: 60 * 1024, maxHeaders: 100 });
  const byte = Buffer.from("a");
  let result = parser.parse(Buffer.from("GET / HTTP/1.1\r\nX: "), 0, 19);
  let sent = 19;
  for (; result === NEED_MORE; sent++) result = parser.parse(byte, 0, 1);
  assert.equal(result, ERR_HEAD_TOO_LARGE);
  assert.ok(sent <= 60 * 1024 + 2);
});

test("any valid head is parsed the same however it is cut, and the rest of the chunk is left alone", () => {
  const token = fc.stringMatching(/^[A-Za-z0-9-]{1,20}$/).filter((name) => names.idOfName(name.toLowerCase()) === 0);
  const value = fc.stringMatching(/^[!-~]([ -~\t]{0,30}[!-~])?$/);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(token, value), { maxLength: 15 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 10 }),
      (lines, cuts) => {
        const head = `GET /p?q HTTP/1.1\r\n${lines.map(([name, text]) => `${name}: ${text}\r\n`).join("")}\r\n`;
        const bytes = Buffer.from(`${head}REST`, "latin1");
        const parser = new HeadParser(REQUEST, limits);
        let at = 0;
        let result = NEED_MORE;
        for (let i = 0; result === NEED_MORE && at < bytes.length; i++) {
          const end = Math.min(bytes.length, at + (cuts[i % cuts.length] ?? 1));
          result = parser.parse(bytes, at, end);
          at = result === NEED_MORE ? end : result;
        }
        assert.equal(bytes.toString("latin1", at, at + 2), "RE");
        assert.equal(parser.target, "/p?q");
        assert.equal(parser.headers.serialize(), lines.map(([name, text]) => `${name}: ${text}\r\n`).join(""));
        for (const [i, [name, text]] of lines.entries()) {
          assert.equal(parser.headers.nameAt(i), name);
          assert.equal(parser.headers.valueAt(i), text);
        }
      },
    ),
  );
});

test("random bytes never throw and never hang", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, isRequest) => {
      const parser = new HeadParser(isRequest ? REQUEST : RESPONSE, limits);
      const half = bytes.length >> 1;
      const buffer = Buffer.from(bytes);
      if (parser.parse(buffer, 0, half) === NEED_MORE) parser.parse(buffer, half, bytes.length);
    }),
  );
});

test("untouched lines keep their bytes, changed lines are written anew, removed lines are gone", () => {
  const { parser } = parse(
    `${get}X-One:two\r\nX-Two:   three  \r\nCookie: a=1\r\nconnection: close\r\nCookie: b=2\r\n\r\n`,
  );
  const { headers } = parser;
  assert.equal(headers.get("x-one"), "two");
  assert.equal(headers.get("x-two"), "three");
  assert.equal(headers.get("cookie"), "a=1,b=2");
  assert.equal(headers.get("__proto__"), undefined);
  headers.removeId(names.CONNECTION);
  headers.set("X-TWO", "3");
  headers.add("x-new", "n");
  assert.equal(headers.serialize(), "Host: a\r\nX-One: two\r\nX-Two: 3\r\nCookie: a=1\r\nCookie: b=2\r\nx-new: n\r\n");
  headers.setId(names.HOST, "b");
  assert.equal(headers.remove("cookie"), true);
  assert.equal(headers.serialize(), "Host: b\r\nX-One: two\r\nX-Two: 3\r\nx-new: n\r\n");
  const copy = new Headers();
  copy.copyFrom(headers);
  assert.equal(copy.serialize(), headers.serialize());
});

test("every known name is found by its bytes in any case", () => {
  for (let id = 1; names.nameOfId(id) !== ""; id++) {
    const name = names.nameOfId(id);
    const { parser } = parse(`GET / HTTP/1.1\r\n${name.toUpperCase()}: 1\r\n\r\n`);
    if (id === names.CONTENT_LENGTH || id === names.TRANSFER_ENCODING) continue;
    assert.equal(parser.headers.idAt(0), id, name);
    assert.equal(parser.headers.get(name), "1");
  }
});
