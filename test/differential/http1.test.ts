// The same bytes to our proxy, to nginx, to HAProxy and to node:http (llhttp). Nobody but us may accept nothing that we
// accept, and whoever accepts a message finds the same messages in it: where two readers see different ones, one of them
// can be lied to. What we refuse and all others take stands here by name, with the reason.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { garden, published, valid } from "#proxy/listener/testing/http1-corpus.ts";
import { damaged } from "../fuzz/bytes.ts";
import { type Front, haproxyFront, nginxFront, nodeFront, type Outcome, ownFront } from "./fronts.ts";

const badHost = "RFC 9112 3.2: a Host that is no host and port is refused";
const stricter: Readonly<Record<string, string>> = {
  "a host with user information": badHost,
  "a host with two ports": badHost,
  "a host with a port that is none": badHost,
  "llhttp/request/connection#826": "an Upgrade that is not configured is refused, as Envoy does, and not ignored",
};

const absent = ["nginx", "haproxy"].filter((program) => spawnSync(program, ["-v"]).error !== undefined);
const skip = absent.length > 0 && `${absent.join(" and ")} are not installed`;

let own: Front;
let judges: readonly Front[];
before(async () => {
  if (skip !== false) return;
  own = await ownFront();
  judges = await Promise.all([nginxFront(), haproxyFront(), nodeFront()]);
});
after(async () => {
  if (skip !== false) return;
  await Promise.all([own, ...judges].map((front) => front.stop()));
});

/** Follows every case, so that connections end, and so that a body that was read wrong shows. */
const end = "GET /end HTTP/1.1\r\nHost: end\r\nConnection: close\r\n\r\n";

const isCase = (request: string): boolean => !request.startsWith("GET /end ");

/** What is wrong about our reading of the bytes; undefined when nothing is. */
async function disagreement(name: string, bytes: string | Buffer): Promise<string | undefined> {
  const all = Buffer.concat([typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes, Buffer.from(end)]);
  const [ours, ...theirs] = await Promise.all([own, ...judges].map((front) => front.play(all)));
  assert.ok(ours !== undefined);
  const accepting = theirs.filter(({ requests }) => requests.some(isCase));
  if (ours.requests.some(isCase)) {
    if (accepting.length === 0) return `only we accept ${JSON.stringify(name)}: ${shown(ours)}`;
  } else if (accepting.length === theirs.length && stricter[name] === undefined) {
    return `all but us accept ${JSON.stringify(name)}: ${shown(ours)}`;
  } else if (accepting.length < theirs.length && stricter[name] !== undefined) {
    return `${name} needs no exception`;
  }
  for (const [i, other] of theirs.entries()) {
    const difference = differs(ours, other);
    if (difference) return `${judges[i]?.name} reads ${JSON.stringify(name)} as ${shown(other)}, we as ${shown(ours)}`;
  }
  return undefined;
}

/** Whether two readers found different messages. One may refuse what the other takes, from any message on. */
function differs(ours: Outcome, other: Outcome): boolean {
  const common = Math.min(ours.requests.length, other.requests.length);
  for (let i = 0; i < common; i++) if (ours.requests[i] !== other.requests[i]) return true;
  const [longer, shorter] = ours.requests.length > common ? [ours, other] : [other, ours];
  const refuses = shorter.statuses.some((status) => status >= 400);
  // The other waits for more of what we think is over, or the other way round.
  return common > 0 && longer.requests.length > common && !refuses;
}

function shown({ requests, statuses }: Outcome): string {
  return `${requests.map((request) => request.slice(0, 80)).join(" + ") || "nothing"} (${statuses.join(" ")})`;
}

async function problemsOf(cases: readonly (readonly [string, string | Buffer])[]): Promise<string[]> {
  const problems: string[] = [];
  for (const [name, bytes] of cases) {
    const problem = await disagreement(name, bytes);
    if (problem !== undefined) problems.push(problem);
  }
  return problems;
}

test("what correct clients send is read by all in the same way", { skip }, async () => {
  for (const [name, bytes] of valid) {
    const all = Buffer.from(bytes + end, "latin1");
    const outcomes = await Promise.all([own, ...judges].map((front) => front.play(all)));
    for (const { requests } of outcomes) {
      assert.ok(requests.length > 1, name);
      assert.deepEqual(requests, outcomes[0]?.requests, name);
    }
  }
});

test("attacks by name: nothing is accepted by us alone or split by us in another way", { skip }, async () => {
  assert.deepEqual(await problemsOf([...garden, ...published].map(([name, bytes]) => [name, bytes])), []);
});

const llhttp = join(import.meta.dirname, "../../../shared/testdata/llhttp.json");

test("llhttp's requests likewise", { skip: skip || (!existsSync(llhttp) && "test data is absent") }, async () => {
  const { cases } = JSON.parse(readFileSync(llhttp, "utf8")) as {
    cases: { id: string; type: string; rawBase64: string }[];
  };
  const requests = cases.filter(({ type }) => type.startsWith("request"));
  assert.ok(requests.length > 150);
  assert.deepEqual(await problemsOf(requests.map(({ id, rawBase64 }) => [id, Buffer.from(rawBase64, "base64")])), []);
});

test("so are 1500 damaged messages, the same ones each time", { skip }, async () => {
  const originals = [...valid, ...garden].map(([, bytes]) => Buffer.from(bytes, "latin1"));
  const messages = fc.sample(damaged(originals), { seed: 20_261_127, numRuns: 1500 });
  const problems = await problemsOf(messages.map((bytes) => [bytes.toString("latin1"), bytes]));
  // Damage to Host, or a second space in the start line, is what only we refuse.
  assert.deepEqual(
    problems.filter((problem) => !problem.startsWith("all but us")),
    [],
  );
});
