import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { ProcessCells, processCellsMemory } from "./process-cells.ts";

/** Runs the code in that many threads at once, each with `cells` and its number. */
async function inThreads(count: number, memory: ReturnType<typeof processCellsMemory>, code: string): Promise<void> {
  const program = `
    import { workerData } from "node:worker_threads";
    import { ProcessCells } from ${JSON.stringify(new URL("./process-cells.ts", import.meta.url).href)};
    const cells = new ProcessCells(workerData.memory, workerData.thread);
    ${code}`;
  const url = new URL(`data:text/javascript,${encodeURIComponent(program)}`);
  const workers = Array.from({ length: count }, (_, thread) => new Worker(url, { workerData: { memory, thread } }));
  for (const [code] of await Promise.all(workers.map((worker) => once(worker, "exit")))) assert.equal(code, 0);
}

test("threads that count under one name stay within one limit, and lose nothing", async () => {
  const memory = processCellsMemory(4);
  await inThreads(
    3,
    memory,
    `
    for (let name = 0; name < 50; name++) {
      const cell = cells.claim("cell " + name);
      for (let i = 0; i < 1000; i++) {
        if (cell.take(0, 10)) { if (cell.total(0) > 13) throw new Error("too many"); cell.give(0); }
        cell.take(1, Infinity);
      }
    }`,
  );
  const cells = new ProcessCells(memory, 3);
  for (let name = 0; name < 50; name++) {
    const cell = cells.claim(`cell ${name}`);
    assert.deepEqual([cell?.total(0), cell?.total(1)], [0, 3000]);
  }
});

test("two numbers are changed together under the lock", async () => {
  const memory = processCellsMemory(3);
  await inThreads(
    2,
    memory,
    `
    const cell = cells.claim("bucket");
    for (let i = 0; i < 20000; i++) {
      cell.lock();
      cell.tokens = cell.tokens + 1;
      cell.since = cell.since + 2;
      cell.unlock();
    }`,
  );
  const cell = new ProcessCells(memory, 2).claim("bucket");
  assert.deepEqual([cell?.tokens, cell?.since], [40_000, 80_000]);
});

test("what a dead thread held is given back, and only that", () => {
  const memory = processCellsMemory(2);
  const [first, second] = [new ProcessCells(memory, 0), new ProcessCells(memory, 1)];
  const [mine, others] = [first.claim("a"), second.claim("a")];
  assert.equal(mine?.take(0, 3), true);
  assert.equal(others?.take(0, 3), true);
  assert.equal(others?.take(0, 3), true);
  assert.equal(mine?.take(0, 3), false);
  first.forget(1);
  assert.equal(mine?.total(0), 1);
  assert.equal(mine?.take(0, 3), true);
});

test("a full table gives no more cells, and those that are there stay", () => {
  const cells = new ProcessCells(processCellsMemory(1), 0);
  let given = 0;
  while (given < 20_000 && cells.claim(`cell ${given}`) !== null) given++;
  assert.equal(given, 16_384);
  assert.notEqual(cells.claim("cell 0"), null);
});
