import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import {
  decodeQuery,
  encodeFailure,
  encodeResponse,
  type Query,
  RecordType,
  ResponseCode,
  readName,
} from "./message.ts";

/** A query as a resolver sends it. */
function query(
  name: string,
  type: number = RecordType.A,
  extra: { edns?: number; id?: number; flags?: number } = {},
): Buffer {
  const labels = name.split(".").filter((label) => label !== "");
  const header = Buffer.alloc(12);
  header.writeUInt16BE(extra.id ?? 0x1234, 0);
  header.writeUInt16BE(extra.flags ?? 0x0100, 2);
  header.writeUInt16BE(1, 4);
  if (extra.edns !== undefined) header.writeUInt16BE(1, 10);
  const encoded = labels.flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, "latin1")]);
  const tail = Buffer.from([0, type >> 8, type & 255, 0, 1]);
  const opt =
    extra.edns === undefined ? [] : [Buffer.from([0, 0, 41, extra.edns >> 8, extra.edns & 255, 0, 0, 0, 0, 0, 0])];
  return Buffer.concat([header, ...encoded, tail, ...opt]);
}

function decoded(bytes: Buffer): Query {
  const result = decodeQuery(bytes);
  assert.ok(typeof result === "object");
  return result;
}

describe("DNS queries", () => {
  it("are read with the case of the name kept for the answer", () => {
    const { id, question, recursionDesired, udpSize } = decoded(
      query("Web.Default.SVC.cluster.local", RecordType.AAAA),
    );
    assert.equal(id, 0x1234);
    assert.equal(question.name, "web.default.svc.cluster.local");
    assert.equal(question.rawName, "Web.Default.SVC.cluster.local");
    assert.equal(question.type, RecordType.AAAA);
    assert.equal(recursionDesired, true);
    assert.equal(udpSize, undefined);
  });

  it("say how large an answer may be, within bounds", () => {
    assert.equal(decoded(query("a", 1, { edns: 1232 })).udpSize, 1232);
    assert.equal(decoded(query("a", 1, { edns: 65_535 })).udpSize, 4096);
    assert.equal(decoded(query("a", 1, { edns: 1 })).udpSize, 512);
  });

  it("are not answered when they are responses or too short for a header", () => {
    assert.equal(decodeQuery(query("a", 1, { flags: 0x8100 })), undefined);
    assert.equal(decodeQuery(Buffer.alloc(11)), undefined);
  });

  it("are refused with a pointer that leads to itself, forward, or into the header", () => {
    for (const offset of [12, 13, 200, 0, 4]) {
      const bytes = Buffer.concat([query("").subarray(0, 12), Buffer.from([0xc0, offset, 0, 1, 0, 1])]);
      assert.equal(decodeQuery(bytes), ResponseCode.FormatError, `pointer to ${offset}`);
    }
  });

  it("survive two pointers that lead to each other", () => {
    const bytes = Buffer.concat([Buffer.alloc(12), Buffer.from([0xc0, 14, 0xc0, 12])]);
    assert.equal(readName(bytes, 12), undefined);
    assert.equal(readName(bytes, 14), undefined);
  });

  it("are refused with names longer than 255 bytes and labels longer than 63", () => {
    assert.equal(decodeQuery(query(`${"a".repeat(60)}.`.repeat(5))), ResponseCode.FormatError);
    assert.equal(decodeQuery(query("a".repeat(64))), ResponseCode.FormatError);
  });

  it("of any bytes end without an exception", () => {
    for (let round = 0; round < 3_000; round++) {
      const bytes = randomBytes(12 + (round % 80));
      if (round % 2 === 0) bytes.writeUInt16BE(1, 4);
      bytes.writeUInt16BE(bytes.readUInt16BE(2) & 0x7fff, 2);
      const result = decodeQuery(bytes);
      if (typeof result === "number") assert.equal(encodeFailure(bytes, result).length, 12);
      if (typeof result === "object")
        encodeResponse(result, { code: ResponseCode.NoError, answers: [], authoritative: true });
    }
  });

  it("that were cut or changed anywhere end without an exception", () => {
    const whole = query("web.default.svc.cluster.local", 1, { edns: 1232 });
    for (let length = 0; length <= whole.length; length++) decodeQuery(whole.subarray(0, length));
    for (let index = 0; index < whole.length; index++) {
      const changed = Buffer.from(whole);
      changed[index] = 0xff;
      decodeQuery(changed);
    }
  });
});

describe("DNS answers", () => {
  const response = (count: number) => ({
    code: ResponseCode.NoError,
    authoritative: true,
    answers: Array.from({ length: count }, (_, index) => ({
      name: "web.default.svc.cluster.local",
      type: "A" as const,
      address: `10.244.0.${index + 1}`,
    })),
  });

  it("repeat the question and compress names", () => {
    const request = query("web.default.svc.cluster.local");
    const bytes = encodeResponse(decoded(request), response(2));
    assert.equal(bytes.readUInt16BE(0), 0x1234);
    assert.equal(bytes.readUInt16BE(2), 0x8580);
    assert.equal(bytes.readUInt16BE(6), 2);
    assert.deepEqual(bytes.subarray(12, request.length), request.subarray(12));
    const record = bytes.subarray(request.length, request.length + 16);
    assert.equal(record.toString("hex"), "c00c000100010000000500040af40001");
  });

  it("that are too long for UDP are cut and marked", () => {
    const bytes = encodeResponse(decoded(query("web.default.svc.cluster.local")), response(200), 512);
    assert.ok(bytes.length <= 512);
    assert.equal(bytes.readUInt16BE(2) & 0x0200, 0x0200);
    assert.ok(bytes.readUInt16BE(6) > 0);
  });

  it("without records carry the zone's SOA", () => {
    const bytes = encodeResponse(decoded(query("nothing.default.svc.cluster.local")), {
      code: ResponseCode.NameError,
      answers: [],
      zone: "cluster.local",
      authoritative: true,
    });
    assert.equal(bytes.readUInt16BE(2) & 15, ResponseCode.NameError);
    assert.equal(bytes.readUInt16BE(8), 1);
  });
});
