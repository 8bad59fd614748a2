import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "#base/time/clock.ts";
import { ContainerLog } from "./container-log.ts";
import type { ContainerExit, ContainerProcess } from "./container-process.ts";
import { ContainerRunner, type ContainerRunnerOptions } from "./container-runner.ts";
import { WaitingError } from "./waiting-error.ts";

const turn = async (): Promise<void> => {
  for (let count = 0; count < 5; count++) await new Promise((resolve) => setImmediate(resolve));
};

class FakeProcess implements ContainerProcess {
  readonly pid = 4;
  readonly signals: string[] = [];
  readonly commands: string[] = [];
  readonly #exit = Promise.withResolvers<ContainerExit>();
  readonly exited = this.#exit.promise;
  onSignal: (signal: string) => void = () => {};
  execCode = 0;

  end(code: number): void {
    this.#exit.resolve({ code, signal: undefined });
  }

  attach(): never {
    throw new Error("not attached to in these tests");
  }

  kill(signal: NodeJS.Signals): void {
    this.signals.push(signal);
    if (signal === "SIGKILL") this.end(137);
    else this.onSignal(signal);
  }

  async exec(command: readonly string[]): Promise<{ code: number; output: string; timedOut: boolean }> {
    this.commands.push(command.join(" "));
    return { code: this.execCode, output: "", timedOut: false };
  }
}

function setUp(fields: Partial<ContainerRunnerOptions> & { spec?: object } = {}) {
  const clock = new ManualClock(1_000_000);
  const processes: FakeProcess[] = [];
  const events: string[] = [];
  let refusal: Error | undefined;
  const runner = new ContainerRunner({
    container: { name: "c", image: "i", ...fields.spec },
    restartPolicy: "Always",
    isInit: false,
    podAddress: () => "127.0.0.1",
    clock,
    openLog: () => new ContainerLog(clock),
    launch: async () => {
      if (refusal !== undefined) throw refusal;
      const process = new FakeProcess();
      processes.push(process);
      return process;
    },
    onChange: () => {},
    onEvent: (_type, reason) => events.push(reason),
    ...fields,
  });
  return {
    runner,
    clock,
    processes,
    events,
    last: () => processes.at(-1) ?? assert.fail("no process"),
    refuse: (error: Error | undefined) => {
      refusal = error;
    },
  };
}

describe("a container", () => {
  it("is started again at once, then after a second, then after two", async () => {
    const { runner, clock, processes, last } = setUp();
    runner.start();
    await turn();
    last().end(1);
    await turn();
    assert.equal(processes.length, 2);
    last().end(1);
    await turn();
    assert.equal(processes.length, 2);
    assert.equal(runner.state.current.kind === "waiting" && runner.state.current.reason, "CrashLoopBackOff");
    assert.equal(runner.state.last?.exitCode, 1);
    clock.advance(1_000);
    await turn();
    assert.equal(processes.length, 3);
    last().end(1);
    await turn();
    clock.advance(1_000);
    await turn();
    assert.equal(processes.length, 3);
    clock.advance(1_000);
    await turn();
    assert.equal(processes.length, 4);
    assert.equal(runner.state.restarts, 3);
  });

  it("that ran for a minute starts again at once", async () => {
    const { runner, clock, processes, last } = setUp();
    runner.start();
    for (let run = 1; run < 5; run++) {
      await turn();
      clock.advance(60_000);
      last().end(1);
      await turn();
      assert.equal(processes.length, run + 1);
    }
  });

  it("ends for good when its policy says so", async () => {
    for (const [restartPolicy, code, runs] of [
      ["Never", 1, 1],
      ["OnFailure", 0, 1],
      ["OnFailure", 1, 2],
    ] as const) {
      const { runner, processes, last } = setUp({ restartPolicy });
      runner.start();
      await turn();
      last().end(code);
      await turn();
      assert.equal(processes.length, runs, `${restartPolicy} ${code}`);
      if (runs === 1) assert.equal(await runner.ended, code);
    }
  });

  it("waits for what is missing, says what, and tries again when something changes", async () => {
    const { runner, processes, events, refuse } = setUp();
    refuse(new WaitingError("ErrImagePull", "no such image"));
    runner.start();
    await turn();
    assert.deepEqual(runner.state.current, { kind: "waiting", reason: "ErrImagePull", message: "no such image" });
    assert.deepEqual(events, ["Failed"]);
    refuse(undefined);
    runner.poke();
    await turn();
    assert.equal(processes.length, 1);
    assert.equal(runner.state.ready, true);
  });

  it("gets preStop, then SIGTERM, and at the deadline SIGKILL", async () => {
    const { runner, clock, last } = setUp({ spec: { lifecycle: { preStop: { exec: { command: ["drain"] } } } } });
    runner.start();
    await turn();
    const stopped = runner.stop(clock.now() + 5_000);
    await turn();
    assert.deepEqual(last().commands, ["drain"]);
    assert.deepEqual(last().signals, ["SIGTERM"]);
    clock.advance(4_999);
    assert.deepEqual(last().signals, ["SIGTERM"]);
    clock.advance(1);
    await stopped;
    assert.deepEqual(last().signals, ["SIGTERM", "SIGKILL"]);
    assert.equal(await runner.ended, 137);
  });

  it("is not started again while it is being stopped", async () => {
    const { runner, clock, processes, last } = setUp();
    runner.start();
    await turn();
    last().onSignal = () => last().end(0);
    await runner.stop(clock.now() + 5_000);
    await turn();
    assert.equal(processes.length, 1);
  });

  it("that is stopped before it was started never runs", async () => {
    const { runner, clock, processes } = setUp();
    await runner.stop(clock.now());
    runner.start();
    await turn();
    assert.equal(processes.length, 0);
  });

  it("is stopped at once while it waits", async () => {
    const { runner, clock, last } = setUp();
    runner.start();
    await turn();
    last().end(1);
    await turn();
    last().end(1);
    await turn();
    await runner.stop(clock.now() + 60_000);
  });

  it("becomes ready by its probes: startup first, then readiness", async () => {
    const probe = { exec: { command: ["check"] }, periodSeconds: 1 };
    const { runner, clock, last } = setUp({ spec: { startupProbe: probe, readinessProbe: probe } });
    runner.start();
    await turn();
    assert.deepEqual([runner.state.started, runner.state.ready], [false, false]);
    clock.advance(50);
    await turn();
    assert.deepEqual([runner.state.started, runner.state.ready], [true, false]);
    assert.equal(await runner.started, true);
    clock.advance(50);
    await turn();
    assert.equal(runner.state.ready, true);
    last().end(0);
    await turn();
    assert.equal(runner.state.ready, false);
  });

  it("that fails its liveness probe is ended and started again", async () => {
    const livenessProbe = { exec: { command: ["alive"] }, periodSeconds: 1, failureThreshold: 2 };
    const { runner, clock, processes, events, last } = setUp({ spec: { livenessProbe } });
    runner.start();
    await turn();
    last().execCode = 1;
    last().onSignal = () => last().end(143);
    for (let second = 0; second < 3; second++) {
      clock.advance(1_000);
      await turn();
    }
    assert.equal(processes.length, 2);
    assert.ok(events.includes("Unhealthy") && events.includes("Killing"));
  });

  it("whose postStart hook fails is ended", async () => {
    const { runner, last } = setUp({
      restartPolicy: "Never",
      spec: { lifecycle: { postStart: { exec: { command: ["hook"] } } } },
    });
    runner.start();
    const process = await new Promise<FakeProcess>((resolve) => setImmediate(() => resolve(last())));
    process.onSignal = () => process.end(143);
    process.execCode = 1;
    await turn();
    assert.ok(process.commands.includes("hook"));
  });
});
