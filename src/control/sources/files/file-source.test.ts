import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import type { SourceChange } from "../config-source.ts";
import { FileSource } from "./file-source.ts";

let folder = "";
let source: FileSource | undefined;
let changes: SourceChange[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "outrigger-files-"));
  changes = [];
});
afterEach(async () => {
  await source?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const virtualService = (name: string, host = name): string =>
  `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: ${name}}\nspec: {hosts: [${host}]}\n`;

async function start(...paths: string[]): Promise<FileSource> {
  source = new FileSource({ paths: paths.length > 0 ? paths : [folder], log: silentLogger, relativeTo: folder });
  await source.start((batch) => changes.push(...batch));
  return source;
}

function names(): string {
  return [...(source?.objects() ?? [])]
    .map(({ object }) => object.metadata.name)
    .sort()
    .join();
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `never: ${condition}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
  }
}

test("reads directories in order, keeps places, and gives objects without a namespace the default one", async () => {
  mkdirSync(join(folder, "sub"));
  writeFileSync(join(folder, "sub", "b.yml"), `# comment\n${virtualService("b")}---\n${virtualService("c")}`);
  writeFileSync(join(folder, "notes.txt"), "not yaml");
  const { objects } = await start();
  assert.equal(names(), "b,c");
  const [, second] = [...objects.call(source)];
  assert.equal(second?.object.metadata.namespace, "default");
  assert.deepEqual(second?.position?.("spec.hosts"), { file: join("sub", "b.yml"), line: 10, column: 8 });
});

test("an edit says which object changed, and only that one", async () => {
  const file = join(folder, "a.yaml");
  writeFileSync(file, `${virtualService("a")}---\n${virtualService("b")}`);
  await start();
  writeFileSync(file, `${virtualService("a")}---\n${virtualService("b", "other")}`);
  await until(() => changes.length > 0);
  assert.deepEqual(
    changes.map(({ change, object }) => `${change} ${object.metadata.name}`),
    ["changed b"],
  );
});

test("new files, renamed files, removed files and new directories are followed", async () => {
  await start();
  writeFileSync(join(folder, "a.yaml"), virtualService("a"));
  await until(() => names() === "a");
  mkdirSync(join(folder, "deep"));
  await until(() => changes.length === 1);
  writeFileSync(join(folder, "deep", "b.yaml"), virtualService("b"));
  await until(() => names() === "a,b");
  renameSync(join(folder, "a.yaml"), join(folder, "a.yaml.bak"));
  await until(() => names() === "b");
  unlinkSync(join(folder, "deep", "b.yaml"));
  await until(() => names() === "");
});

test("the swap of a mounted ConfigMap's ..data link is seen", async () => {
  mkdirSync(join(folder, "..v1"));
  mkdirSync(join(folder, "..v2"));
  writeFileSync(join(folder, "..v1", "mesh.yaml"), virtualService("one"));
  writeFileSync(join(folder, "..v2", "mesh.yaml"), virtualService("two"));
  symlinkSync("..v1", join(folder, "..data"));
  symlinkSync("..data/mesh.yaml", join(folder, "mesh.yaml"));
  await start();
  assert.equal(names(), "one");
  symlinkSync("..v2", join(folder, "..data_tmp"));
  renameSync(join(folder, "..data_tmp"), join(folder, "..data"));
  await until(() => names() === "two");
});

test("an invalid document costs only itself, and its issue has a place", async () => {
  writeFileSync(join(folder, "a.yaml"), `${virtualService("a")}---\nkind: [\n---\n${virtualService("b")}`);
  await start();
  assert.equal(names(), "a,b");
  const [issue] = source?.issues() ?? [];
  assert.equal(issue?.position?.file, "a.yaml");
  assert.ok((issue?.position?.line ?? 0) >= 6);
});

test("an object whose document is no longer valid stays as it was until the file is valid again", async () => {
  const file = join(folder, "a.yaml");
  const broken = virtualService("b").replace("[b]", "[b");
  writeFileSync(file, `${virtualService("a")}---\n${virtualService("b")}`);
  await start();
  writeFileSync(file, `${virtualService("a", "other")}---\n${broken}`);
  await until(() => changes.length > 0);
  assert.deepEqual(
    changes.map(({ change, object }) => `${change} ${object.metadata.name}`),
    ["changed a"],
  );
  assert.equal(names(), "a,b");
  writeFileSync(file, `${broken}---\n${virtualService("c")}`);
  await until(() => names() === "a,b,c");
  writeFileSync(file, virtualService("c"));
  await until(() => names() === "c");
  assert.deepEqual(source?.issues(), []);
});

test("an object that moves out of a broken file counts where it is now", async () => {
  writeFileSync(join(folder, "a.yaml"), virtualService("a", "first"));
  await start();
  writeFileSync(join(folder, "a.yaml"), "kind: [");
  await until(() => source?.issues().length === 1);
  writeFileSync(join(folder, "b.yaml"), virtualService("a", "second"));
  await until(() => changes.length > 0);
  const [only] = [...(source?.objects() ?? [])];
  assert.deepEqual(only?.object["spec"], { hosts: ["second"] });
  assert.equal(source?.issues().length, 1);
});

test("the second object of the same name is reported and has no effect", async () => {
  writeFileSync(join(folder, "a.yaml"), virtualService("a", "first"));
  writeFileSync(join(folder, "b.yaml"), virtualService("a", "second"));
  await start();
  const [only] = [...(source?.objects() ?? [])];
  assert.deepEqual(only?.object["spec"], { hosts: ["first"] });
  assert.match(source?.issues()[0]?.message ?? "", /VirtualService a is already defined at a.yaml:1/);
  assert.equal(source?.issues()[0]?.position?.file, "b.yaml");
});

test("a single file is followed through an editor's replacement", async () => {
  const file = join(folder, "one.yaml");
  writeFileSync(file, virtualService("a"));
  await start(file);
  writeFileSync(join(folder, "tmp"), virtualService("b"));
  renameSync(join(folder, "tmp"), file);
  await until(() => names() === "b");
});
