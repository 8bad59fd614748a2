// The host without a stream: where code comes from, what VMs share, how plugins begin and end.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import wabt from "wabt";
import { ManualClock } from "#base/time/clock.ts";
import { Stats } from "../stats/stats.ts";
import { EventLoop } from "../transport/event-loop.ts";
import type { GrpcCalls } from "./grpc-calls.ts";
import type { HttpCallResponse, HttpCalls } from "./http-calls.ts";
import type { WasmPlugin } from "./plugin.ts";
import type { WasmCode } from "./plugin-config.ts";
import { compilePlugin } from "./testing/compile.ts";
import { pluginConfig } from "./testing/plugin-config.ts";
import { type PluginUse, WasmHost, type WasmHostOptions } from "./wasm-host.ts";

let scripted: Uint8Array;
let assemble: (text: string) => Uint8Array;
before(async () => {
  scripted = await compilePlugin("scripted");
  const { parseWat } = await wabt();
  assemble = (text) => parseWat("test.wat", text).toBinary({}).buffer;
});

interface Setting {
  readonly host: WasmHost;
  readonly clock: ManualClock;
  readonly logs: string[];
  stat(name: string): number | undefined;
  /** Takes a plugin into use and waits until it has loaded or failed. */
  load(overrides: Parameters<typeof pluginConfig>[1], module?: Uint8Array): Promise<PluginUse>;
}

const noCalls: HttpCalls = { hasCluster: () => false, send: () => () => {} };
const noGrpc: GrpcCalls = { hasCluster: () => false, start: () => assert.fail("no call can begin") };

function setUp(options: Partial<WasmHostOptions> = {}): Setting {
  const logs: string[] = [];
  const line = (level: string) => (message: string) => void logs.push(`${level} ${message}`);
  const log = { error: line("error"), warn: line("warn"), info: line("info"), debug: line("debug") };
  const clock = new ManualClock(1000);
  const stats = new Stats();
  const onBroken = (error: unknown): void => assert.fail(String(error));
  const loop = new EventLoop({ clock, now: () => clock.now(), random: () => 0.5, onBroken });
  const host = new WasmHost({ loop, log, stats, calls: noCalls, grpc: noGrpc, ...options });
  return {
    host,
    clock,
    logs,
    stat: (name) => stats.values().find((it) => it.name === name)?.value,
    load: async (overrides, module = scripted) => {
      const use = host.use(pluginConfig(module, overrides));
      await loaded(use.plugin);
      return use;
    },
  };
}

function loaded(plugin: WasmPlugin): Promise<void> {
  return new Promise((resolve) => {
    if (plugin.isLoading) plugin.whenLoaded(resolve);
    else resolve();
  });
}

function script(text: string): { readonly configuration: Buffer } {
  return { configuration: Buffer.from(text) };
}

describe("code", () => {
  test("comes from a file", async () => {
    const folder = mkdtempSync(join(tmpdir(), "outrigger-wasm-"));
    try {
      const { load } = setUp();
      const path = join(folder, "plugin.wasm");
      const code: WasmCode = { type: "file", path };
      assert.match((await load({ vm: { code } })).plugin.failure ?? "", /plugin\.wasm: it can't be read.*ENOENT/);
      writeFileSync(path, scripted);
      assert.equal((await load({ name: "again", vm: { code } })).plugin.failure, null);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("that is no module of the ABI is refused with the reason, and without hope of a reload", async () => {
    for (const [text, reason] of [
      [`(module (memory (export "memory") 1))`, /no proxy-wasm module of ABI 0\.1\.0, 0\.2\.0 or 0\.2\.1/],
      [`(module (func (export "proxy_abi_version_0_2_1")))`, /exports no memory/],
      [
        `(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))`,
        /neither proxy_on_memory_allocate nor malloc/,
      ],
      [`(module (import "env" "proxy_fly" (func)) (import "sky" "blue" (func)))`, /env\.proxy_fly, sky\.blue/],
      [`(module (memory (export "memory") 4000))`, /begins with 4000 pages of memory/],
    ] as const) {
      const { load, logs } = setUp();
      const { plugin } = await load({ failurePolicy: "fail_reload" }, assemble(text));
      assert.match(plugin.failure ?? "", reason);
      assert.equal(plugin.rootForStream(), null);
      assert.match(logs.join(), /error the wasm plugin "test" can't be used/);
    }
    const { load } = setUp();
    assert.match(
      (await load({}, Buffer.from("<html>"))).plugin.failure ?? "",
      /inline code: this is not a WebAssembly module/,
    );
  });

  describe("that is remote", () => {
    const remote = (overrides: Partial<Extract<WasmCode, { type: "remote" }>> = {}): WasmCode => ({
      type: "remote",
      uri: "http://modules.test/plugin.wasm?v=1",
      cluster: "modules",
      timeoutMs: 500,
      sha256: createHash("sha256").update(scripted).digest("hex"),
      retries: 2,
      backoffBaseMs: 100,
      backoffMaxMs: 1000,
      ...overrides,
    });
    const answer = (status: string, body: Uint8Array): HttpCallResponse => ({
      headers: [[":status", status]],
      body: Buffer.from(body),
      trailers: [],
    });

    /** Answers calls one after the other, and moves the clock so that the pauses between them pass. */
    function served(answers: (HttpCallResponse | null)[]): Setting & { readonly asked: string[] } {
      const asked: string[] = [];
      const setting: Setting = setUp({
        calls: {
          hasCluster: (name) => name === "modules",
          send: ({ cluster, headers, timeoutMs }, onEnd) => {
            asked.push(`${cluster} ${headers.map(([, value]) => value).join(" ")} ${timeoutMs}`);
            queueMicrotask(() => onEnd(answers.shift() ?? null));
            setImmediate(() => setting.clock.advance(1000));
            return () => {};
          },
        },
      });
      return { ...setting, asked };
    }

    test("is fetched through its cluster, tried again, checked and kept", async () => {
      const { load, asked, stat } = served([null, answer("503", Buffer.alloc(0)), answer("200", scripted)]);
      assert.equal((await load({ vm: { code: remote() } })).plugin.failure, null);
      assert.deepEqual(asked, Array(3).fill("modules GET /plugin.wasm?v=1 modules.test http 500"));
      assert.equal((await load({ name: "second", vm: { code: remote() } })).plugin.failure, null);
      assert.equal(asked.length, 3);
      assert.equal(stat("wasm.remote_load_cache_hits"), 1);
      assert.equal(stat("wasm.remote_load_cache_misses"), 1);
      assert.equal(stat("wasm.remote_load_fetch_successes"), 1);
    });

    test("is refused when it is another than was asked for, or does not come", async () => {
      const wrong = served([answer("200", Buffer.from("other")), answer("404", Buffer.alloc(0)), null]);
      const { plugin } = await wrong.load({ vm: { code: remote() } });
      assert.match(plugin.failure ?? "", /plugin\.wasm\?v=1: there was no answer within 500 ms/);
      assert.equal(wrong.stat("wasm.remote_load_fetch_failures"), 1);
      const other = served([answer("200", Buffer.from("other"))]);
      const failed = await other.load({ vm: { code: remote({ retries: 0 }) } });
      assert.match(failed.plugin.failure ?? "", /its SHA-256 is [0-9a-f]{64} and not [0-9a-f]{64}/);
      const lost = served([]);
      const missing = await lost.load({ vm: { code: remote({ cluster: "none", retries: 0 }) } });
      assert.match(missing.plugin.failure ?? "", /the cluster "none" does not exist/);
    });
  });
});

test("a VM is told its configuration and has its environment", async () => {
  const { load, logs } = setUp({ hostEnvironment: { HOME: "/home/proxy", SECRET: "s" } });
  await load({
    ...script("environment"),
    vm: {
      configuration: Buffer.from("shared"),
      environment: new Map([["MODE", "test"]]),
      hostEnvironmentKeys: ["HOME", "MISSING"],
    },
  });
  assert.deepEqual(logs, [
    "info wasm log test root vm: vm shared",
    "info wasm log test root vm: environment MODE=test HOME=/home/proxy",
  ]);
});

test("a plugin has the node, and no property of a stream, outside of streams", async () => {
  const { load, logs } = setUp({ node: "sidecar~10.0.0.1" });
  await load(script("text-property node;text-property request.path;get :path;reply 200"));
  assert.deepEqual(logs, [
    "info wasm log test root vm: property sidecar~10.0.0.1",
    "info wasm log test root vm: property status 1",
    "info wasm log test root vm: value status 2",
  ]);
});

test("what is not among a plugin's capabilities is not called and does not work", async () => {
  const { load, logs } = setUp();
  const { plugin } = await load({
    ...script("write 1 out"),
    vm: { allowedCapabilities: new Set(["proxy_log", "proxy_on_configure", "proxy_get_buffer_bytes"]) },
  });
  assert.equal(plugin.failure, null);
  assert.ok(plugin.rootForStream() !== null);
  assert.deepEqual(logs, [
    'warn a plugin of VM "vm" called fd_write, which is not among its capabilities',
    "info wasm log test root vm: write 76",
  ]);
});

test("plugins share a VM by its id, code and configuration, and the same plugin is made once", async () => {
  const { load, stat, host } = setUp();
  const first = await load({ name: "a" });
  const same = await load({ name: "a" });
  assert.equal(first.plugin, same.plugin);
  const second = await load({ name: "b" });
  assert.equal(first.plugin.rootForStream()?.vm, second.plugin.rootForStream()?.vm);
  const third = await load({ name: "c", vm: { id: "other" } });
  assert.notEqual(first.plugin.rootForStream()?.vm, third.plugin.rootForStream()?.vm);
  assert.equal(stat("wasm.envoy.wasm.runtime.v8.active"), 2);
  await host.stop();
});

test("values belong to a VM id, and queues are found by it", async () => {
  const { load, logs, clock } = setUp();
  await load({ name: "a", ...script("count;queue jobs") });
  await load({ name: "b", ...script("count") });
  await load({ name: "c", ...script("count;enqueue vm jobs;enqueue other jobs"), vm: { id: "other" } });
  clock.advance(1);
  // The second plugin is tried elsewhere before it runs in the VM of the first.
  assert.deepEqual(
    logs.map((line) => line.replace(/^info wasm log (\w) root \w+: /, "$1 ")),
    [
      "a count 1 0",
      "a queue 1",
      "b count 2 0",
      "b count 3 0",
      "c count 1 0",
      "c enqueue 0",
      "c enqueue not found",
      "a queue item",
    ],
  );
});

test("a new plugin that fails at its configuration does not end those that run in the same VM", async () => {
  const { load } = setUp();
  const good = await load({ name: "good" });
  const bad = await load({ name: "bad", ...script("trap") });
  assert.match(bad.plugin.failure ?? "", /unreachable/);
  assert.equal(bad.plugin.rootForStream(), null);
  assert.equal(good.plugin.failure, null);
  assert.notEqual(good.plugin.rootForStream(), null);
});

test("a VM that fails takes all its plugins with it, and each of them is made anew when it may be", async () => {
  const { load, clock, stat } = setUp();
  const closed = await load({ name: "closed" });
  const reloaded = await load({ name: "reloaded", failurePolicy: "fail_reload", reloadMs: 100 });
  reloaded.plugin.rootForStream()?.vm.failWith("for the test");
  assert.equal(closed.plugin.rootForStream(), null);
  const root = reloaded.plugin.rootForStream();
  assert.equal(root?.vm.failure, null);
  root?.vm.failWith("again");
  // 100 ms and a half of them at most pass between two reloads.
  clock.advance(100);
  assert.equal(reloaded.plugin.rootForStream(), null);
  assert.equal(stat("wasm.reloaded.vm_reload_backoff"), 1);
});

test("a plugin that nobody uses any more is told, ends its ticks, and its VM goes with the last one", async () => {
  const { load, logs, clock, stat } = setUp();
  const first = await load({ name: "a", ...script("tick 10 ticks") });
  const second = await load({ name: "b" });
  clock.advance(10);
  assert.equal(stat("wasmcustom.ticks"), 1);
  const again = await load({ name: "a", ...script("tick 10 ticks") });
  first.release();
  first.release();
  assert.ok(!logs.join().includes("root is gone"));
  again.release();
  assert.ok(logs.includes("info wasm log a root vm: root is gone"));
  clock.advance(100);
  assert.equal(stat("wasmcustom.ticks"), 1);
  assert.equal(stat("wasm.envoy.wasm.runtime.v8.active"), 1);
  second.release();
  assert.equal(stat("wasm.envoy.wasm.runtime.v8.active"), 0);
});

test("a plugin may take its time to end", async () => {
  const { load, logs, stat } = setUp();
  const use = await load(script("hold-done"));
  const root = use.plugin.rootForStream();
  use.release();
  assert.equal(stat("wasm.envoy.wasm.runtime.v8.active"), 1);
  assert.equal(root?.finish(), true);
  assert.ok(logs.includes("info wasm log test root vm: root is gone"));
  assert.equal(stat("wasm.envoy.wasm.runtime.v8.active"), 0);
});

test("a configuration that never ends is given up", async () => {
  const { load } = setUp({ limits: { maxStartMs: 20 } });
  assert.match((await load(script("loop"))).plugin.failure ?? "", /lasted longer than 20 ms/);
});

test("a module of ABI 0.1.0 reads its configuration and absent headers in the old way", async () => {
  const { load, logs } = setUp();
  const module = assemble(`(module
    (import "env" "proxy_get_configuration" (func $configuration (param i32 i32) (result i32)))
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 1024))
    (func (export "proxy_abi_version_0_1_0"))
    (func (export "malloc") (param $size i32) (result i32)
      (global.get $free)
      (global.set $free (i32.add (global.get $free) (local.get $size))))
    (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
      (drop (call $configuration (i32.const 0) (i32.const 4)))
      (i32.eqz (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4)))))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $configuration (i32.const 0) (i32.const 4)))
      (i32.eqz (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4))))))`);
  const { plugin } = await load({ ...script("plugin words"), vm: { configuration: Buffer.from("vm words") } }, module);
  assert.equal(plugin.failure, null);
  assert.deepEqual(logs, ["info wasm log test root vm: vm words", "info wasm log test root vm: plugin words"]);
});
