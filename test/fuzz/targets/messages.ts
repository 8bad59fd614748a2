// Small messages in front of larger ones: DNS queries of applications, and the messages inside a gRPC body.
import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeQuery, encodeResponse, ResponseCode } from "#wire/dns/message.ts";
import { MessageFrames } from "#wire/grpc/message-frames.ts";
import { cuts, damaged, feed, noise } from "../bytes.ts";
import { type FuzzTarget, fuzzTarget } from "../fuzz-target.ts";

function dnsQuery(...name: readonly Buffer[]): Buffer {
  const header = Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
  const option = Buffer.from([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...name, Buffer.from([0, 1, 0, 1]), option]);
}

const label = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
const queries = [
  dnsQuery(label("reviews"), label("default"), label("svc"), Buffer.from([0])),
  dnsQuery(label("a"), Buffer.from([0xc0, 12])),
  dnsQuery(label("x".repeat(63)), label("x".repeat(63)), label("x".repeat(63)), Buffer.from([0])),
];

export const dns: FuzzTarget = fuzzTarget(
  "dns",
  fc.property(fc.oneof(damaged(queries), noise), (bytes) => {
    const query = decodeQuery(bytes);
    if (typeof query !== "object") return;
    const answer = encodeResponse(query, { code: ResponseCode.NoError, answers: [], authoritative: true }, 512);
    assert.ok(answer.length <= 512);
    assert.equal(answer.readUInt16BE(0), query.id);
    assert.ok(query.question.name.length <= 255);
  }),
);

const grpcBodies = [
  Buffer.from([0, 0, 0, 0, 2, 97, 98, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 99]),
  Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1]),
];

/** Messages and whether the last is complete, however the body is cut. */
export const grpcFrames: FuzzTarget = fuzzTarget(
  "grpc-frames",
  fc.property(fc.oneof(damaged(grpcBodies), noise), cuts, (bytes, sizes) => {
    const whole = new MessageFrames();
    whole.scan(bytes);
    const cut = new MessageFrames();
    feed(bytes, sizes, (piece) => {
      cut.scan(piece);
      return true;
    });
    assert.deepEqual([cut.count, cut.isBetween], [whole.count, whole.isBetween]);
    let messages = 0;
    let at = 0;
    while (at + 5 <= bytes.length) {
      at += 5 + bytes.readUInt32BE(at + 1);
      messages++;
    }
    assert.deepEqual([whole.count, whole.isBetween], [messages, at === bytes.length]);
  }),
);
