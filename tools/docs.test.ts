// The documentation against the project: links lead somewhere, and what docs/compatibility.md calls proven is proven by
// tests that exist.
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { commandsPage } from "./commands-page.ts";

const root = join(import.meta.dirname, "..");
const compatibility = "docs/compatibility.md";
const pages = [
  ...["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].filter((name) =>
    existsSync(join(root, name)),
  ),
  ...globSync(["docs/**/*.md", "src/**/*.md", "examples/**/*.md", "bench/**/*.md"], { cwd: root }),
].sort();

const read = (path: string): string => readFileSync(join(root, path), "utf8");
const withoutCode = (text: string): string => text.replaceAll(/```[\s\S]*?```/g, "").replaceAll(/`[^`\n]*`/g, "");

/** Heading anchors as GitHub makes them. */
function anchors(text: string): Set<string> {
  const headings = text.replaceAll(/```[\s\S]*?```/g, "").matchAll(/^#{1,6} +(.+)$/gm);
  return new Set(
    [...headings].map(([, title = ""]) =>
      title
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, "")
        .replaceAll(" ", "-"),
    ),
  );
}

/** Targets of `[text](target)` and of `[key]: target`. */
function links(text: string): string[] {
  const prose = withoutCode(text);
  const inline = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
  const references = [...prose.matchAll(/^\[[^\]]+\]: (\S+)$/gm)].map(([, target = ""]) => target);
  return [...inline, ...references];
}

function brokenLinks(page: string): string[] {
  return links(read(page)).filter((link) => {
    if (/^[a-z]+:/.test(link)) return false;
    const [path = "", anchor] = link.split("#");
    const target = path === "" ? page : join(dirname(page), path);
    if (!existsSync(join(root, target))) return true;
    return anchor !== undefined && target.endsWith(".md") && !anchors(read(target)).has(anchor);
  });
}

for (const page of pages) {
  test(`${page}: every relative link resolves`, () => assert.deepEqual(brokenLinks(page), []));
}

interface Citation {
  readonly key: string;
  readonly words: readonly string[];
}

/** `[key] "words", "words"`: tests of one file. */
function citations(line: string): Citation[] {
  return [...line.matchAll(/\[([\w-]+)\]((?:,? "[^"]+")+)/g)].map(([, key = "", quoted = ""]) => ({
    key,
    words: [...quoted.matchAll(/"([^"]+)"/g)].map(([, words = ""]) => words),
  }));
}

test("every test that compatibility.md cites exists", () => {
  const text = read(compatibility);
  const files = new Map([...text.matchAll(/^\[([\w-]+)\]: \.\.\/(\S+)$/gm)].map(([, key, path]) => [key, path]));
  const wrong = citations(text).flatMap(({ key, words }) => {
    const path = files.get(key);
    if (path === undefined || !existsSync(join(root, path))) return [`${key}: no such file`];
    const tests = read(path);
    return words.filter((name) => !tests.includes(name)).map((name) => `${path} has no test "${name}"`);
  });
  assert.deepEqual(wrong, []);
});

test("no row of compatibility.md says works without a test", () => {
  const rows = read(compatibility)
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("| field | status"));
  const statuses = rows.map((row) => row.split(/(?<!\\)\|/).map((cell) => cell.trim()));
  const unproven = rows.filter((row, i) => statuses[i]?.includes("works") && citations(row).length === 0);
  assert.deepEqual(unproven, []);
  assert.ok(statuses.filter((cells) => cells.includes("works")).length > 50);
});

test("the page of commands is up to date", () => {
  const page = read("docs/look-up/commands.md");
  assert.equal(page, commandsPage(page), "run: node tools/commands-page.ts");
});
