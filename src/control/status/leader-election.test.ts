import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import { KubernetesClient } from "../sources/kubernetes/client.ts";
import { type FakeApiServer, startFakeApiServer } from "../sources/kubernetes/testing/fake-api-server.ts";
import { LeaderElection } from "./leader-election.ts";

const leases = "/apis/coordination.k8s.io/v1/leases";
const leasePath = "/apis/coordination.k8s.io/v1/namespaces/istio-system/leases/istio-status-leader";

interface Replica {
  readonly election: LeaderElection;
  readonly client: KubernetesClient;
  readonly events: string[];
}

async function setUp(
  t: TestContext,
): Promise<{ api: FakeApiServer; clock: ManualClock; join: (id: string) => Replica }> {
  const api = await startFakeApiServer([leases]);
  t.after(() => api.stop());
  const clock = new ManualClock(1_000_000);
  const join = (identity: string): Replica => {
    const client = new KubernetesClient({ socketPath: api.socketPath });
    const events: string[] = [];
    const election = new LeaderElection({
      client,
      name: "istio-status-leader",
      namespace: "istio-system",
      identity,
      clock,
      log: silentLogger,
      onElected: () => events.push("elected"),
      onDeposed: () => events.push("deposed"),
    });
    t.after(async () => {
      await election.stop();
      client.close();
    });
    election.start();
    return { election, client, events };
  };
  return { api, clock, join };
}

/** Moves the clock step by step, with time for requests in between, until it is so. */
async function advanceUntil(clock: ManualClock, condition: () => boolean): Promise<number> {
  const started = clock.now();
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `never: ${condition}`);
    clock.advance(500);
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return clock.now() - started;
}

function holder(api: FakeApiServer): string | undefined {
  return (api.object(leasePath)?.["spec"] as { holderIdentity?: string } | undefined)?.holderIdentity;
}

test("one of two replicas leads, and the other takes over at once when it ends", async (t) => {
  const { api, clock, join } = await setUp(t);
  const one = join("one");
  await advanceUntil(clock, () => one.election.isLeader);
  const two = join("two");
  await advanceUntil(clock, () => api.requests.filter((request) => request.startsWith("GET")).length > 6);
  assert.deepEqual([one.events, two.events, holder(api)], [["elected"], [], "one"]);
  await one.election.stop();
  assert.equal(holder(api), "");
  await advanceUntil(clock, () => two.election.isLeader);
  assert.deepEqual([one.events, two.events, holder(api)], [["elected", "deposed"], ["elected"], "two"]);
  const spec = api.object(leasePath)?.["spec"] as { leaseTransitions?: number };
  assert.equal(spec.leaseTransitions, 1);
});

test("a leader that does not renew is deposed before another leads", async (t) => {
  const { api, clock, join } = await setUp(t);
  const one = join("one");
  await advanceUntil(clock, () => one.election.isLeader);
  const two = join("two");
  // The first replica cannot write any more; the second can.
  api.respond = (request, body) =>
    request.method === "PUT" && body.includes('"holderIdentity":"one"')
      ? { status: 500, body: { message: "down" } }
      : undefined;
  const order: string[] = [];
  await advanceUntil(clock, () => {
    if (one.events.includes("deposed") && !order.includes("one deposed")) order.push("one deposed");
    if (two.election.isLeader && !order.includes("two leads")) order.push("two leads");
    return order.length === 2;
  });
  assert.deepEqual(order, ["one deposed", "two leads"]);
});
