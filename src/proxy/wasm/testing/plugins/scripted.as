// A plugin that does what the request tells it: `x-do: <command> <arguments>`, several separated by `;`. What it finds
// out it writes into request headers that begin with `x-got-`. Commands that begin with `on-response ` and `on-body ` are
// done there. The plugin's configuration is a script for proxy_on_configure.
import * as abi from "./abi";

const REQUEST: u32 = 0;
const RESPONSE: u32 = 2;
const CONTINUE: u32 = 0;
const STOP: u32 = 1;

class State {
  script: string = "";
  /** Commands for later hooks. */
  body: string = "";
  response: string = "";
  responseBody: string = "";
  log: string = "";
}

const states = new Map<u32, State>();
const waiting = new Map<u32, u32>();
let rootId: u32 = 0;
let current: u32 = 0;
let isHoldingDone = false;
let ticks: u32 = 0;
let tickMetric: u32 = 0;
let echoQueue: u32 = 0;
let grpcStream: u32 = 0;
let network: string = "";

export function proxy_abi_version_0_2_1(): void {}

export function proxy_on_memory_allocate(size: usize): usize {
  return abi.allocate(size);
}

export function proxy_on_context_create(id: u32, parent: u32): void {
  if (parent != 0) states.set(id, new State());
  else rootId = id;
}

export function proxy_on_vm_start(_id: u32, size: u32): u32 {
  const configuration = abi.getBuffer(6);
  if (configuration !== null && configuration.length > 0) abi.log(2, "vm " + configuration);
  return configuration == "refuse" ? 0 : 1;
}

export function proxy_on_configure(id: u32, size: u32): u32 {
  const configuration = abi.getBuffer(7);
  if (configuration === null) return 1;
  if (configuration == "refuse") return 0;
  run(id, configuration, 8);
  return 1;
}

export function proxy_on_tick(id: u32): void {
  ticks++;
  if (tickMetric != 0) abi.incrementMetric(tickMetric, 1);
  if (ticks >= 3) abi.setTickPeriod(0);
}

export function proxy_on_queue_ready(id: u32, queue: u32): void {
  let item = abi.dequeue(queue);
  while (item !== null) {
    abi.log(2, "queue " + item);
    item = abi.dequeue(queue);
  }
}

export function proxy_on_new_connection(id: u32): u32 {
  if (network == "ask") {
    waiting.set(<u32>abi.httpCall("authority", [":method", "GET", ":path", "/ask", ":authority", "a"], "", 1000), id);
    return STOP;
  }
  if (network == "refuse") abi.closeStream(2);
  return CONTINUE;
}

export function proxy_on_downstream_data(id: u32, size: u32, end: u32): u32 {
  if (network == "") return CONTINUE;
  const text = abi.getBuffer(2);
  if (text === null) return CONTINUE;
  if (text.includes("trap")) unreachable();
  if (text.includes("close")) abi.closeStream(2);
  if (text.includes("source")) {
    const value = abi.getProperty("source.address");
    abi.log(2, "source " + (value === null ? "none" : String.UTF8.decode(value)));
  }
  // Whole lines only.
  if (!text.endsWith("\n") && end == 0) return STOP;
  abi.setBuffer(2, 0, size, text.toUpperCase());
  if (end != 0) abi.setBuffer(2, 0xffffffff, 0, "END");
  return CONTINUE;
}

export function proxy_on_upstream_data(id: u32, size: u32, end: u32): u32 {
  if (network == "" || size == 0) return CONTINUE;
  const text = abi.getBuffer(3);
  abi.setBuffer(3, 0, size, "<" + (text === null ? "" : text) + ">");
  return CONTINUE;
}

export function proxy_on_downstream_connection_close(id: u32, peer: u32): void {
  abi.log(2, "client closed " + peer.toString());
}

export function proxy_on_upstream_connection_close(id: u32, peer: u32): void {
  abi.log(2, "server closed " + peer.toString());
}

export function proxy_on_request_headers(id: u32, count: u32, end: u32): u32 {
  const state = states.get(id);
  const script = abi.getHeader(REQUEST, "x-do");
  if (script === null) return CONTINUE;
  abi.setHeader(REQUEST, "x-got-headers", count.toString() + (end != 0 ? " end" : ""));
  return run(id, script, REQUEST);
}

export function proxy_on_request_body(id: u32, size: u32, end: u32): u32 {
  const state = states.get(id);
  return state.body == "" ? CONTINUE : body(state.body, 0, size, end);
}

export function proxy_on_request_trailers(id: u32, count: u32): u32 {
  if (abi.getHeader(1, "x-trap") !== null) unreachable();
  abi.addHeader(1, "x-got-trailers", count.toString());
  return CONTINUE;
}

export function proxy_on_response_headers(id: u32, count: u32, end: u32): u32 {
  const state = states.get(id);
  return state.response == "" ? CONTINUE : run(id, state.response, RESPONSE);
}

export function proxy_on_response_body(id: u32, size: u32, end: u32): u32 {
  const state = states.get(id);
  return state.responseBody == "" ? CONTINUE : body(state.responseBody, 1, size, end);
}

export function proxy_on_response_trailers(id: u32, count: u32): u32 {
  abi.addHeader(3, "x-got-trailers", count.toString());
  return CONTINUE;
}

export function proxy_on_http_call_response(id: u32, call: u32, headers: u32, size: u32, trailers: u32): void {
  if (!waiting.has(call)) {
    abi.log(2, "answer " + headers.toString() + " " + size.toString() + " " + trailers.toString());
    return;
  }
  const stream = waiting.get(call);
  waiting.delete(call);
  let answer = abi.getStatus();
  if (headers > 0) {
    const status = abi.getHeader(6, ":status");
    const text = abi.getBuffer(4);
    answer = (status === null ? "" : status) + " " + (text === null ? "" : text);
  }
  abi.setEffectiveContext(stream);
  if (network != "") {
    if (answer.startsWith("200")) abi.continueStream(2);
    else abi.closeStream(2);
    return;
  }
  abi.setHeader(REQUEST, "x-got-answer", answer);
  if (answer.startsWith("403")) abi.reply(403, "denied by authority", "no\n", ["x-denied", "yes"]);
  else abi.continueStream(0);
}

export function proxy_on_grpc_receive_initial_metadata(id: u32, call: u32, count: u32): void {
  const value = abi.getHeader(4, "x-begin");
  abi.log(2, "grpc begins " + (value === null ? "" : value));
}

export function proxy_on_grpc_receive(id: u32, call: u32, size: u32): void {
  const text = abi.getBuffer(5);
  abi.log(2, "grpc message " + (text === null ? "" : text));
  if (!waiting.has(call)) return;
  const stream = waiting.get(call);
  waiting.delete(call);
  abi.setEffectiveContext(stream);
  abi.setHeader(REQUEST, "x-got-answer", text === null ? "" : text);
  abi.continueStream(0);
}

export function proxy_on_grpc_receive_trailing_metadata(id: u32, call: u32, count: u32): void {
  const value = abi.getHeader(5, "x-end");
  abi.log(2, "grpc ends " + (value === null ? "" : value));
}

export function proxy_on_grpc_close(id: u32, call: u32, status: u32): void {
  abi.log(2, "grpc closed " + status.toString() + " " + abi.getStatus());
  if (!waiting.has(call)) return;
  abi.setEffectiveContext(waiting.get(call));
  waiting.delete(call);
  abi.setHeader(REQUEST, "x-got-answer", "status " + status.toString());
  abi.continueStream(0);
}

export function proxy_on_done(id: u32): u32 {
  if (!states.has(id)) return isHoldingDone ? 0 : 1;
  return states.get(id).log == "later" ? 0 : 1;
}

export function proxy_on_log(id: u32): void {
  const state = states.get(id);
  if (state.log == "") return;
  const path = abi.getHeader(REQUEST, ":path");
  const status = abi.getHeader(RESPONSE, ":status");
  abi.log(2, "logged " + (path === null ? "-" : path) + " " + (status === null ? "-" : status));
}

export function proxy_on_delete(id: u32): void {
  if (states.has(id)) states.delete(id);
  else abi.log(2, "root is gone");
}

function body(command: string, type: u32, size: u32, end: u32): u32 {
  if (command == "buffer") return end == 0 ? 1 : CONTINUE;
  if (command == "replace") {
    if (end == 0) return 1;
    const text = abi.getBuffer(type);
    abi.setBuffer(type, 0, 0xffffffff, "<" + (text === null ? "" : text) + ">");
  } else if (command == "upper") {
    const text = abi.getBuffer(type);
    if (text !== null) abi.setBuffer(type, 0, size, text.toUpperCase());
  } else if (command == "append") {
    if (end != 0) abi.setBuffer(type, 0xffffffff, 0, "!");
  } else if (command == "watermark") {
    return end == 0 ? 2 : CONTINUE;
  } else if (command == "drop") {
    return end == 0 ? 3 : CONTINUE;
  } else if (command == "trailers") {
    abi.log(2, "body " + size.toString() + (end != 0 ? " end" : ""));
    if (end != 0) abi.addHeader(1, "x-late", "yes");
  } else if (command == "reply") {
    abi.reply(400, "bad body", "bad body\n", []);
  } else if (command == "trap") {
    unreachable();
  }
  return CONTINUE;
}

function hex(value: ArrayBuffer): string {
  const view = Uint8Array.wrap(value);
  let text = "";
  for (let i = 0; i < view.length; i++) text += (view[i] < 16 ? "0" : "") + view[i].toString(16);
  return text;
}

function got(type: u32, name: string, value: string): void {
  if (type == 8) abi.log(2, name + " " + value);
  else abi.setHeader(type, "x-got-" + name, value);
}

function recurse(depth: u32): u32 {
  return depth == 0xffffffff ? depth : recurse(depth + 1) + 1;
}

/** Runs commands. `type` is the map into which results go; 8 is the log. */
function run(id: u32, script: string, type: u32): u32 {
  const commands = script.split(";");
  for (let i = 0; i < commands.length; i++) {
    const words = commands[i].trim().split(" ");
    const command = words[0];
    const one = words.length > 1 ? words[1] : "";
    const two = words.length > 2 ? words[2] : "";
    if (command == "on-body") {
      states.get(id).body = one;
    } else if (command == "on-response") {
      states.get(id).response = words.slice(1).join(" ").replaceAll(",", ";");
    } else if (command == "on-response-body") {
      states.get(id).responseBody = one;
    } else if (command == "on-log") {
      states.get(id).log = one == "" ? "now" : one;
    } else if (command == "set") {
      abi.setHeader(type, one, two);
    } else if (command == "add") {
      abi.addHeader(type, one, two);
    } else if (command == "set-lines") {
      got(type, "lines", abi.setHeader(type, one, "a\r\nx-more: 1").toString());
    } else if (command == "remove") {
      abi.removeHeader(type, one);
    } else if (command == "get") {
      const value = abi.getHeader(type, one);
      got(type, "value", value === null ? "status " + abi.lastStatus.toString() : value);
    } else if (command == "get-other") {
      const value = abi.getHeader(type == 0 ? 2 : 0, one);
      got(type, "value", value === null ? "status " + abi.lastStatus.toString() : value);
    } else if (command == "list") {
      got(type, "list", abi.getHeaders(type));
    } else if (command == "size") {
      got(type, "size", abi.headersSize(type).toString());
    } else if (command == "replace-all") {
      abi.setHeaders(type, [":method", "GET", ":path", "/replaced", ":authority", "replaced", "x-new", "yes"]);
    } else if (command == "reply") {
      abi.reply(U32.parseInt(one), "from plugin", "by plugin\n", ["x-by", "plugin"]);
    } else if (command == "reply-grpc") {
      abi.reply(403, "", "not for you", [], 16);
    } else if (command == "property") {
      const value = abi.getProperty(one);
      got(type, "property", value === null ? "status " + abi.lastStatus.toString() : hex(value));
    } else if (command == "text-property") {
      const value = abi.getProperty(one);
      got(type, "property", value === null ? "status " + abi.lastStatus.toString() : String.UTF8.decode(value));
    } else if (command == "set-property") {
      got(type, "set-property", abi.setProperty(one, two).toString());
    } else if (command == "count") {
      const key = one == "" ? "count" : one;
      const before = abi.getShared(key);
      const count = before === null ? 1 : I32.parseInt(before) + 1;
      const status = abi.setShared(key, count.toString(), before === null ? 0 : abi.lastCas);
      got(type, "count", count.toString() + " " + status.toString());
    } else if (command == "cas") {
      abi.setShared("cas", "one", 0);
      abi.getShared("cas");
      const cas = abi.lastCas;
      const first = abi.setShared("cas", "two", cas);
      const second = abi.setShared("cas", "three", cas);
      const value = abi.getShared("cas");
      got(type, "cas", first.toString() + " " + second.toString() + " " + (value === null ? "" : value));
    } else if (command == "metric") {
      const id = abi.defineMetric(U32.parseInt(one), two);
      const up = abi.incrementMetric(id, 5);
      const down = abi.incrementMetric(id, -2);
      const value = abi.getMetric(id);
      got(type, "metric", up.toString() + " " + down.toString() + " " + value.toString());
    } else if (command == "record") {
      const id = abi.defineMetric(U32.parseInt(one), two);
      abi.recordMetric(id, 7);
      abi.recordMetric(id, 9);
      got(type, "record", abi.getMetric(id).toString());
    } else if (command == "tick") {
      tickMetric = abi.defineMetric(0, two);
      abi.setTickPeriod(U32.parseInt(one));
    } else if (command == "queue") {
      echoQueue = abi.registerQueue(one);
      got(type, "queue", echoQueue.toString());
    } else if (command == "enqueue") {
      const queue = abi.resolveQueue(one, two);
      got(type, "enqueue", queue == 0 ? "not found" : abi.enqueue(queue, "item").toString());
    } else if (command == "dequeue") {
      const item = abi.dequeue(U32.parseInt(one));
      got(type, "dequeue", item === null ? "status " + abi.lastStatus.toString() : item);
    } else if (command == "call") {
      const headers = [":method", "POST", ":path", two, ":authority", "authority.test", "x-call", "1"];
      const call = abi.httpCall(one, headers, "question", 1000);
      if (call < 0) {
        got(type, "call", "status " + (-call).toString());
      } else if (type != 8) {
        waiting.set(<u32>call, id);
        return STOP;
      }
    } else if (command == "grpc") {
      const call = abi.grpcCall(one, two, ["x-meta", "data"], "question", 300);
      if (call < 0) {
        got(type, "grpc", "status " + (-call).toString());
      } else {
        waiting.set(<u32>call, id);
        return STOP;
      }
    } else if (command == "grpc-stream") {
      grpcStream = <u32>abi.grpcStream(one, two);
    } else if (command == "grpc-send") {
      got(type, "grpc", abi.sendGrpc(grpcStream, one, two == "last").toString());
    } else if (command == "grpc-close") {
      got(type, "grpc", abi.closeGrpc(grpcStream).toString());
    } else if (command == "grpc-cancel") {
      got(type, "grpc", abi.cancelGrpc(grpcStream).toString());
    } else if (command == "call-incomplete") {
      got(type, "call", "status " + (-abi.httpCall(one, [":method", "GET"], "", 0)).toString());
    } else if (command == "close") {
      abi.closeStream(0);
    } else if (command == "pause") {
      return STOP;
    } else if (command == "network") {
      network = one;
    } else if (command == "foreign") {
      got(type, "foreign", abi.callForeign(one).toString());
    } else if (command == "environment") {
      got(type, "environment", abi.environment());
    } else if (command == "random") {
      got(type, "random", abi.random() != abi.random() ? "yes" : "no");
    } else if (command == "clock") {
      got(type, "clock", (abi.clock(0) / 1000000).toString() + " " + (abi.clock(1) > 0 ? "1" : "0") + " " + abi.clock(7).toString());
    } else if (command == "write") {
      got(type, "write", abi.write(U32.parseInt(one), two).toString());
    } else if (command == "log") {
      got(type, "log", abi.log(U32.parseInt(one), two).toString());
    } else if (command == "buffer") {
      const text = abi.getBuffer(U32.parseInt(one));
      got(type, "buffer", text === null ? "none" : text);
    } else if (command == "hold-done") {
      isHoldingDone = true;
    } else if (command == "finish") {
      got(type, "finish", abi.done().toString());
    } else if (command == "finish-later") {
      // Any other stream that waits for its end.
      const ids = states.keys();
      for (let k = 0; k < ids.length; k++) {
        if (states.get(ids[k]).log != "later") continue;
        abi.setEffectiveContext(ids[k]);
        abi.done();
      }
      abi.setEffectiveContext(id);
    } else if (command == "effective") {
      got(type, "effective", abi.setEffectiveContext(U32.parseInt(one)).toString());
    } else if (command == "trap") {
      unreachable();
    } else if (command == "loop") {
      while (true) ticks++;
    } else if (command == "recurse") {
      got(type, "recurse", recurse(0).toString());
    } else if (command == "grow") {
      got(type, "grow", memory.grow(I32.parseInt(one)).toString());
    } else if (command == "exit") {
      abi.exit(3);
    }
  }
  return CONTINUE;
}
