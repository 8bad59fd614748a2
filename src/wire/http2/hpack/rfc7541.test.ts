// The examples of RFC 7541 appendix C, and what must not be decoded.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type FieldSink, HpackDecoder } from "./decoder.ts";

class Fields implements FieldSink {
  readonly list: string[] = [];
  onField(_id: number, name: string, value: string): void {
    this.list.push(`${name}: ${value}`);
  }
}

function decode(decoder: HpackDecoder, hex: string): string[] | string {
  const block = Buffer.from(hex.replaceAll(" ", ""), "hex");
  const fields = new Fields();
  return decoder.decode(block, 0, block.length, fields) ? fields.list : decoder.failure;
}

interface Example {
  readonly section: string;
  readonly hex: string;
  readonly fields: readonly string[];
  readonly tableSize: number;
}

function play(examples: readonly Example[]): void {
  const decoder = new HpackDecoder(false);
  for (const { section, hex, fields, tableSize } of examples) {
    assert.deepEqual(decode(decoder, hex), fields, section);
    assert.equal(decoder.tableSize, tableSize, section);
  }
}

test("RFC 7541 C.1 integers", () => {
  assert.deepEqual(decode(new HpackDecoder(false), "2a 82"), [":method: GET"]);
  // 1337 with a prefix of five bits, as the size of the table: an entry of 1300 bytes fits, one of 1310 does not.
  const entry = (length: number): string =>
    `40 01 61 7f ${(length - 127 - 128 * Math.floor((length - 127) / 128) + 128).toString(16)} 0${Math.floor((length - 127) / 128).toString(16)} ${"62".repeat(length)}`;
  for (const [length, size] of [
    [1300, 1333],
    [1310, 0],
  ] as const) {
    const decoder = new HpackDecoder(false);
    assert.equal(decode(decoder, `3f 9a 0a ${entry(length)}`).length, 1);
    assert.equal(decoder.tableSize, size);
  }
});

test("RFC 7541 C.2 fields of every representation", () => {
  play([
    {
      section: "C.2.1",
      hex: "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
      fields: ["custom-key: custom-header"],
      tableSize: 55,
    },
  ]);
  play([
    { section: "C.2.2", hex: "040c 2f73 616d 706c 652f 7061 7468", fields: [":path: /sample/path"], tableSize: 0 },
  ]);
  play([
    { section: "C.2.3", hex: "1008 7061 7373 776f 7264 0673 6563 7265 74", fields: ["password: secret"], tableSize: 0 },
  ]);
  play([{ section: "C.2.4", hex: "82", fields: [":method: GET"], tableSize: 0 }]);
});

const requests = [
  [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
  [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
  [":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com", "custom-key: custom-value"],
];

test("RFC 7541 C.3 requests without Huffman coding", () => {
  const hex = [
    "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
    "8286 84be 5808 6e6f 2d63 6163 6865",
    "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
  ];
  play(
    hex.map((each, i) => ({
      section: `C.3.${i + 1}`,
      hex: each,
      fields: requests[i] ?? [],
      tableSize: [57, 110, 164][i] ?? 0,
    })),
  );
});

test("RFC 7541 C.4 requests with Huffman coding", () => {
  const hex = [
    "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
    "8286 84be 5886 a8eb 1064 9cbf",
    "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
  ];
  play(
    hex.map((each, i) => ({
      section: `C.4.${i + 1}`,
      hex: each,
      fields: requests[i] ?? [],
      tableSize: [57, 110, 164][i] ?? 0,
    })),
  );
});

const responses = [
  [
    ":status: 302",
    "cache-control: private",
    "date: Mon, 21 Oct 2013 20:13:21 GMT",
    "location: https://www.example.com",
  ],
  [
    ":status: 307",
    "cache-control: private",
    "date: Mon, 21 Oct 2013 20:13:21 GMT",
    "location: https://www.example.com",
  ],
  [
    ":status: 200",
    "cache-control: private",
    "date: Mon, 21 Oct 2013 20:13:22 GMT",
    "location: https://www.example.com",
    "content-encoding: gzip",
    "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
  ],
];
/** The examples have a table of 256 bytes. */
const to256 = "3fe1 01";

test("RFC 7541 C.5 responses without Huffman coding, whose entries push each other out", () => {
  const hex = [
    `${to256} 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
    "4803 3330 37c1 c0bf",
    "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
  ];
  play(
    hex.map((each, i) => ({
      section: `C.5.${i + 1}`,
      hex: each,
      fields: responses[i] ?? [],
      tableSize: [222, 222, 215][i] ?? 0,
    })),
  );
});

test("RFC 7541 C.6 responses with Huffman coding", () => {
  const hex = [
    `${to256} 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
    "4883 640e ffc1 c0bf",
    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
  ];
  play(
    hex.map((each, i) => ({
      section: `C.6.${i + 1}`,
      hex: each,
      fields: responses[i] ?? [],
      tableSize: [222, 222, 215][i] ?? 0,
    })),
  );
});

const refused: readonly (readonly [rule: string, hex: string, words: string])[] = [
  ["2.3.3 index 0", "80", "index 0"],
  ["2.3.3 an index beyond the table", "be", "an index beyond the table"],
  ["2.3.3 a name index beyond the table", "7e 01 61", "an index beyond the table"],
  ["5.1 an integer that is too large", "ff ff ff ff ff ff 0f", "an integer that is too large"],
  ["5.1 an integer of endless zeros", "ff 80 80 80 80 80 80 80 00", "an integer that is too large"],
  ["5.1 an integer that is cut off", "ff 80", "a block that ends inside an integer"],
  ["5.2 a string that is cut off", "00 05 61 62", "a string longer than its block"],
  ["5.2 a string of more than 2^31 bytes", "00 7f ff ff ff ff 0f", "an integer that is too large"],
  ["5.2 a field without a value", "00 01 61", "a block that ends inside a field"],
  ["5.2 a field without a name", "00", "a block that ends inside a field"],
  ["5.2 padding of more than seven bits", "00 01 61 82 1f ff", "a wrong Huffman coding"],
  ["5.2 padding that is not ones", "00 01 61 81 18", "a wrong Huffman coding"],
  ["5.2 the code of EOS", "00 01 61 84 ff ff ff ff", "a wrong Huffman coding"],
  ["5.2 EOS after a symbol", "00 01 61 85 1f ff ff ff ff", "a wrong Huffman coding"],
  ["4.2 a size update inside a block", "82 20", "a table size update inside a block"],
  ["6.3 a size above the limit", "3f e2 1f", "a table size above the limit"],
];
for (const [rule, hex, words] of refused) {
  test(`RFC 7541 ${rule} is refused`, () => assert.equal(decode(new HpackDecoder(false), hex), words));
}

test("RFC 7541 4.2 a lowered limit has to be taken up before the next field", () => {
  const decoder = new HpackDecoder(false);
  decode(decoder, "400161 0162");
  decoder.setLimit(40);
  assert.equal(decoder.tableSize, 34, "nothing is dropped before the encoder agrees");
  assert.equal(decode(decoder, "be"), "no table size update after the limit was lowered");
  const other = new HpackDecoder(false);
  decode(other, "400161 0162 400163 0164");
  other.setLimit(40);
  assert.deepEqual(decode(other, "3f 09 be"), ["c: d"]);
  assert.equal(other.tableSize, 34);
});

test("RFC 7541 4.4 an entry larger than the table empties it", () => {
  const decoder = new HpackDecoder(false);
  assert.deepEqual(decode(decoder, "3f 09 400161 0162"), ["a: b"]);
  assert.deepEqual(decode(decoder, "400161 09 626262626262626262"), ["a: bbbbbbbbb"]);
  assert.equal(decoder.tableSize, 0);
});

test("RFC 7541 4.4 a name may come from the entry that is pushed out", () => {
  const decoder = new HpackDecoder(false);
  decode(decoder, "3f 09 400161 0162");
  assert.deepEqual(decode(decoder, "7e 0163"), ["a: c"]);
  assert.deepEqual(decode(decoder, "be"), ["a: c"]);
});
