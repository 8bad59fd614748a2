// DNS messages (RFC 1035, EDNS of RFC 6891) as far as a server of A, AAAA, CNAME, PTR and SRV records needs them: queries are decoded, answers are
// encoded with name compression. Nothing here throws on bytes from the network.
import { parseAddress } from "#base/net/address-bytes.ts";

export const RecordType = { A: 1, CNAME: 5, SOA: 6, PTR: 12, AAAA: 28, SRV: 33, OPT: 41, ANY: 255 } as const;
export const ResponseCode = {
  NoError: 0,
  FormatError: 1,
  ServerFailure: 2,
  NameError: 3,
  NotImplemented: 4,
  Refused: 5,
} as const;
export type ResponseCode = (typeof ResponseCode)[keyof typeof ResponseCode];

export interface Question {
  /** Lower case, without the last dot. */
  readonly name: string;
  /** As it was sent: answers repeat it. */
  readonly rawName: string;
  readonly type: number;
  readonly class: number;
}

export interface Query {
  readonly id: number;
  readonly opcode: number;
  readonly recursionDesired: boolean;
  readonly question: Question;
  /** How large an answer over UDP may be; undefined when the client sent no EDNS record. */
  readonly udpSize: number | undefined;
}

export type Answer =
  | { readonly name: string; readonly type: "A"; readonly address: string }
  | { readonly name: string; readonly type: "AAAA"; readonly address: string }
  | { readonly name: string; readonly type: "CNAME" | "PTR"; readonly target: string }
  | { readonly name: string; readonly type: "SRV"; readonly port: number; readonly target: string };

export interface Response {
  readonly code: ResponseCode;
  readonly answers: readonly Answer[];
  /** Sent beside the answers when there is room: addresses of SRV targets. */
  readonly additional?: readonly Answer[];
  /** Names the zone whose SOA goes with an answer that has no records, so that resolvers know how long to remember it. */
  readonly zone?: string;
  readonly authoritative: boolean;
}

export const headerBytes = 12;
const maxNameBytes = 255;
const maxLabelBytes = 63;
const ttlSeconds = 5;

/** Reads a query; a number is the response code for one that makes no sense, undefined means: do not answer at all. */
export function decodeQuery(bytes: Buffer): Query | ResponseCode | undefined {
  if (bytes.length < headerBytes) return undefined;
  const flags = bytes.readUInt16BE(2);
  if ((flags & 0x8000) !== 0) return undefined; // a response: answering it could go on for ever
  if (bytes.readUInt16BE(4) !== 1) return ResponseCode.FormatError;
  const name = readName(bytes, headerBytes);
  if (name === undefined || name.end + 4 > bytes.length) return ResponseCode.FormatError;
  const question: Question = {
    name: name.text.toLowerCase(),
    rawName: name.text,
    type: bytes.readUInt16BE(name.end),
    class: bytes.readUInt16BE(name.end + 2),
  };
  return {
    id: bytes.readUInt16BE(0),
    opcode: (flags >> 11) & 15,
    recursionDesired: (flags & 0x0100) !== 0,
    question,
    udpSize: readUdpSize(bytes, name.end + 4),
  };
}

/** Reads a name with compression pointers. Pointers may only lead backwards, so a loop ends by itself. */
export function readName(bytes: Buffer, start: number): { readonly text: string; readonly end: number } | undefined {
  const labels: string[] = [];
  let position = start;
  let end = -1;
  let length = 0;
  let lowest = start;
  for (;;) {
    const size = bytes[position];
    if (size === undefined) return undefined;
    if (size === 0) {
      return { text: labels.join("."), end: end === -1 ? position + 1 : end };
    }
    if ((size & 0xc0) === 0xc0) {
      const low = bytes[position + 1];
      if (low === undefined) return undefined;
      if (end === -1) end = position + 2;
      const target = ((size & 0x3f) << 8) | low;
      if (target >= lowest || target < headerBytes) return undefined;
      lowest = target;
      position = target;
      continue;
    }
    if (size > maxLabelBytes || position + 1 + size > bytes.length) return undefined;
    length += size + 1;
    if (length >= maxNameBytes) return undefined;
    labels.push(bytes.toString("latin1", position + 1, position + 1 + size));
    position += 1 + size;
  }
}

/** The payload size of the OPT record, if there is one among the additional records. */
function readUdpSize(bytes: Buffer, start: number): number | undefined {
  const records = bytes.readUInt16BE(6) + bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
  let position = start;
  for (let index = 0; index < Math.min(records, 16); index++) {
    const name = readName(bytes, position);
    if (name === undefined || name.end + 10 > bytes.length) return undefined;
    if (bytes.readUInt16BE(name.end) === RecordType.OPT) {
      return Math.min(4096, Math.max(512, bytes.readUInt16BE(name.end + 2)));
    }
    position = name.end + 10 + bytes.readUInt16BE(name.end + 8);
  }
  return undefined;
}

/** Writes the answer. With `maxBytes`, records that do not fit are left out and the client is told to come by TCP. */
export function encodeResponse(query: Query, response: Response, maxBytes = 65_535): Buffer {
  const full = new MessageWriter(query, response);
  const bytes = full.write(response.answers, response.additional ?? []);
  if (bytes.length <= maxBytes) return bytes;
  const withoutAdditional = new MessageWriter(query, response).write(response.answers, []);
  if (withoutAdditional.length <= maxBytes) return withoutAdditional;
  let kept = response.answers.length;
  for (;;) {
    kept = Math.floor(kept / 2);
    const shorter = new MessageWriter(query, response, true).write(response.answers.slice(0, kept), []);
    if (shorter.length <= maxBytes || kept === 0) return shorter;
  }
}

/** The answer to bytes that could not be read: the header alone. */
export function encodeFailure(request: Buffer, code: ResponseCode): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  request.copy(bytes, 0, 0, 2);
  bytes.writeUInt16BE(0x8000 | (request.readUInt16BE(2) & 0x7900) | code, 2);
  return bytes;
}

class MessageWriter {
  readonly #query: Query;
  readonly #response: Response;
  readonly #truncated: boolean;
  readonly #offsetByName = new Map<string, number>();
  #parts: Buffer[] = [];
  #length = 0;

  constructor(query: Query, response: Response, truncated = false) {
    this.#query = query;
    this.#response = response;
    this.#truncated = truncated;
  }

  write(answers: readonly Answer[], additional: readonly Answer[]): Buffer {
    const { id, opcode, recursionDesired, question, udpSize } = this.#query;
    const { code, authoritative, zone } = this.#response;
    const hasSoa = zone !== undefined && answers.length === 0;
    const flags =
      0x8000 |
      (opcode << 11) |
      (authoritative ? 0x0400 : 0) |
      (this.#truncated ? 0x0200 : 0) |
      (recursionDesired ? 0x0100 : 0) |
      0x0080 |
      code;
    const header = Buffer.alloc(headerBytes);
    header.writeUInt16BE(id, 0);
    header.writeUInt16BE(flags, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(answers.length, 6);
    header.writeUInt16BE(hasSoa ? 1 : 0, 8);
    header.writeUInt16BE(additional.length + (udpSize === undefined ? 0 : 1), 10);
    this.#append(header);
    this.#name(question.rawName);
    this.#numbers(question.type, question.class);
    for (const answer of answers) this.#record(answer);
    if (hasSoa) this.#soa(zone);
    for (const answer of additional) this.#record(answer);
    if (udpSize !== undefined) this.#append(Buffer.from([0, 0, RecordType.OPT, 16, 0, 0, 0, 0, 0, 0, 0]));
    return Buffer.concat(this.#parts, this.#length);
  }

  #record(answer: Answer): void {
    this.#name(answer.name);
    this.#numbers(RecordType[answer.type], 1, 0, ttlSeconds);
    this.#withLength(() => {
      if (answer.type === "A") this.#append(Buffer.from(answer.address.split(".").map(Number)));
      else if (answer.type === "AAAA") this.#append(Buffer.from(parseAddress(answer.address) ?? new Uint8Array(16)));
      else if (answer.type === "SRV") {
        this.#numbers(0, 100, answer.port);
        this.#name(answer.target, false); // RFC 2782: not compressed
      } else this.#name(answer.target);
    });
  }

  #soa(zone: string): void {
    this.#name(zone);
    this.#numbers(RecordType.SOA, 1, 0, ttlSeconds);
    this.#withLength(() => {
      this.#name(`ns.dns.${zone}`);
      this.#name(`hostmaster.${zone}`);
      this.#numbers(0, 1, 0, 7200, 0, 1800, 1, 20_864, 0, ttlSeconds);
    });
  }

  #withLength(content: () => void): void {
    const length = Buffer.alloc(2);
    this.#append(length);
    const start = this.#length;
    content();
    length.writeUInt16BE(this.#length - start, 0);
  }

  #name(name: string, compress = true): void {
    const labels = name === "" ? [] : name.split(".");
    for (let index = 0; index < labels.length; index++) {
      const rest = labels.slice(index).join(".");
      const known = compress ? this.#offsetByName.get(rest.toLowerCase()) : undefined;
      if (known !== undefined) {
        this.#numbers(0xc000 | known);
        return;
      }
      if (this.#length < 0x3fff && !this.#offsetByName.has(rest.toLowerCase())) {
        this.#offsetByName.set(rest.toLowerCase(), this.#length);
      }
      const label = Buffer.from(labels[index] ?? "", "latin1").subarray(0, maxLabelBytes);
      this.#append(Buffer.from([label.length]));
      this.#append(label);
    }
    this.#append(Buffer.from([0]));
  }

  /** Appends 16-bit numbers. */
  #numbers(...values: number[]): void {
    const bytes = Buffer.alloc(values.length * 2);
    values.forEach((value, index) => bytes.writeUInt16BE(value & 0xffff, index * 2));
    this.#append(bytes);
  }

  #append(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }
}
