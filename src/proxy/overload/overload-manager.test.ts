import assert from "node:assert/strict";
import { test } from "node:test";
import { LogRegistry } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import { defaultOverload, type OverloadConfig } from "../config/overload.ts";
import { Stats } from "../stats/stats.ts";
import { LoadShedding } from "./load-shedding.ts";
import { OverloadManager } from "./overload-manager.ts";

interface Process {
  heap: number;
  resident: number;
  limit: number | null;
  connections: number;
  /** How late each round begins. */
  lateMs: number;
}

function watch(config: OverloadConfig = defaultOverload, loops = 1) {
  const clock = new ManualClock(1_000_000);
  const process: Process = { heap: 10, resident: 10, limit: 100, connections: 0, lateMs: 0 };
  const lines: string[] = [];
  const stats = new Stats();
  const shedding = new LoadShedding();
  let shrunk = 0;
  let isDue = false;
  const manager = new OverloadManager({
    config,
    shedding,
    loops,
    clock: {
      now: () => clock.now(),
      after: (delayMs, callback) =>
        clock.after(delayMs, () => {
          isDue = true;
          callback();
        }),
    },
    stats,
    log: new LogRegistry({ write: (line) => void lines.push(line) }).scope("proxy"),
    shrinkHeap: () => void shrunk++,
    readings: {
      heap: () => ({ used: process.heap * 1e6, limit: 100e6 }),
      residentBytes: () => process.resident * 1e6,
      memoryLimit: () => (process.limit === null ? null : process.limit * 1e6),
      cgroup: () => ({ used: process.resident * 1e6, limit: 200e6 }),
      connections: () => process.connections,
      monotonicMs: () => {
        const late = isDue ? process.lateMs : 0;
        isDue = false;
        return clock.now() + late;
      },
    },
  });
  const value = (name: string): number | undefined => stats.values().find((stat) => stat.name === name)?.value;
  return { clock, process, lines, shedding, value, manager, shrunk: () => shrunk };
}

const stopRequests = "overload.envoy.overload_actions.stop_accepting_requests.active";

test("without a configuration a full heap stops requests, and stops them until there is room again", () => {
  const { clock, process, lines, shedding, value } = watch();
  clock.advance(250);
  assert.equal(shedding.isActive, false);
  assert.equal(value(stopRequests), 0);
  process.heap = 92;
  clock.advance(250);
  assert.equal(
    shedding.stopsRequest(() => 0.999),
    true,
  );
  assert.equal(shedding.why, "the heap is at 92 %: 92 of 100 MB");
  assert.equal(value(stopRequests), 1);
  assert.equal(value("overload.outrigger.resource_monitors.heap.pressure"), 92);
  shedding.shedRequests += 7;
  process.heap = 88;
  clock.advance(250);
  assert.equal(shedding.stopRequests, 1, "just below the threshold it does not flicker");
  process.heap = 87;
  clock.advance(250);
  assert.equal(shedding.stopRequests, 0);
  assert.equal(value(stopRequests), 0);
  const said = lines.filter((line) => line.includes("stop_accepting_requests"));
  assert.equal(said.length, 2);
  assert.match(said[0] ?? "", /overload: envoy\.overload_actions\.stop_accepting_requests begins: the heap is at 92 %/);
  assert.match(said[1] ?? "", /ends after 0\.5 s, 7 requests were answered with 503: the heap is at 87 %/);
});

test("memory near the limit of the system closes connections, shortens idle ones, and gives memory back", () => {
  const { clock, process, shedding, shrunk } = watch();
  process.resident = 90;
  clock.advance(250);
  assert.equal(shedding.stopRequests, 0);
  assert.equal(Math.round(shedding.connectionIdleMs(1_000_000)), 501_000, "halfway between 85 and 95 %");
  assert.equal(shedding.connectionIdleMs(0), 0);
  assert.equal(shedding.streamIdleMs(1_000_000), 1_000_000);
  assert.equal(shrunk(), 1);
  clock.advance(9_500);
  assert.equal(shrunk(), 1, "not in every round");
  clock.advance(500);
  assert.equal(shrunk(), 2);
  process.resident = 95;
  clock.advance(250);
  assert.equal(shedding.disableKeepAlive, 1);
  assert.equal(shedding.stopRequests, 1);
  assert.equal(shedding.connectionIdleMs(1_000_000), 2000);
});

test("without a limit of the system the memory is not judged", () => {
  const { clock, process, shedding, value } = watch();
  process.limit = null;
  process.resident = 1e9;
  clock.advance(1000);
  assert.equal(shedding.isActive, false);
  assert.equal(value("overload.outrigger.resource_monitors.memory.failed_updates"), 4);
});

test("one long turn of the event loop is no overload, a delay that stands is", () => {
  const { clock, process, shedding } = watch();
  clock.advance(1000);
  process.lateMs = 5000;
  clock.advance(250);
  process.lateMs = 0;
  clock.advance(750);
  assert.equal(shedding.isActive, false);
  process.lateMs = 400;
  clock.advance(500);
  assert.equal(shedding.stopRequests, 0);
  clock.advance(500);
  assert.equal(shedding.stopRequests, 1);
  assert.equal(shedding.why, "events wait 400 ms for their turn, of 300 ms");
  process.lateMs = 0;
  clock.advance(1000);
  assert.equal(shedding.isActive, false);
});

test("a scaled trigger acts on a share, and the strongest trigger decides", () => {
  const { clock, process, shedding, value } = watch({
    ...defaultOverload,
    monitors: [
      { name: "fixed", type: "fixed_heap", maxBytes: 100e6 },
      { name: "group", type: "cgroup_memory", maxBytes: 0 },
    ],
    actions: [
      {
        name: "disable_http_keepalive",
        triggers: [
          { monitor: "fixed", scaling: 0.5, saturation: 0.9 },
          { monitor: "group", scaling: 0.4, saturation: 0.4 },
        ],
      },
    ],
  });
  process.resident = 70;
  clock.advance(250);
  assert.equal(shedding.disableKeepAlive.toFixed(2), "0.50");
  assert.equal(
    shedding.asksToClose(() => 0.49),
    true,
  );
  assert.equal(
    shedding.asksToClose(() => 0.51),
    false,
  );
  assert.equal(value("overload.envoy.overload_actions.disable_http_keepalive.scale_percent"), 50);
  assert.equal(value("overload.envoy.overload_actions.disable_http_keepalive.active"), 0);
  process.resident = 80;
  clock.advance(250);
  assert.equal(shedding.disableKeepAlive, 1);
});

test("event loops share the limit of connections", () => {
  const { clock, process, value } = watch(
    { ...defaultOverload, monitors: [{ name: "cx", type: "downstream_connections", max: 9 }], actions: [] },
    2,
  );
  process.connections = 4;
  clock.advance(250);
  assert.equal(value("overload.cx.pressure"), 80);
});

test("a stopped manager looks no more", async () => {
  const { clock, process, shedding, manager } = watch();
  await manager.stop();
  process.heap = 99;
  clock.advance(1000);
  assert.equal(shedding.isActive, false);
});
