// Keeps the node's netfilter rules equal to what Services and EndpointSlices say. Changes that come while a
// transaction runs are collected into the next one; equal rules are not written again.

import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { type Clock, systemClock } from "#base/time/clock.ts";
import { runCommand } from "./run-command.ts";
import type { ServiceDirectory } from "./service-directory.ts";
import { serviceRules } from "./service-rules.ts";

export interface ServiceProxyOptions {
  readonly directory: ServiceDirectory;
  readonly log: Logger;
  readonly clock?: Clock;
  /** The node's port for what leaves the cluster. */
  readonly egressPort?: number;
  /** Writes the rules; the default runs iptables-restore. */
  readonly apply?: (rules: string) => Promise<unknown>;
}

const retryMs = 1_000;

/** Resolves when the first rules are in force. */
export async function startServiceProxy(options: ServiceProxyOptions): Promise<Running> {
  const { directory, log, clock = systemClock } = options;
  const apply =
    options.apply ?? ((rules) => runCommand("iptables-restore", ["-w", "5"], { input: rules, timeoutMs: 15_000 }));
  let inForce = "";
  let running: Promise<void> | undefined;
  let isDirty = false;
  let isStopped = false;
  let cancelRetry: (() => void) | undefined;

  const sync = async (): Promise<void> => {
    while (isDirty && !isStopped) {
      isDirty = false;
      const rules = serviceRules(directory.all(), options.egressPort);
      if (rules === inForce) continue;
      await apply(rules);
      inForce = rules;
    }
  };
  const trigger = (): void => {
    isDirty = true;
    if (running !== undefined || isStopped) return;
    running = Promise.resolve()
      .then(sync)
      .catch((error: unknown) => {
        log.error(`service rules were not written, trying again: ${describeError(error)}`);
        isDirty = true;
        cancelRetry = clock.after(retryMs, () => {
          cancelRetry = undefined;
          trigger();
        });
      })
      .finally(() => {
        running = undefined;
        if (isDirty && cancelRetry === undefined) trigger();
      });
  };

  isDirty = true;
  await sync();
  const unsubscribe = directory.onChange(() => {
    cancelRetry?.();
    cancelRetry = undefined;
    trigger();
  });
  return {
    stop: async () => {
      isStopped = true;
      unsubscribe();
      cancelRetry?.();
      await running;
    },
  };
}
