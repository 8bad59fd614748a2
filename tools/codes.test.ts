// Codes that people look up: every error code that a part throws is in a table of that part's `errors.ts`, and every
// issue code in the product is on the page of issue codes.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "..");

interface SourceText {
  readonly path: string;
  readonly text: string;
}

const sources: readonly SourceText[] = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts"))
  .filter((path) => !path.startsWith("wire/gen/") && !path.includes("/testing/"))
  .map((path) => ({ path, text: readFileSync(join(root, "src", path), "utf8") }));

const partOf = (path: string): string => path.split("/")[0] ?? "";

function codesByPart(
  pattern: RegExp,
  isWanted: (path: string) => boolean,
  find: (match: RegExpMatchArray) => string[],
): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const { path, text } of sources) {
    if (!isWanted(path)) continue;
    const codes = found.get(partOf(path)) ?? new Set<string>();
    for (const match of text.matchAll(pattern)) for (const code of find(match)) codes.add(code);
    found.set(partOf(path), codes);
  }
  return found;
}

const isTable = (path: string): boolean => path.endsWith("errors.ts");
const explained = codesByPart(/^ {2}([A-Z][A-Z0-9_]+): [[{]/gm, isTable, (match) => [match[1] ?? ""]);
// The codes of the Kubernetes API are a protocol (`code: [status, reason, meaning]`), and webhooks may use any of them.
const ours = codesByPart(/^ {2}([A-Z][A-Z0-9_]+): \{/gm, isTable, (match) => [match[1] ?? ""]);
const thrown = codesByPart(
  /\b(?:OutriggerError|apiError|sandboxError)\(\s*"([A-Z][A-Z0-9_]+)"/g,
  (path) => !path.endsWith("base/error.ts"),
  (match) => [match[1] ?? ""],
);

test("every error code that a part throws is in its table", () => {
  const missing = [...thrown].flatMap(([part, codes]) =>
    [...codes].filter((code) => explained.get(part)?.has(code) !== true).map((code) => `${part} ${code}`),
  );
  assert.deepEqual(missing, []);
  assert.ok([...thrown.values()].reduce((sum, codes) => sum + codes.size, 0) > 30, "the pattern finds the codes");
});

test("every error code of a table is in use", () => {
  const unused = [...ours].flatMap(([part, codes]) =>
    [...codes]
      .filter(
        (code) =>
          !sources.some(({ path, text }) => partOf(path) === part && !isTable(path) && text.includes(`"${code}"`)),
      )
      .map((code) => `${part} ${code}`),
  );
  assert.deepEqual(unused, []);
});

test("every issue code is on the page of issue codes, and every code there is in use", () => {
  const page = readFileSync(join(root, "docs/look-up/issue-codes.md"), "utf8");
  const onPage = [...page.matchAll(/^\| `((?:IST|OUT)\d{4})` \|/gm)].map((match) => match[1] ?? "");
  const used = new Set(
    sources.flatMap(({ text }) => [...text.matchAll(/"((?:IST|OUT)\d{4})"/g)].map((m) => m[1] ?? "")),
  );
  assert.deepEqual([...new Set(onPage)].sort(), onPage, "sorted, each once");
  assert.deepEqual([...used].sort(), onPage);
});
