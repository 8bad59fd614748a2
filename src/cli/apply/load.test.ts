import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { checkObjects } from "./check.ts";
import { configurationDirectories, loadConfiguration } from "./load.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-load-"));
const object = (name: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\n`;
const write = (path: string, text: string): void => {
  mkdirSync(join(folder, path, ".."), { recursive: true });
  writeFileSync(join(folder, path), text);
};

before(() => {
  write("config/b.yaml", `${object("b1")}---\n${object("b2")}`);
  write("config/deep/a.yml", object("a"));
  write("config/c.json", JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" } }));
  write("config/images.yaml", "images: {}\n");
  write("config/notes.txt", "no: yaml");
  write("config/node_modules/x/x.yaml", object("module"));
  write("config/.git/x.yaml", object("hidden"));
});
after(() => rmSync(folder, { recursive: true }));

const names = (paths: string[], stdin?: string): string[] =>
  loadConfiguration(paths, folder, stdin).objects.map(({ object: { metadata } }) => metadata.name);

test("a directory is read with all below, in order, without hidden folders and node_modules", () => {
  assert.deepEqual(names(["config"]), ["b1", "b2", "c", "a"]);
  assert.deepEqual(loadConfiguration(["config"], folder).imageFiles, [join(folder, "config/images.yaml")]);
});

test("files, and standard input, are read in the order they are named", () => {
  assert.deepEqual(names(["config/deep/a.yml", "-", "config/c.json"], object("stdin")), ["a", "stdin", "c"]);
});

test("a file that is not UTF-8 is told with the place of the first other byte", () => {
  writeFileSync(join(folder, "latin1.yaml"), Buffer.from(`${object("x")}data: {a: "caf\xe9"}\n`, "latin1"));
  const { objects, issues } = loadConfiguration(["latin1.yaml"], folder);
  assert.deepEqual(
    [objects.length, ...issues.map(({ code, message, position }) => [code, message, position])],
    [0, ["OUT0001", "the file is not UTF-8", { file: "latin1.yaml", line: 4, column: 15 }]],
  );
});

test("places are told relative to the working directory", () => {
  const [, second] = loadConfiguration(["config/b.yaml"], folder).objects;
  const { file, line } = second?.position("") ?? {};
  assert.deepEqual([file, line], ["config/b.yaml", 5]);
});

test("a path that is not there is a sentence", () => {
  assert.throws(() => loadConfiguration(["nowhere"], folder), /^Error: nowhere: no such file or directory$/);
});

test("a watcher looks at the directories of files and at all below directories", () => {
  assert.deepEqual(configurationDirectories(["config", "config/b.yaml"], folder), [
    join(folder, "config"),
    join(folder, "config/deep"),
    join(folder, "config"),
  ]);
});

test("an object that is wrong in itself is kept out, the others pass", () => {
  write(
    "mixed.yaml",
    `${object("good")}---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: bad}
spec: {mtls: {mode: SOMETIMES}}
`,
  );
  const { accepted, refused, issues } = checkObjects(loadConfiguration(["mixed.yaml"], folder).objects);
  const shown = (parsed: typeof accepted): string[] => parsed.map((item) => item.object.metadata.name);
  assert.deepEqual([shown(accepted), shown(refused)], [["good"], ["bad"]]);
  assert.match(JSON.stringify(issues), /SOMETIMES/);
});
