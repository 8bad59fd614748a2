import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import { SecretAccessReviews } from "./secret-access.ts";

const account = { namespace: "edge", serviceAccount: "gateway" };

function reviews(answers: (boolean | Error)[]): {
  access: SecretAccessReviews;
  clock: ManualClock;
  asked: unknown[];
  changes: () => number;
} {
  const clock = new ManualClock(1_000_000);
  const asked: unknown[] = [];
  let changes = 0;
  const raw = async (_method: string, _path: string, body: unknown): Promise<unknown> => {
    const answer = answers[Math.min(asked.length, answers.length - 1)];
    asked.push((body as { spec: unknown }).spec);
    if (answer instanceof Error) throw answer;
    return { status: { allowed: answer } };
  };
  const access = new SecretAccessReviews({
    client: { raw } as ConstructorParameters<typeof SecretAccessReviews>[0]["client"],
    clock,
    log: silentLogger,
    onChange: () => changes++,
  });
  return { access, clock, asked, changes: () => changes };
}

test("the API server says who may list Secrets; until it has, nobody knows", async () => {
  const { access, asked, changes } = reviews([true]);
  assert.equal(access.mayRead(account), undefined);
  assert.equal(access.mayRead(account), undefined, "asked once");
  await turn();
  assert.equal(access.mayRead(account), true);
  assert.equal(changes(), 1);
  assert.deepEqual(asked, [
    {
      user: "system:serviceaccount:edge:gateway",
      groups: ["system:serviceaccounts", "system:serviceaccounts:edge", "system:authenticated"],
      resourceAttributes: { namespace: "edge", verb: "list", resource: "secrets" },
    },
  ]);
});

test("permissions come and go, and while the API server is away what was known counts on", async () => {
  const { access, clock, changes } = reviews([false, true, new Error("away"), false]);
  access.mayRead(account);
  await turn();
  assert.equal(access.mayRead(account), false);
  clock.advance(5000);
  await turn();
  assert.equal(access.mayRead(account), true);
  clock.advance(60_000);
  await turn();
  assert.equal(access.mayRead(account), true);
  clock.advance(1000);
  await turn();
  assert.equal(access.mayRead(account), false);
  assert.equal(changes(), 3);
});

test("an account that nobody asks about is forgotten", async () => {
  const { access, clock, asked } = reviews([true]);
  access.mayRead(account);
  await turn();
  for (let minute = 0; minute < 12; minute++) {
    clock.advance(60_000);
    await turn();
  }
  const before = asked.length;
  clock.advance(60_000);
  await turn();
  assert.equal(asked.length, before);
});
