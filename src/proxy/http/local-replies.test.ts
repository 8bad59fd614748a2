// The table of local replies against the page that users look them up in: none is missing there.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as table from "./local-replies.ts";
import { responseFlagBits } from "./response-flags.ts";

const page = readFileSync(join(import.meta.dirname, "../../../docs/look-up/access-log.md"), "utf8");
const section = page.slice(page.indexOf("## Response flags"));
const rows = section.split("\n").filter((line) => line.startsWith("|"));

const isReply = (value: unknown): value is table.LocalReply =>
  typeof value === "object" && value !== null && "details" in value && "flag" in value;

const made: readonly table.LocalReply[] = [
  table.normalizedRedirect("/"),
  table.undetectedClient(403),
  table.wasmReply(403, "", Buffer.alloc(0), -1),
  ...(["UF", "UC", "UO", "UPE", "UR"] as const).map((flag) => table.upstreamReset(flag, "remote reset", "")),
  table.rbacDenied("ns/policy"),
  table.localRateLimited(429, false),
  table.rateLimited(429, false, ""),
  table.rateLimitServiceFailed(500),
  table.healthCheckAnswer(200),
  table.healthCheckAnswer(503),
  table.faultAbort(503, null),
  table.jwtRefused(401, "", "Jwt is missing"),
  table.authorizationDenied(403, Buffer.alloc(0)),
  table.authorizationFailed(403),
];

for (const reply of [...Object.values(table).filter(isReply), ...made]) {
  const flag = reply.flag === "" ? "-" : reply.flag;
  const details = reply.details.replace(/[[{].*/, "");
  test(`the page of the access log explains ${flag} ${reply.status} ${details}`, () => {
    // Of codecs there are too many to tell each: http1.*, http2.*.
    const word = details.replace(/^(http[12])\..*/, "$1.*");
    const found = rows.filter((row) => row.startsWith(`| \`${flag}\` |`) && row.includes(`\`${word}`));
    assert.ok(found.length > 0, `no row of docs/look-up/access-log.md has ${flag} and ${word}`);
  });
}

test("every flag of a local reply is one of Envoy's", () => {
  for (const { flag } of [...Object.values(table).filter(isReply), ...made]) {
    assert.ok(flag === "" || responseFlagBits(flag) > 0, flag);
  }
});
