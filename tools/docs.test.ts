// The documentation against the project: links lead somewhere, and what docs/compatibility.md calls proven and SECURITY.md
// promises is proven by tests that exist.
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { commandsPage } from "./commands-page.ts";

const root = join(import.meta.dirname, "..");
const compatibility = "docs/compatibility.md";
const security = "SECURITY.md";
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

/** What the page cites and the project has not. */
function missingTests(page: string): string[] {
  const text = read(page);
  const files = new Map([...text.matchAll(/^\[([\w-]+)\]: (\S+)$/gm)].map(([, key, path = ""]) => [key, path]));
  return citations(text).flatMap(({ key, words }) => {
    const target = files.get(key);
    const path = target === undefined ? undefined : join(dirname(page), target);
    if (path === undefined || !existsSync(join(root, path))) return [`${key}: no such file`];
    const tests = read(path);
    return words.filter((name) => !tests.includes(name)).map((name) => `${path} has no test "${name}"`);
  });
}

for (const page of [compatibility, security]) {
  test(`every test that ${page} cites exists`, () => assert.deepEqual(missingTests(page), []));
}

test("every promise of SECURITY.md, and every attack, has a test", () => {
  const rows = read(security)
    .split(/^#+ /m)
    .filter((section) => /^\| (promise|attack) \| tests \|$/m.test(section))
    .flatMap((section) => section.split("\n").filter((line) => /^\| (?!promise|attack)/.test(line)));
  assert.ok(rows.length > 40, `${rows.length} rows`);
  assert.deepEqual(
    rows.filter((row) => citations(row).length === 0),
    [],
  );
  // An attack is named where its tests are.
  const attacks = rows.flatMap((row) => {
    const [, title = "", tests = ""] = row.split("|");
    const cited = citations(tests)
      .flatMap(({ words }) => words)
      .join(" ");
    return [...title.matchAll(/\b(?:CVE-\d{4}-\d+|GHSA(?:-\w{4}){3}|ISTIO-SECURITY-[\d-]+\d)/g)].flatMap(([id]) =>
      cited.includes(id) || title.includes(`${id} to `) ? [] : [`${id} has no test of its name`],
    );
  });
  assert.deepEqual(attacks, []);
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
