import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { completeLock } from "./complete-lock.ts";

test("a missing package of another platform is added with its version and platform", () => {
  const lock = {
    packages: {
      "node_modules/tool": {
        version: "1.0.0",
        dev: true,
        optionalDependencies: { "@tool/linux-x64-musl": "1.0.0", "@tool/linux-x64": "1.0.0" },
      },
      "node_modules/@tool/linux-x64": { version: "1.0.0" },
    },
  };
  assert.deepEqual(completeLock(lock), ["@tool/linux-x64-musl"]);
  assert.deepEqual((lock.packages as Record<string, unknown>)["node_modules/@tool/linux-x64-musl"], {
    version: "1.0.0",
    os: ["linux"],
    cpu: ["x64"],
    libc: ["musl"],
    dev: true,
    optional: true,
  });
});

test("the committed lock is complete", () => {
  const lock = JSON.parse(readFileSync(join(import.meta.dirname, "../package-lock.json"), "utf8"));
  assert.deepEqual(completeLock(lock), []);
});
