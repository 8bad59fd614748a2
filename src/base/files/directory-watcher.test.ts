import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { DirectoryWatcher } from "./directory-watcher.ts";

let folder = "";
let watcher: DirectoryWatcher;
let problems: string[] = [];
let changed: () => void = () => {};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "outrigger-watch-"));
  problems = [];
  watcher = new DirectoryWatcher({
    onChange: () => changed(),
    onProblem: (directory) => problems.push(directory),
    settleMs: 5,
  });
});
afterEach(async () => {
  await watcher.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Resolves at the next call; the timer keeps the process alive, which a watcher does not. */
function change(): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no change was seen")), 5000);
    changed = () => {
      clearTimeout(timer);
      changed = () => {};
      resolve();
    };
  });
}

test("a directory that is new counts as a change, and then what happens in it", async () => {
  const first = change();
  watcher.follow(new Set([folder]));
  await first;
  const second = change();
  writeFileSync(join(folder, "a"), "");
  await second;
  const third = change();
  renameSync(join(folder, "a"), join(folder, "b"));
  await third;
});

test("a directory that cannot be watched is reported, and the others are watched", async () => {
  const first = change();
  watcher.follow(new Set([join(folder, "absent"), folder]));
  await first;
  assert.deepEqual(problems, [join(folder, "absent")]);
  const second = change();
  writeFileSync(join(folder, "a"), "");
  await second;
});

test("a directory that is removed and made again is watched again when it is named again", async () => {
  const below = join(folder, "below");
  mkdirSync(below);
  const first = change();
  watcher.follow(new Set([folder, below]));
  await first;
  const removed = change();
  rmSync(below, { recursive: true });
  await removed;
  watcher.follow(new Set([folder]));
  const made = change();
  mkdirSync(below);
  await made;
  const followed = change();
  watcher.follow(new Set([folder, below]));
  await followed;
  const written = change();
  writeFileSync(join(below, "a"), "");
  await written;
});

test("after the stop nothing is called", async () => {
  const first = change();
  watcher.follow(new Set([folder]));
  await first;
  let calls = 0;
  changed = () => calls++;
  writeFileSync(join(folder, "a"), "");
  await watcher.stop();
  await new Promise((resolve) => {
    setTimeout(resolve, 20);
  });
  assert.equal(calls, 0);
});
