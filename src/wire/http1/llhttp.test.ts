// Plays all rows of llhttp's tests through our parsers: what is accepted and refused, and the parsed parts. Rows that
// are answered differently stand here by id, each with its reason; a row that needs none may not stand here.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { BodyDecoder } from "./body-decoder.ts";
import {
  CONNECTION_CLOSE,
  CONNECTION_KEEP_ALIVE,
  CONNECTION_UPGRADE,
  HeadParser,
  REQUEST,
  RESPONSE,
} from "./head-parser.ts";

const file = join(import.meta.dirname, "../../../../shared/testdata/llhttp.json");
const limits = { maxBytes: 60 * 1024, maxHeaders: 100 };

const otherProtocol = "RTSP and ICE are not HTTP";
const oneCoding = "a transfer coding other than chunked is refused, as Envoy does";
const noEmptyLines = "a response does not begin with empty lines; what comes unasked ends the connection";
const version09 = "HTTP/0.9 is refused";
const anyMethod = "any token may be a method (RFC 9110 9.1)";
const upgradeBody = "the body of an upgrade request is not read here: the connection refuses such requests";
const noBody = "the row's application says that there is no body, whatever the length says";
const dataSet = "the data set lost an escape of the original";
const skipped: Readonly<Record<string, string>> = {
  "llhttp/request/method#382": otherProtocol,
  "llhttp/request/method#412": otherProtocol,
  "llhttp/request/method#440": otherProtocol,
  "llhttp/response/sample#49": otherProtocol,
  "llhttp/response/sample#69": otherProtocol,
  "llhttp/request/sample#323": version09,
  "llhttp/response/sample#654": version09,
  "llhttp/request/invalid#76": anyMethod,
  "llhttp/request/invalid#365": anyMethod,
  "llhttp/request/connection#725": upgradeBody,
  "llhttp/request/connection#826": upgradeBody,
  "llhttp/request/transfer-encoding#766": oneCoding,
  "llhttp/request/transfer-encoding#809": oneCoding,
  "llhttp/response/transfer-encoding#54": oneCoding,
  "llhttp/response/transfer-encoding#86": oneCoding,
  "llhttp/response/transfer-encoding#127": oneCoding,
  "llhttp/response/connection#506": noEmptyLines,
  "llhttp/response/connection#602": noEmptyLines,
  "llhttp/response/pipelining#22": noEmptyLines,
  "llhttp/response/sample#707": noEmptyLines,
  "llhttp/request/connection#274": dataSet,
  "llhttp/request/connection#360": dataSet,
  "llhttp/response/sample#218": dataSet,
  "llhttp/request/transfer-encoding#204": "llhttp gives trailers as headers; body-decoder.test.ts has this case",
  "llhttp/request/connection#171": "one empty line before a request is skipped, not two",
  "llhttp/request/content-length#457": noBody,
  "llhttp/response/content-length#136": noBody,
};

const afterClose = "what follows a last message is not read as a message: the connection drops it";
/** Lenient rows whose bytes are not refused. */
const harmless: Readonly<Record<string, string>> = {
  "llhttp/request/connection#123": afterClose,
  "llhttp/request/connection#410": afterClose,
  "llhttp/response/connection#204": afterClose,
  "llhttp/response/connection#270": afterClose,
};

interface Case {
  readonly id: string;
  readonly type: string;
  readonly strictMode: boolean;
  readonly rawBase64: string;
  readonly expect: {
    readonly error: { readonly code: number; readonly reason: string } | null;
    readonly messages: readonly ExpectedMessage[];
  };
}

interface ExpectedMessage {
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  readonly complete: boolean;
  readonly method?: string;
  readonly url?: string;
}

interface Message {
  method: string;
  url: string;
  headers: [string, string][];
  body: string;
  complete: boolean;
}

function play(type: string, bytes: Buffer, step: number): { messages: Message[]; error: number } {
  const parser = new HeadParser(type === "request" ? REQUEST : RESPONSE, limits);
  const body = new BodyDecoder(limits);
  const messages: Message[] = [];
  const sink = { onBodyData: (data: Buffer): void => void (messages.at(-1)!.body += data.toString("latin1")) };
  let inHead = true;
  for (let from = 0; from < bytes.length; from += step) {
    const chunk = Buffer.from(bytes.subarray(from, from + step));
    let at = 0;
    while (at < chunk.length) {
      if (inHead) {
        const result = parser.parse(chunk, at, chunk.length);
        if (result === -1) break;
        if (result < 0) return { messages, error: result };
        at = result;
        const headers: [string, string][] = [];
        for (let i = 0; i < parser.headers.length; i++)
          headers.push([parser.headers.nameAt(i), parser.headers.valueAt(i)]);
        messages.push({ method: parser.method, url: parser.target, headers, body: "", complete: false });
        const upgrade = parser.hasUpgrade && (parser.connectionTokens & CONNECTION_UPGRADE) !== 0;
        if (parser.method === "CONNECT" || (upgrade && (type === "request" || parser.status === 101))) {
          messages.at(-1)!.complete = true;
          return { messages, error: 0 };
        }
        const bodiless =
          parser.status === 204 || parser.status === 304 || (parser.status >= 100 && parser.status < 200);
        if (bodiless) body.startEmpty();
        else if (parser.chunked) body.startChunked();
        else if (parser.contentLength >= 0) body.startLength(parser.contentLength);
        else if (type === "request") body.startEmpty();
        else body.startUntilClose();
        inHead = false;
      }
      if (!inHead) {
        const result = body.decode(chunk, at, chunk.length, sink);
        if (result < 0) return { messages, error: result };
        at = result;
        if (body.done) {
          messages.at(-1)!.complete = true;
          const last =
            (parser.connectionTokens & CONNECTION_CLOSE) !== 0 ||
            (parser.minorVersion === 0 && (parser.connectionTokens & CONNECTION_KEEP_ALIVE) === 0);
          if (last) return { messages, error: 0 };
          parser.reset();
          inHead = true;
        }
      }
    }
  }
  return { messages, error: 0 };
}

const absent = !existsSync(file) && `${file} is absent`;
const cases: readonly Case[] =
  absent === false ? (JSON.parse(readFileSync(file, "utf8")) as { cases: Case[] }).cases : [];

/** Rows that llhttp reads with no leniency: the strict ones, and those about its callbacks and about ends. */
const plain: readonly Case[] = cases.filter((row) => /^(request|response)(-finish)?$/.test(row.type));
const lenient: readonly Case[] = cases.filter((row) => row.type.includes("-lenient-"));

test("llhttp's strict rows are parsed as llhttp does, but for those left out by id", { skip: absent }, () => {
  const failures: string[] = [];
  for (const row of plain) {
    const problem = problemOf(row);
    if (skipped[row.id] === undefined && problem !== undefined) failures.push(`${row.id}: ${problem}`);
    if (skipped[row.id] !== undefined && problem === undefined) failures.push(`${row.id} need not be left out`);
  }
  assert.deepEqual(failures, []);
});

test("what only a lenient parser takes is refused, but for rows that need no leniency here", { skip: absent }, () => {
  const failures: string[] = [];
  for (const row of lenient) {
    const raw = Buffer.concat([Buffer.from(row.rawBase64, "base64"), Buffer.from("\r\n")]);
    const isRefused = [1, 7, 1 << 20].every((step) => play(row.type.split("-")[0] ?? "", raw, step).error < 0);
    if (isRefused === (harmless[row.id] !== undefined)) failures.push(`${row.id} is ${isRefused ? "" : "not "}refused`);
  }
  assert.deepEqual(failures, []);
});

test("every row of the data is looked at, and every exception is one of them", { skip: absent }, () => {
  const ids = new Set(cases.map((row) => row.id));
  assert.deepEqual(
    [...Object.keys(skipped), ...Object.keys(harmless)].filter((id) => !ids.has(id)),
    [],
  );
  // The rows about URLs are those of proxy/decide/request-path.test.ts.
  const urls = cases.filter((row) => row.type === "url").length;
  assert.equal(plain.length + lenient.length + urls, cases.length);
  assert.ok(cases.length >= 272, `${cases.length} rows`);
});

function problemOf(row: Case): string | undefined {
  for (const step of [1, 7, 1 << 20]) {
    // The data set drops the last line end of some rows.
    const problem = compare(row, step, "") && compare(row, step, "\r\n");
    if (problem !== undefined) return `in steps of ${step}: ${problem}`;
  }
  return undefined;
}

function compare(row: Case, step: number, lineEnd: string): string | undefined {
  const { error, messages } = row.expect;
  const raw = Buffer.concat([Buffer.from(row.rawBase64, "base64"), Buffer.from(lineEnd)]);
  const actual = play(row.type.split("-")[0] ?? "", raw, step);
  const refused = error !== null && error.code !== 22 && error.code !== 5;
  if (refused !== actual.error < 0)
    return refused ? `must be refused (${error.reason})` : `refused with ${actual.error}`;
  if (refused) return undefined;
  for (const [i, message] of messages.entries()) {
    if (!message.complete) break;
    const own = actual.messages[i];
    if (own === undefined) return `message ${i} is missing`;
    if (message.method !== undefined && own.method !== message.method) return `method ${own.method}`;
    if (message.url !== undefined && own.url !== message.url) return `target ${own.url}`;
    if (message.complete && !own.complete) return `message ${i} is incomplete`;
    if (JSON.stringify(own.headers) !== JSON.stringify(ours(message))) return `headers ${JSON.stringify(own.headers)}`;
    if (own.body !== message.body) return `body ${own.body}`;
  }
  return undefined;
}

/** llhttp keeps white space at the end of values, and its data set is UTF-8. */
function ours(message: ExpectedMessage): [string, string][] {
  return message.headers.map(([name, value]) => [name, Buffer.from(value.trim(), "utf8").toString("latin1")]);
}
