import assert from "node:assert/strict";
import { test } from "node:test";
import { loggingPath } from "./log-levels.ts";

test("levels are shown, set for all, set for some, and reset", () => {
  assert.equal(loggingPath(undefined, false), "/logging");
  assert.equal(loggingPath("debug", false), "/logging?level=debug");
  assert.equal(loggingPath("all:debug", false), "/logging?level=debug");
  assert.equal(
    loggingPath("xds:debug, upstream=info", false),
    `/logging?paths=${encodeURIComponent("xds:debug,upstream:info")}`,
  );
  assert.equal(loggingPath(undefined, true), "/logging?level=warning");
});

test("levels that mean nothing are refused with what to write", () => {
  for (const level of ["", "xds:", ":debug", "a:b:c", "debug,"]) {
    assert.throws(() => loggingPath(level, false), /is not a log level; write debug, or xds:debug/);
  }
  assert.throws(() => loggingPath("debug,xds:info", false), /mixes a level for all loggers/);
});
