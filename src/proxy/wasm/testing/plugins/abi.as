// The proxy-wasm ABI 0.2.1 as it is, for the plugins of tests.

@external("env", "proxy_log")
declare function proxy_log(level: u32, message: usize, length: usize): u32;
@external("env", "proxy_get_buffer_bytes")
declare function proxy_get_buffer_bytes(type: u32, start: u32, length: u32, at: usize, lengthAt: usize): u32;
@external("env", "proxy_set_buffer_bytes")
declare function proxy_set_buffer_bytes(type: u32, start: u32, length: u32, at: usize, size: usize): u32;
@external("env", "proxy_get_buffer_status")
declare function proxy_get_buffer_status(type: u32, lengthAt: usize, flagsAt: usize): u32;
@external("env", "proxy_get_header_map_value")
declare function proxy_get_header_map_value(type: u32, k: usize, kl: usize, at: usize, lengthAt: usize): u32;
@external("env", "proxy_get_header_map_pairs")
declare function proxy_get_header_map_pairs(type: u32, at: usize, lengthAt: usize): u32;
@external("env", "proxy_get_header_map_size")
declare function proxy_get_header_map_size(type: u32, sizeAt: usize): u32;
@external("env", "proxy_set_header_map_pairs")
declare function proxy_set_header_map_pairs(type: u32, at: usize, length: usize): u32;
@external("env", "proxy_add_header_map_value")
declare function proxy_add_header_map_value(type: u32, k: usize, kl: usize, v: usize, vl: usize): u32;
@external("env", "proxy_replace_header_map_value")
declare function proxy_replace_header_map_value(type: u32, k: usize, kl: usize, v: usize, vl: usize): u32;
@external("env", "proxy_remove_header_map_value")
declare function proxy_remove_header_map_value(type: u32, k: usize, kl: usize): u32;
@external("env", "proxy_get_property")
declare function proxy_get_property(k: usize, kl: usize, at: usize, lengthAt: usize): u32;
@external("env", "proxy_set_property")
declare function proxy_set_property(k: usize, kl: usize, v: usize, vl: usize): u32;
@external("env", "proxy_send_local_response")
declare function proxy_send_local_response(
  status: u32, d: usize, dl: usize, b: usize, bl: usize, h: usize, hl: usize, grpcStatus: i32): u32;
@external("env", "proxy_http_call")
declare function proxy_http_call(
  c: usize, cl: usize, h: usize, hl: usize, b: usize, bl: usize, t: usize, tl: usize, timeout: u32, idAt: usize): u32;
@external("env", "proxy_grpc_call")
declare function proxy_grpc_call(
  c: usize, cl: usize, s: usize, sl: usize, m: usize, ml: usize, h: usize, hl: usize, b: usize, bl: usize,
  timeout: u32, idAt: usize): u32;
@external("env", "proxy_grpc_stream")
declare function proxy_grpc_stream(
  c: usize, cl: usize, s: usize, sl: usize, m: usize, ml: usize, h: usize, hl: usize, idAt: usize): u32;
@external("env", "proxy_grpc_send")
declare function proxy_grpc_send(id: u32, b: usize, bl: usize, last: u32): u32;
@external("env", "proxy_grpc_cancel")
export declare function cancelGrpc(id: u32): u32;
@external("env", "proxy_grpc_close")
export declare function closeGrpc(id: u32): u32;
@external("env", "proxy_get_shared_data")
declare function proxy_get_shared_data(k: usize, kl: usize, at: usize, lengthAt: usize, casAt: usize): u32;
@external("env", "proxy_set_shared_data")
declare function proxy_set_shared_data(k: usize, kl: usize, v: usize, vl: usize, cas: u32): u32;
@external("env", "proxy_register_shared_queue")
declare function proxy_register_shared_queue(n: usize, nl: usize, idAt: usize): u32;
@external("env", "proxy_resolve_shared_queue")
declare function proxy_resolve_shared_queue(v: usize, vl: usize, n: usize, nl: usize, idAt: usize): u32;
@external("env", "proxy_enqueue_shared_queue")
declare function proxy_enqueue_shared_queue(id: u32, v: usize, vl: usize): u32;
@external("env", "proxy_dequeue_shared_queue")
declare function proxy_dequeue_shared_queue(id: u32, at: usize, lengthAt: usize): u32;
@external("env", "proxy_define_metric")
declare function proxy_define_metric(type: u32, n: usize, nl: usize, idAt: usize): u32;
@external("env", "proxy_get_metric")
declare function proxy_get_metric(id: u32, at: usize): u32;
@external("env", "proxy_get_status")
declare function proxy_get_status(codeAt: usize, at: usize, lengthAt: usize): u32;
@external("env", "proxy_call_foreign_function")
declare function proxy_call_foreign_function(n: usize, nl: usize, a: usize, al: usize, at: usize, lengthAt: usize): u32;
@external("env", "proxy_increment_metric")
export declare function incrementMetric(id: u32, by: i64): u32;
@external("env", "proxy_record_metric")
export declare function recordMetric(id: u32, value: u64): u32;
@external("env", "proxy_continue_stream")
export declare function continueStream(type: u32): u32;
@external("env", "proxy_close_stream")
export declare function closeStream(type: u32): u32;
@external("env", "proxy_set_effective_context")
export declare function setEffectiveContext(id: u32): u32;
@external("env", "proxy_done")
export declare function done(): u32;
@external("env", "proxy_set_tick_period_milliseconds")
export declare function setTickPeriod(milliseconds: u32): u32;
@external("wasi_snapshot_preview1", "environ_sizes_get")
declare function environ_sizes_get(countAt: usize, sizeAt: usize): u32;
@external("wasi_snapshot_preview1", "environ_get")
declare function environ_get(placesAt: usize, textAt: usize): u32;
@external("wasi_snapshot_preview1", "random_get")
declare function random_get(at: usize, length: usize): u32;
@external("wasi_snapshot_preview1", "clock_time_get")
declare function clock_time_get(clock: u32, precision: u64, at: usize): u32;
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: u32, vectors: usize, count: usize, writtenAt: usize): u32;
@external("wasi_snapshot_preview1", "proc_exit")
export declare function exit(code: u32): void;

/** Where the host writes its results. */
const results = memory.data(32);

/** Replaces AssemblyScript's own abort, which is no part of the ABI. */
// @ts-ignore: decorator
@global
export function abort_proc_exit(message: string | null, file: string | null, line: u32, column: u32): void {
  unreachable();
}

export function allocate(size: usize): usize {
  return heap.alloc(size);
}

function bytes(text: string): ArrayBuffer {
  return String.UTF8.encode(text);
}

function at(buffer: ArrayBuffer): usize {
  return changetype<usize>(buffer);
}

function size(buffer: ArrayBuffer): usize {
  return <usize>buffer.byteLength;
}

/** The text that the host has put behind `results`. */
function taken(): string {
  const place = load<usize>(results);
  const length = load<usize>(results, 4);
  if (length == 0) return "";
  const text = String.UTF8.decodeUnsafe(place, length);
  heap.free(place);
  return text;
}

export function log(level: u32, text: string): u32 {
  const b = bytes(text);
  return proxy_log(level, at(b), size(b));
}

/** Null where there is no such buffer. */
export function getBuffer(type: u32, start: u32 = 0, length: u32 = 0xffff): string | null {
  return proxy_get_buffer_bytes(type, start, length, results, results + 4) == 0 ? taken() : null;
}

export function setBuffer(type: u32, start: u32, length: u32, text: string): u32 {
  const b = bytes(text);
  return proxy_set_buffer_bytes(type, start, length, at(b), size(b));
}

export function bufferSize(type: u32): i32 {
  return proxy_get_buffer_status(type, results, results + 4) == 0 ? load<i32>(results) : -1;
}

export let lastStatus: u32 = 0;

export function getHeader(type: u32, name: string): string | null {
  const n = bytes(name);
  lastStatus = proxy_get_header_map_value(type, at(n), size(n), results, results + 4);
  return lastStatus == 0 ? taken() : null;
}

export function addHeader(type: u32, name: string, value: string): u32 {
  const n = bytes(name);
  const v = bytes(value);
  return proxy_add_header_map_value(type, at(n), size(n), at(v), size(v));
}

export function setHeader(type: u32, name: string, value: string): u32 {
  const n = bytes(name);
  const v = bytes(value);
  return proxy_replace_header_map_value(type, at(n), size(n), at(v), size(v));
}

export function removeHeader(type: u32, name: string): u32 {
  const n = bytes(name);
  return proxy_remove_header_map_value(type, at(n), size(n));
}

/** The list as `name=value;name=value`. */
export function getHeaders(type: u32): string {
  if (proxy_get_header_map_pairs(type, results, results + 4) != 0) return "refused";
  const place = load<usize>(results);
  const length = load<usize>(results, 4);
  if (length == 0) return "";
  const count = load<u32>(place);
  let data = place + 4 + count * 8;
  let text = "";
  for (let i: u32 = 0; i < count; i++) {
    const nameLength = load<u32>(place + 4 + i * 8);
    const valueLength = load<u32>(place + 8 + i * 8);
    const name = String.UTF8.decodeUnsafe(data, nameLength);
    data += nameLength + 1;
    const value = String.UTF8.decodeUnsafe(data, valueLength);
    data += valueLength + 1;
    text += (i == 0 ? "" : ";") + name + "=" + value;
  }
  heap.free(place);
  return text;
}

export function headersSize(type: u32): i32 {
  return proxy_get_header_map_size(type, results) == 0 ? load<i32>(results) : -1;
}

/** Pairs from name, value, name, value. */
function pairs(list: string[]): ArrayBuffer {
  const encoded = list.map<ArrayBuffer>((text) => String.UTF8.encode(text));
  let length: i32 = 4 + list.length * 4;
  for (let i = 0; i < encoded.length; i++) length += encoded[i].byteLength + 1;
  const buffer = new ArrayBuffer(length);
  const start = changetype<usize>(buffer);
  store<u32>(start, list.length / 2);
  let data = start + 4 + list.length * 4;
  for (let i = 0; i < encoded.length; i++) {
    store<u32>(start + 4 + i * 4, encoded[i].byteLength);
    memory.copy(data, changetype<usize>(encoded[i]), encoded[i].byteLength);
    data += encoded[i].byteLength + 1;
  }
  return buffer;
}

export function setHeaders(type: u32, list: string[]): u32 {
  const p = pairs(list);
  return proxy_set_header_map_pairs(type, at(p), size(p));
}

export function getProperty(path: string): ArrayBuffer | null {
  const p = bytes(path.replaceAll(".", "\0"));
  lastStatus = proxy_get_property(at(p), size(p), results, results + 4);
  if (lastStatus != 0) return null;
  const place = load<usize>(results);
  const length = load<i32>(results, 4);
  const value = new ArrayBuffer(length);
  memory.copy(at(value), place, length);
  if (length > 0) heap.free(place);
  return value;
}

export function setProperty(path: string, value: string): u32 {
  const p = bytes(path);
  const v = bytes(value);
  return proxy_set_property(at(p), size(p), at(v), size(v));
}

export function reply(status: u32, details: string, body: string, headers: string[], grpcStatus: i32 = -1): u32 {
  const d = bytes(details);
  const b = bytes(body);
  const h = pairs(headers);
  return proxy_send_local_response(status, at(d), size(d), at(b), size(b), at(h), size(h), grpcStatus);
}

/** The call's number, or the negative status. */
export function httpCall(cluster: string, headers: string[], body: string, timeout: u32): i32 {
  const c = bytes(cluster);
  const h = pairs(headers);
  const b = bytes(body);
  const status = proxy_http_call(at(c), size(c), at(h), size(h), at(b), size(b), 0, 0, timeout, results);
  return status == 0 ? load<i32>(results) : -(<i32>status);
}

/** The call's number, or the negative status. */
export function grpcCall(cluster: string, method: string, metadata: string[], message: string, timeout: u32): i32 {
  const c = bytes(cluster);
  const s = bytes("test.Service");
  const m = bytes(method);
  const h = pairs(metadata);
  const b = bytes(message);
  const status = proxy_grpc_call(
    at(c), size(c), at(s), size(s), at(m), size(m), at(h), size(h), at(b), size(b), timeout, results);
  return status == 0 ? load<i32>(results) : -(<i32>status);
}

export function grpcStream(cluster: string, method: string): i32 {
  const c = bytes(cluster);
  const s = bytes("test.Service");
  const m = bytes(method);
  const status = proxy_grpc_stream(at(c), size(c), at(s), size(s), at(m), size(m), 0, 0, results);
  return status == 0 ? load<i32>(results) : -(<i32>status);
}

export function sendGrpc(id: u32, message: string, last: bool): u32 {
  const b = bytes(message);
  return proxy_grpc_send(id, at(b), size(b), last ? 1 : 0);
}

export let lastCas: u32 = 0;

export function getShared(key: string): string | null {
  const k = bytes(key);
  lastStatus = proxy_get_shared_data(at(k), size(k), results, results + 4, results + 8);
  if (lastStatus != 0) return null;
  lastCas = load<u32>(results, 8);
  return taken();
}

export function setShared(key: string, value: string, cas: u32): u32 {
  const k = bytes(key);
  const v = bytes(value);
  return proxy_set_shared_data(at(k), size(k), at(v), size(v), cas);
}

export function registerQueue(name: string): u32 {
  const n = bytes(name);
  return proxy_register_shared_queue(at(n), size(n), results) == 0 ? load<u32>(results) : 0;
}

export function resolveQueue(vmId: string, name: string): u32 {
  const v = bytes(vmId);
  const n = bytes(name);
  return proxy_resolve_shared_queue(at(v), size(v), at(n), size(n), results) == 0 ? load<u32>(results) : 0;
}

export function enqueue(id: u32, item: string): u32 {
  const i = bytes(item);
  return proxy_enqueue_shared_queue(id, at(i), size(i));
}

export function dequeue(id: u32): string | null {
  lastStatus = proxy_dequeue_shared_queue(id, results, results + 4);
  return lastStatus == 0 ? taken() : null;
}

export function defineMetric(type: u32, name: string): u32 {
  const n = bytes(name);
  return proxy_define_metric(type, at(n), size(n), results) == 0 ? load<u32>(results) : 0;
}

export function getMetric(id: u32): i64 {
  return proxy_get_metric(id, results) == 0 ? load<i64>(results) : -1;
}

export function getStatus(): string {
  if (proxy_get_status(results + 8, results, results + 4) != 0) return "refused";
  return load<u32>(results, 8).toString() + " " + taken();
}

export function callForeign(name: string): u32 {
  const n = bytes(name);
  return proxy_call_foreign_function(at(n), size(n), 0, 0, 0, 0);
}

/** All variables, separated by spaces. */
export function environment(): string {
  environ_sizes_get(results, results + 4);
  const count = load<u32>(results);
  const length = load<u32>(results, 4);
  const places = heap.alloc(count * 4 + 4);
  const text = heap.alloc(length + 1);
  environ_get(places, text);
  let all = "";
  for (let i: u32 = 0; i < count; i++) {
    const place = load<u32>(places + i * 4);
    let end = place;
    while (load<u8>(end) != 0) end++;
    all += (i == 0 ? "" : " ") + String.UTF8.decodeUnsafe(place, end - place);
  }
  return all;
}

export function random(): u64 {
  return random_get(results, 8) == 0 ? load<u64>(results) : 0;
}

export function clock(id: u32): u64 {
  return clock_time_get(id, 1, results) == 0 ? load<u64>(results) : 0;
}

export function write(fd: u32, text: string): u32 {
  const b = bytes(text);
  store<usize>(results, at(b));
  store<usize>(results, size(b), 4);
  return fd_write(fd, results, 1, results + 8);
}
