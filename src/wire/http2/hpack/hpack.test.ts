import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Headers } from "../../http/headers.ts";
import { FrameOutput } from "../output.ts";
import { type FieldSink, HpackDecoder } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";

const stories = join(import.meta.dirname, "../../../../../shared/testdata/hpack");

class Fields implements FieldSink {
  list: [string, string][] = [];
  onField(_id: number, name: string, value: string): void {
    this.list.push([name, value]);
  }
}

function decode(decoder: HpackDecoder, block: Buffer): [string, string][] {
  const fields = new Fields();
  assert.ok(decoder.decode(block, 0, block.length, fields), decoder.failure);
  return fields.list;
}

interface Story {
  readonly cases: readonly {
    readonly wire: string;
    readonly headers: readonly Readonly<Record<string, string>>[];
    readonly header_table_size?: number;
  }[];
}

function fieldsOf(headers: readonly Readonly<Record<string, string>>[]): [string, string][] {
  return headers.map((field) => Object.entries(field)[0] as [string, string]);
}

function storiesOf(encoder: string): [string, Story][] {
  const folder = join(stories, encoder);
  return readdirSync(folder).map((file) => [
    `${encoder}/${file}`,
    JSON.parse(readFileSync(join(folder, file), "utf8")) as Story,
  ]);
}

const options = { skip: !existsSync(stories) && `${stories} is absent` };

for (const encoder of ["go-hpack", "nghttp2-change-table-size"]) {
  test(`the stories of ${encoder} decode exactly`, options, () => {
    for (const [name, story] of storiesOf(encoder)) {
      const decoder = new HpackDecoder(false);
      for (const [i, step] of story.cases.entries()) {
        if (step.header_table_size !== undefined) decoder.setLimit(step.header_table_size);
        assert.deepEqual(decode(decoder, Buffer.from(step.wire, "hex")), fieldsOf(step.headers), `${name} ${i}`);
      }
    }
  });

  for (const huffman of [false, true]) {
    test(`the stories of ${encoder} come through our encoder, ${huffman ? "with" : "without"} Huffman`, options, () => {
      for (const [name, story] of storiesOf(encoder)) {
        const own = new HpackEncoder({ tableSize: 65536, huffman, preserveHeaderCase: false });
        const decoder = new HpackDecoder(false);
        const out = new FrameOutput();
        for (const [i, step] of story.cases.entries()) {
          if (step.header_table_size !== undefined) {
            own.setPeerLimit(step.header_table_size);
            decoder.setLimit(step.header_table_size);
          }
          const expected = fieldsOf(step.headers);
          const start = out.at;
          encodeAll(own, out, expected);
          const block = Buffer.from(out.bytes.subarray(out.frameStart, out.at));
          assert.ok(start >= 0);
          const skipped = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]);
          const wanted = expected.filter(([field]) => !skipped.has(field)).map(trimmed);
          assert.deepEqual(decode(decoder, block).sort(), wanted.sort(), `${name} ${i}`);
          assert.equal(decoder.tableSize, own.tableSize);
          out.frameStart = out.at;
        }
      }
    });
  }
}

function trimmed([name, value]: [string, string]): [string, string] {
  return [name, value.trim()];
}

function encodeAll(encoder: HpackEncoder, out: FrameOutput, fields: readonly (readonly [string, string])[]): void {
  const head = { method: "", scheme: "", authority: "", path: "", protocol: "", status: 0 };
  const headers = new Headers();
  for (const [name, value] of fields) {
    if (name === ":status") head.status = Number(value);
    else if (name.startsWith(":")) Object.assign(head, { [name.slice(1)]: value });
    else headers.add(name, value);
  }
  if (head.status > 0) encoder.encodeResponse(out, head.status, headers);
  else encoder.encodeRequest(out, head, headers);
  assert.equal(encoder.hasRefused, false);
}
