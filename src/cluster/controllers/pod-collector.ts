// Removes pods that have ended when there are too many of them, the oldest first.

import type { Running } from "#base/lifecycle.ts";
import type { Clock } from "#base/time/clock.ts";
import { pods } from "../store/resources.ts";
import type { ObjectStore } from "../store/store.ts";
import { hasEnded } from "./pod-state.ts";

const sweepMs = 20_000;
const maxEnded = 200;

export function startPodCollector(store: ObjectStore, clock: Clock): Running {
  let cancel = (): void => {};
  const sweep = (): void => {
    const ended = store
      .list(pods)
      .items.filter(hasEnded)
      .toSorted(
        (a, b) => Date.parse(a.metadata.creationTimestamp ?? "") - Date.parse(b.metadata.creationTimestamp ?? ""),
      );
    for (const pod of ended.slice(0, Math.max(0, ended.length - maxEnded))) {
      store.delete(pods, pod.metadata.namespace ?? "", pod.metadata.name, { gracePeriodSeconds: 0 });
    }
    cancel = clock.after(sweepMs, sweep);
  };
  cancel = clock.after(sweepMs, sweep);
  return { stop: () => Promise.resolve(cancel()) };
}
