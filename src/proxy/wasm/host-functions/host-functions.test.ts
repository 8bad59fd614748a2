// Every host function with arguments that a hostile module would choose: it answers with a status, and neither the
// host nor the module is harmed.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import fc from "fast-check";
import wabt from "wabt";
import { ManualClock } from "#base/time/clock.ts";
import { Stats } from "../../stats/stats.ts";
import { EventLoop } from "../../transport/event-loop.ts";
import type { RootContext } from "../contexts.ts";
import { StreamContext } from "../contexts.ts";
import type { HeaderMap, StreamHost } from "../stream-host.ts";
import { pluginConfig } from "../testing/plugin-config.ts";
import type { WasmVm } from "../vm.ts";
import { WasmHost } from "../wasm-host.ts";

/** Parameters by name: `i` is an i32, `l` an i64. */
const signatures: Readonly<Record<string, string>> = {
  proxy_log: "iii",
  proxy_get_log_level: "i",
  proxy_get_current_time_nanoseconds: "i",
  proxy_set_tick_period_milliseconds: "i",
  proxy_get_header_map_value: "iiiii",
  proxy_get_header_map_pairs: "iii",
  proxy_get_header_map_size: "ii",
  proxy_set_header_map_pairs: "iii",
  proxy_add_header_map_value: "iiiii",
  proxy_replace_header_map_value: "iiiii",
  proxy_remove_header_map_value: "iii",
  proxy_get_buffer_bytes: "iiiii",
  proxy_get_buffer_status: "iii",
  proxy_set_buffer_bytes: "iiiii",
  proxy_get_configuration: "ii",
  proxy_continue_stream: "i",
  proxy_continue_request: "",
  proxy_continue_response: "",
  proxy_close_stream: "i",
  proxy_send_local_response: "iiiiiiii",
  proxy_clear_route_cache: "",
  proxy_set_effective_context: "i",
  proxy_done: "",
  proxy_call_foreign_function: "iiiiii",
  proxy_http_call: "iiiiiiiiii",
  proxy_get_status: "iii",
  proxy_grpc_call: "iiiiiiiiiiii",
  proxy_grpc_stream: "iiiiiiiii",
  proxy_grpc_send: "iiii",
  proxy_grpc_cancel: "i",
  proxy_grpc_close: "i",
  proxy_get_shared_data: "iiiii",
  proxy_set_shared_data: "iiiii",
  proxy_register_shared_queue: "iii",
  proxy_resolve_shared_queue: "iiiii",
  proxy_enqueue_shared_queue: "iii",
  proxy_dequeue_shared_queue: "iii",
  proxy_define_metric: "iiii",
  proxy_increment_metric: "il",
  proxy_record_metric: "il",
  proxy_get_metric: "ii",
  proxy_get_property: "iiii",
  proxy_set_property: "iiii",
};
const wasiSignatures: Readonly<Record<string, string>> = {
  fd_write: "iiii",
  fd_read: "iiii",
  fd_seek: "ilii",
  fd_close: "i",
  fd_fdstat_get: "ii",
  clock_time_get: "ili",
  random_get: "ii",
  environ_sizes_get: "ii",
  environ_get: "ii",
  args_sizes_get: "ii",
  args_get: "ii",
};
const statuses: ReadonlySet<number> = new Set([0, 1, 2, 3, 4, 6, 7, 8, 10, 12]);
const errors: ReadonlySet<number> = new Set([0, 8, 21, 28, 58, 70]);

const functions = [
  ...Object.entries(signatures).map(([name, parameters]) => ({ namespace: "env", name, parameters })),
  ...Object.entries(wasiSignatures).map(([name, parameters]) => ({
    namespace: "wasi_snapshot_preview1",
    name,
    parameters,
  })),
];

/** A module whose callback `proxy_on_tick` calls one function, with arguments that the test puts into memory. */
function moduleText(): string {
  const types = (parameters: string): string =>
    parameters === "" ? "" : `(param ${[...parameters].map((it) => (it === "l" ? "i64" : "i32")).join(" ")})`;
  const imports = functions.map(
    ({ namespace, name, parameters }, i) =>
      `(import "${namespace}" "${name}" (func $f${i} ${types(parameters)} (result i32)))`,
  );
  // The number of the function is at 0, its arguments are at 8, 16, ..., and the result goes to 4.
  const calls = functions.map(({ parameters }, i) => {
    const values = [...parameters].map((it, k) => `(${it === "l" ? "i64" : "i32"}.load (i32.const ${8 + k * 8}))`);
    return `(if (i32.eq (i32.load (i32.const 0)) (i32.const ${i}))
      (then (i32.store (i32.const 4) (call $f${i} ${values.join(" ")}))))`;
  });
  return `(module ${imports.join("\n")}
    (memory (export "memory") 2 2)
    (global $free (mut i32) (i32.const 4096))
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
      (if (i32.gt_u (i32.add (i32.and (global.get $free) (i32.const 65535)) (local.get $size)) (i32.const 131072))
        (then (return (i32.const 0))))
      (global.set $free (i32.add (i32.and (global.get $free) (i32.const 65535)) (i32.const 64)))
      (global.get $free))
    (func (export "proxy_on_tick") (param i32) ${calls.join("\n")}))`;
}

let module: Uint8Array;
before(async () => {
  const { parseWat } = await wabt();
  module = parseWat("test.wat", moduleText()).toBinary({}).buffer;
});

async function start(): Promise<{ readonly root: RootContext; readonly host: WasmHost }> {
  const clock = new ManualClock(1000);
  const silent = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} };
  const host = new WasmHost({
    loop: new EventLoop({ clock, now: () => clock.now(), onBroken: (error) => assert.fail(String(error)) }),
    log: silent,
    stats: new Stats(),
    calls: { hasCluster: () => true, send: () => () => {} },
    grpc: { hasCluster: () => true, start: () => ({ send: () => {}, endRequest: () => {}, cancel: () => {} }) },
    node: "node",
  });
  const { plugin } = host.use(pluginConfig(module));
  await new Promise<void>((resolve) => void plugin.whenLoaded(resolve));
  const root = plugin.rootForStream();
  assert.ok(root !== null, plugin.failure ?? "");
  return { root, host };
}

function fakeStream(): StreamHost {
  const headers: HeaderMap = {
    get: (name) => (name === "a" ? "1" : undefined),
    pairs: () => [["a", "1"]],
    byteSize: () => 2,
    add: () => {},
    set: () => {},
    remove: () => {},
    replaceAll: () => {},
  };
  let body = Buffer.from("body");
  return {
    headerMap: () => headers,
    bodyBuffer: () => ({
      get length() {
        return body.length;
      },
      slice: (from, to) => body.subarray(from, to),
      splice: (from, to, bytes) => {
        body = Buffer.concat([body.subarray(0, from), bytes, body.subarray(to)]).subarray(0, 100);
      },
    }),
    property: () => "value",
    setProperty: () => true,
    continueStream: () => {},
    closeStream: () => {},
    sendLocalReply: () => {},
    clearRouteCache: () => {},
    onPluginFailed: () => {},
  };
}

/** Calls one function for a context and gives its result. */
function callFunction(vm: WasmVm, context: StreamContext | RootContext, at: number, values: readonly number[]): number {
  vm.writeU32(0, at);
  vm.writeU32(4, 0xffff);
  values.forEach((value, k) => {
    vm.writeU32(8 + k * 8, value);
    vm.writeU32(12 + k * 8, value > 0x7fffffff ? 0xffffffff : 0);
  });
  vm.call(vm.callbacks.onTick, context);
  return vm.read(4, 4)?.readUInt32LE() ?? -1;
}

test("the list of functions here is the list that the host has", async () => {
  const { root } = await start();
  const { hostFunctions } = await import("./all.ts");
  const known = Object.keys(hostFunctions(root.vm).get("env") ?? {}).filter((name) => name.startsWith("proxy_"));
  assert.deepEqual(known.sort(), Object.keys(signatures).sort());
});

test("every function answers every argument with one of its statuses", async () => {
  const { root, host } = await start();
  const { vm } = root;
  const stream = new StreamContext(root, fakeStream());
  const interesting = fc.oneof(
    fc.constantFrom(0, 1, 2, 4, 7, 8, 64, 4096, 65_535, 131_071, 131_072, 0x7fffffff, 0x80000000, 0xffffffff),
    fc.nat(200),
    fc.nat(0xffffffff),
  );
  const property = fc.property(
    fc.nat(functions.length - 1),
    fc.array(interesting, { minLength: 12, maxLength: 12 }),
    fc.boolean(),
    (at, values, forStream) => {
      const { name, parameters, namespace } = functions[at]!;
      const result = callFunction(vm, forStream ? stream : root, at, values.slice(0, parameters.length));
      assert.equal(vm.failure, null, name);
      assert.ok((namespace === "env" ? statuses : errors).has(result), `${name} answered ${result}`);
    },
  );
  fc.assert(property, { numRuns: 3000 });
  await host.stop();
});

test("places outside of the memory are told apart from wrong arguments", async () => {
  const { root } = await start();
  const stream = new StreamContext(root, fakeStream());
  const result = (name: string, ...values: number[]): number =>
    callFunction(
      root.vm,
      stream,
      functions.findIndex((it) => it.name === name),
      values,
    );
  const outside = 131_072;
  assert.equal(result("proxy_log", 2, outside, 1), 6);
  assert.equal(result("proxy_get_property", 0, 1, outside, outside), 6);
  assert.equal(result("proxy_get_metric", 1, outside), 1);
  assert.equal(result("proxy_http_call", outside, 1, 0, 0, 0, 0, 0, 0, 0, 0), 6);
  assert.equal(result("proxy_get_header_map_size", 0, outside), 6);
  assert.equal(result("fd_write", 1, outside, 1, 0), 21);
  assert.equal(result("random_get", outside, 1), 21);
  assert.equal(result("random_get", 0, 1_000_000), 28);
});
