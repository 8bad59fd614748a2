import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { after, before, test } from "node:test";
import { Headers } from "#wire/http/headers.ts";
import { clusterOn, dataPath, httpServer, type TestDataPath } from "../listener/testing/data-path.ts";
import { until } from "../listener/testing/requests.ts";
import { callHttp, type HttpCall, type HttpCallFailure, type HttpCallResponse } from "./http-call.ts";

let server: Awaited<ReturnType<typeof httpServer>>;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
before(async () => {
  server = await httpServer((request, response) => answer(request, response));
});
after(() => server.stop());

function started(): TestDataPath {
  const path = dataPath();
  path.clusters.update(clusterOn("peer", [server.port]));
  return path;
}

type Outcome = HttpCallResponse | HttpCallFailure;

function call(path: TestDataPath, change: Partial<HttpCall> = {}): { outcomes: Outcome[]; cancel: () => void } {
  const outcomes: Outcome[] = [];
  const cancel = callHttp(
    path,
    {
      cluster: "peer",
      method: "GET",
      scheme: "http",
      authority: "peer.example",
      path: "/a?b",
      headers: new Headers(),
      body: null,
      timeoutMs: 2000,
      maxResponseBytes: 100,
      ...change,
    },
    { onCallDone: (response) => void outcomes.push(response), onCallFailed: (failure) => void outcomes.push(failure) },
  );
  return { outcomes, cancel };
}

test("a call sends what it is told, with framing of its own, and gets the whole response", async () => {
  const path = started();
  const seen: unknown[] = [];
  answer = (request, response) => {
    const { host, connection, "content-length": length, "x-a": a } = request.headers;
    seen.push([request.method, request.url, host, connection, length, a]);
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => response.writeHead(201, { "x-b": "1" }).end(body));
  };
  const headers = new Headers();
  for (const [name, value] of Object.entries({
    "x-a": "1",
    connection: "close",
    "content-length": "99",
    ":path": "/evil",
  })) {
    headers.add(name, value);
  }
  const { outcomes } = call(path, { method: "POST", headers, body: Buffer.from("hello") });
  await until(() => outcomes.length === 1);
  const [response] = outcomes;
  assert.ok(response !== undefined && "status" in response);
  assert.deepEqual([response.status, response.headers.get("x-b"), response.body.toString()], [201, "1", "hello"]);
  assert.deepEqual(seen, [["POST", "/a?b", "peer.example", undefined, "5", "1"]]);
  path.stop();
});

test("a response that is too long, too late or never comes is a failure in words, told once", async () => {
  const path = started();
  answer = (_, response) => response.end("x".repeat(101));
  const long = call(path);
  await until(() => long.outcomes.length === 1);
  answer = () => {};
  const late = call(path, { timeoutMs: 20 });
  const nobody = call(path, { cluster: "nobody" });
  assert.equal(nobody.outcomes.length, 0, "not before the call has returned");
  await until(() => late.outcomes.length === 1 && nobody.outcomes.length === 1);
  assert.deepEqual(
    [long, late, nobody].flatMap(({ outcomes }) => outcomes),
    [
      { words: "the response is longer than 100 bytes", isTimeout: false },
      { words: "no answer within 20 ms", isTimeout: true },
      { words: 'the cluster "nobody" does not exist', isTimeout: false },
    ],
  );
  path.stop();
});

test("a cancelled call says nothing any more, and its connection serves nobody else", async () => {
  const path = started();
  const pending: ServerResponse[] = [];
  answer = (_, response) => void pending.push(response);
  const { outcomes, cancel } = call(path);
  await until(() => pending.length === 1);
  cancel();
  pending[0]?.end("late");
  answer = (_, response) => void response.end("second");
  const second = call(path);
  await until(() => second.outcomes.length === 1);
  const [response] = second.outcomes;
  assert.ok(response !== undefined && "status" in response);
  assert.equal(response.body.toString(), "second");
  assert.equal(outcomes.length, 0);
  path.stop();
});
