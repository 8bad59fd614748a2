// When the agent calls its workload well or unwell, and what it says of it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import { type HealthReport, type ReadinessProbe, readReadinessProbe, WorkloadHealth } from "./workload-health.ts";

/** Advances by periods until so many reports are there. */
async function reports(
  t: TestContext,
  probe: ReadinessProbe,
  host: string,
  periods: (at: number) => void,
  wanted: number,
) {
  const clock = new ManualClock();
  const heard: (HealthReport & { readonly atMs: number })[] = [];
  const health = new WorkloadHealth({
    probe,
    host,
    clock,
    onHealth: (report) => heard.push({ ...report, atMs: clock.now() }),
  });
  t.after(() => health.stop());
  health.start();
  const deadline = Date.now() + 10_000;
  let at = 0;
  while (heard.length < wanted && Date.now() < deadline) {
    periods(at++);
    clock.advance(1000);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return heard;
}

test("HTTP: it is told once that it is well, unwell after as many failures as the probe says, and well again", async (t) => {
  let status = 200;
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    response.writeHead(request.url === "/ready" ? status : 404).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const probe = { httpGet: { port, path: "/ready" }, periodSeconds: 1, failureThreshold: 2, initialDelaySeconds: 1 };
  let failedAfter = 0;
  const heard = await reports(
    t,
    probe,
    "127.0.0.1",
    () => {
      if (asked === 3 && status === 200) status = 500;
      if (asked === 6 && status === 500) status = 200;
      if (status === 500) failedAfter = asked;
    },
    3,
  );
  assert.deepEqual(
    heard.map(({ isHealthy, message }) => [isHealthy, message]),
    [
      [true, ""],
      [false, "the application answered 500"],
      [true, ""],
    ],
  );
  assert.ok(failedAfter >= 5, "two failures in a row are needed");
});

test("a command, a port and the reason why they fail", async (t) => {
  const failing = await reports(
    t,
    { exec: { command: ["sh", "-c", "echo no disk >&2; exit 3"] }, periodSeconds: 1, failureThreshold: 1 },
    "127.0.0.1",
    () => {},
    1,
  );
  assert.deepEqual([failing[0]?.isHealthy, failing[0]?.message], [false, "no disk"]);
  const good = await reports(t, { exec: { command: ["true"] } }, "127.0.0.1", () => {}, 1);
  assert.equal(good[0]?.isHealthy, true);
  const missing = await reports(
    t,
    { exec: { command: ["/no/such/command"] }, periodSeconds: 1, failureThreshold: 1 },
    "127.0.0.1",
    () => {},
    1,
  );
  assert.match(missing[0]?.message ?? "", /ENOENT/);
  const closed = await reports(
    t,
    { tcpSocket: { port: 1 }, periodSeconds: 1, failureThreshold: 1 },
    "127.0.0.1",
    () => {},
    1,
  );
  assert.match(closed[0]?.message ?? "", /ECONNREFUSED/);
});

test("a probe that cannot be is refused in words", () => {
  const refusal = (value: unknown): string => String(readReadinessProbe(value));
  assert.equal(readReadinessProbe(undefined), undefined);
  assert.deepEqual(readReadinessProbe({ tcpSocket: { port: 80 } }), { tcpSocket: { port: 80 } });
  assert.match(refusal([]), /is no object/);
  assert.match(refusal({}), /exactly one of/);
  assert.match(refusal({ tcpSocket: { port: 1 }, grpc: { port: 1 } }), /exactly one of/);
  assert.match(refusal({ httpGet: { port: 0 } }), /httpGet.port: 0 is not a port/);
  assert.match(refusal({ exec: { command: [] } }), /exec.command: is missing/);
  assert.match(refusal({ tcpSocket: { port: 1 }, periodSeconds: -1 }), /periodSeconds: -1/);
});
