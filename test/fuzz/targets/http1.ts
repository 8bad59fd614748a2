// HTTP/1: what is read does not depend on how the bytes are cut, and what is accepted reads the same when it is written
// again: nobody behind the proxy sees another message than it did.
import assert from "node:assert/strict";
import fc from "fast-check";
import { REQUEST, RESPONSE } from "#wire/http1/head-parser.ts";
import { cuts, damaged, sentences } from "../bytes.ts";
import { type FuzzTarget, fuzzTarget } from "../fuzz-target.ts";
import { readHttp1, writeMessage } from "../http1-reader.ts";

const fields: readonly string[] = [
  "Host: a\r\n",
  "Content-Length: 5\r\n",
  "Content-Length: 0\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Connection: close\r\n",
  "Connection: keep-alive, x-a\r\n",
  "Connection: Upgrade\r\nUpgrade: websocket\r\n",
  "Expect: 100-continue\r\n",
  "X-A: 1\r\n",
  "X-A:\t 1 \t\r\n",
  "x:\r\n",
  "Host",
  "Content-Length",
  "Transfer-Encoding",
  "chunked",
  ":",
  " ",
  "\t",
  "\r\n",
  "\n",
  "\r",
  "\r\n ",
  ",",
  "5",
  "0",
  "\0",
  "\x7f",
  "\xe4",
  "a".repeat(300),
];
const chunks: readonly string[] = [
  "5\r\nhello\r\n",
  "0\r\n\r\n",
  "0\r\nX-T: 1\r\n\r\n",
  '5;a=b;c="d\\"e"\r\nhello\r\n',
  "hello",
  "5",
  ";a",
  "0",
  "A\r\n0123456789\r\n",
];
const requestWords: readonly string[] = [
  "GET / HTTP/1.1\r\n",
  "POST /a?b HTTP/1.1\r\n",
  "GET http://a/ HTTP/1.0\r\n",
  "CONNECT a:1 HTTP/1.1\r\n",
  "PRI * HTTP/2.0\r\n",
  "GET ",
  "/",
  " HTTP/1.1",
  ...fields,
  ...fields.slice(0, 9),
  ...chunks,
];
const responseWords: readonly string[] = [
  "HTTP/1.1 200 OK\r\n",
  "HTTP/1.1 204\r\n",
  "HTTP/1.0 404 \r\n",
  "HTTP/1.1 103 Early Hints\r\n",
  "HTTP/1.1 101 x\r\n",
  "HTTP/1.1 ",
  "200",
  ...fields,
  ...fields.slice(0, 9),
  ...chunks,
];
const requests = [
  "GET /x HTTP/1.1\r\nHost: a\r\nX-B: c\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: b\r\n\r\n",
  "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\nGET /3 HTTP/1.1\r\nHost: c\r\n\r\n",
  "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
];
const responses = [
  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 204 No Content\r\n\r\n",
  "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  "HTTP/1.1 200 OK\r\nServer: x\r\n\r\nuntil the end",
];

const lineEnds = Buffer.from("\r\n\r\n");

function target(name: string, kind: number, words: readonly string[], originals: readonly string[]): FuzzTarget {
  const input = fc.oneof(sentences(words), damaged(originals.map((text) => Buffer.from(text, "latin1"))));
  const property = fc.property(input, cuts, (bytes, sizes) => {
    const whole = readHttp1(kind, bytes, []);
    let cut = readHttp1(kind, bytes, sizes);
    // A line that came in pieces is looked at when its end is there.
    if (cut.error === 0 && whole.error !== 0) cut = readHttp1(kind, Buffer.concat([bytes, lineEnds]), sizes);
    assert.equal(cut.error < 0, whole.error < 0);
    assert.deepEqual(cut.messages, whole.messages);
    for (const message of whole.messages) {
      if (!message.isComplete) continue;
      const again = readHttp1(kind, Buffer.from(writeMessage(message), "latin1"), []);
      assert.equal(again.error, 0);
      assert.deepEqual(again.messages, [message]);
    }
  });
  return fuzzTarget(name, property);
}

export const http1Requests: FuzzTarget = target("http1-requests", REQUEST, requestWords, requests);
export const http1Responses: FuzzTarget = target("http1-responses", RESPONSE, responseWords, responses);
