// The rewriter against the engine as the judge: what it makes is valid, does the same, and can be stopped.
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import fc from "fast-check";
import wabt from "wabt";
import { type EngineExports, engine } from "../engine.ts";
import { compilePlugin } from "../testing/compile.ts";
import { makeQuestion } from "../watch.ts";
import { type ModuleLimits, prepareModule, watchTable } from "./prepare-module.ts";

const limits: ModuleLimits = { maxMemoryPages: 10, maxTableEntries: 100 };

let assemble: (text: string) => Uint8Array;
before(async () => {
  const { parseWat } = await wabt();
  const features = {
    exceptions: true,
    simd: true,
    threads: true,
    tail_call: true,
    reference_types: true,
    bulk_memory: true,
  };
  assemble = (text) => parseWat("test.wat", text, features).toBinary({ write_debug_names: true }).buffer;
});

/** Rewritten and instantiated, with the answer to its question. */
function start(module: Uint8Array, mustStop: () => boolean = () => false): EngineExports {
  const { bytes, problem } = prepareModule(module, limits);
  assert.equal(problem, null);
  const instance = new engine.Instance(new engine.Module(bytes!), { env: { log: () => {}, five: () => 5 } });
  (instance.exports[watchTable] as { set(index: number, value: unknown): void }).set(0, makeQuestion(mustStop));
  return instance.exports;
}

type Numeric = (...values: number[]) => number;

test("a module that imports, calls, loops and branches does the same as before", () => {
  const exports = start(
    assemble(`(module
      (import "env" "five" (func $five (result i32)))
      (memory (export "memory") 1)
      (table 2 funcref)
      (elem (i32.const 0) $double $five)
      (global $start (mut i32) (i32.const 3))
      (type $unary (func (param i32) (result i32)))
      (func $double (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
      (func (export "sum") (param $n i32) (result i32) (local $sum i32)
        (local.set $sum (global.get $start))
        (block $done
          (loop $next
            (br_if $done (i32.eqz (local.get $n)))
            (local.set $sum (i32.add (local.get $sum) (local.get $n)))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $next)))
        (i32.add (local.get $sum) (call_indirect (type $unary) (call $five) (i32.const 0))))
      (func (export "pick") (param i32) (result i32)
        (block $b (block $a (br_table $a $b (local.get 0))) (return (i32.const 10)))
        (i32.const 20)))`),
  );
  assert.equal((exports["sum"] as Numeric)(10), 3 + 55 + 10);
  assert.equal((exports["pick"] as Numeric)(0), 10);
  assert.equal((exports["pick"] as Numeric)(1), 20);
});

test("instructions of every proposal that compilers use are walked over", () => {
  const { bytes, problem } = prepareModule(
    assemble(
      `(module
      (memory 1)
      (table $t 4 externref)
      (tag $e (param i32))
      (data $d "abc")
      (elem $s func $f)
      (func $f (result i32) (i32.const 1))
      (func $tail (result i32) (return_call $f))
      (func (result i32) (local v128 f64 i64 externref funcref)
        (local.set 0 (v128.const i32x4 1 2 3 4))
        (local.set 0 (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 (local.get 0) (local.get 0)))
        (v128.store offset=16 (i32.const 0) (i32x4.add (local.get 0) (v128.load (i32.const 0))))
        (local.set 0 (v128.load8_lane offset=3 7 (i32.const 0) (local.get 0)))
        (local.set 0 (v128.load32_zero (i32.const 0)))
        (drop (i32x4.extract_lane 2 (local.get 0)))
        (local.set 1 (f64.const 3.25))
        (local.set 2 (i64.trunc_sat_f64_s (local.get 1)))
        (local.set 2 (i64.extend32_s (i64.const -9223372036854775808)))
        (memory.init $d (i32.const 0) (i32.const 0) (i32.const 3))
        (data.drop $d)
        (memory.copy (i32.const 8) (i32.const 0) (i32.const 3))
        (memory.fill (i32.const 8) (i32.const 0) (i32.const 3))
        (drop (table.grow $t (ref.null extern) (i32.const 1)))
        (table.fill $t (i32.const 0) (ref.null extern) (i32.const 1))
        (table.set $t (i32.const 0) (local.get 3))
        (drop (ref.is_null (table.get $t (i32.const 0))))
        (local.set 4 (ref.func $f))
        (drop (select (result funcref) (local.get 4) (ref.null func) (i32.const 1)))
        (drop (f32.const 1.5))
        (i32.const 0)))`,
    ),
    limits,
  );
  assert.equal(problem, null);
  assert.doesNotThrow(() => new engine.Module(bytes!));
});

test("exceptions are walked over, and catching them does not help against the stop", () => {
  const exports = start(
    assemble(`(module
      (tag $e)
      (func (export "spin")
        (loop $again
          (try (do (loop $inner (br $inner))) (catch_all (nop)))
          (br $again))))`),
    () => true,
  );
  assert.throws(() => (exports["spin"] as Numeric)(), /unreachable/);
});

describe("what does not end by itself ends when the answer is stop", () => {
  for (const [what, text] of [
    ["a loop", `(module (func (export "run") (loop br 0)))`],
    [
      "a recursion that always returns",
      `(module (func $f (export "run") (param i32) (result i32)
      (if (result i32) (local.get 0)
        (then (i32.add (call $f (i32.sub (local.get 0) (i32.const 1))) (call $f (i32.sub (local.get 0) (i32.const 1)))))
        (else (i32.const 1)))))`,
    ],
  ] as const) {
    test(what, () => {
      let asked = 0;
      const exports = start(assemble(text), () => ++asked > 3);
      assert.throws(() => (exports["run"] as Numeric)(1000), /unreachable/);
      assert.equal(asked, 4);
    });
  }

  test("a start function, for which nobody can be asked", () => {
    const { bytes } = prepareModule(assemble(`(module (func $s (loop br 0)) (start $s))`), limits);
    assert.throws(() => new engine.Instance(new engine.Module(bytes!), {}), /RuntimeError/);
  });
});

test("memory and tables stay within the limits", () => {
  const exports = start(
    assemble(`(module
      (memory (export "memory") 2)
      (table $t 5 externref)
      (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
      (func (export "grow-table") (param i32) (result i32) (table.grow $t (ref.null extern) (local.get 0))))`),
  );
  assert.equal((exports["grow"] as Numeric)(8), 2);
  assert.equal((exports["grow"] as Numeric)(1), -1);
  assert.equal((exports["grow-table"] as Numeric)(95), 5);
  assert.equal((exports["grow-table"] as Numeric)(1), -1);
  // A limit of the module's own that is lower stays.
  const own = start(
    assemble(`(module (memory 1 2) (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))`),
  );
  assert.equal((own["grow"] as Numeric)(1), 1);
  assert.equal((own["grow"] as Numeric)(1), -1);
});

test("a module that can't be kept within the limits is refused with the reason", () => {
  const problem = (text: string): string | null => prepareModule(assemble(text), limits).problem;
  assert.match(problem(`(module (memory 11))`) ?? "", /begins with 11 pages of memory, and the limit is 10/);
  assert.match(problem(`(module (table 101 funcref))`) ?? "", /begins with 101 entries of a table/);
  assert.match(problem(`(module (import "env" "memory" (memory 1)))`) ?? "", /imports its memory/);
  assert.match(problem(`(module (memory 1 2 shared))`) ?? "", /shared or 64-bit memory/);
  assert.match(prepareModule(Buffer.from("not wasm"), limits).problem ?? "", /not a WebAssembly module/);
  assert.match(prepareModule(Buffer.from("0061736d0d000100", "hex"), limits).problem ?? "", /version 1/);
});

test("a module without functions, and one without anything, stay valid", () => {
  for (const text of [`(module)`, `(module (memory 1) (export "memory" (memory 0)))`]) {
    assert.deepEqual(Object.keys(start(assemble(text))).includes(watchTable), true);
  }
});

test("a module of a compiler, cut or changed anywhere, is rewritten to something or refused", async () => {
  const module = await compilePlugin("scripted");
  assert.doesNotThrow(
    () => new engine.Module(prepareModule(module, { maxMemoryPages: 2048, maxTableEntries: 1000 }).bytes!),
  );
  fc.assert(
    fc.property(fc.nat(module.length - 1), fc.nat(255), fc.boolean(), (at, byte, cuts) => {
      const changed = Buffer.from(module);
      changed[at] = byte;
      const { bytes, problem } = prepareModule(cuts ? changed.subarray(0, at) : changed, limits);
      return (bytes === null) !== (problem === null);
    }),
    { numRuns: 300 },
  );
});
