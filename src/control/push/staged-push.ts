// Brings a change of PeerAuthentication to the proxies in an order in which no request between them fails: servers take
// both, then clients send what is to be sent, then servers take that alone. Each step waits until the connected proxies
// have accepted the one before, and not for long: a proxy that does not answer must not keep a mesh from being STRICT.
// Other changes go on through all steps.
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import {
  firstStep,
  isNarrowing,
  type MtlsStep,
  type MtlsTransition,
  transitionSnapshot,
} from "#mesh/snapshot/mtls-transition.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { type Impact, joinImpacts } from "./impact.ts";

export interface StagedPushOptions {
  readonly push: (snapshot: MeshSnapshot, impact: Impact) => void;
  /** Of the connected proxies. */
  readonly proxies: () => Iterable<ProxyNode>;
  /** Whether everything was sent that was pushed, and all proxies have answered. */
  readonly isSettled: () => boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How often it is looked whether a step is done. */
const lookMs = 50;
/** What a step may take. */
const stepMs = 5000;
/** After the answers: clients of other replicas, and requests that are under way over what is to be closed. */
const settleMs = 500;
/** Of changes in quick succession, so many earlier states are known. */
const maxBefore = 8;

interface Stage {
  readonly transition: MtlsTransition;
  readonly step: MtlsStep;
  /** Of everything since the transition began. */
  readonly impact: Impact;
}

export class StagedPush {
  readonly #options: StagedPushOptions;
  #latest: MeshSnapshot | undefined;
  #stage: Stage | undefined;
  #cancel: () => void = () => {};

  constructor(options: StagedPushOptions) {
    this.#options = options;
  }

  push(next: MeshSnapshot, impact: Impact): void {
    const previous = this.#latest;
    this.#latest = next;
    const stage = this.#stage;
    if (previous !== undefined && next.changes.some(({ kind }) => kind === "PeerAuthentication")) {
      this.#begin(previous, next, impact);
    } else if (stage !== undefined) {
      this.#stage = {
        ...stage,
        transition: { ...stage.transition, next },
        impact: joinImpacts(stage.impact, impact),
      };
      this.#options.push(transitionSnapshot(this.#stage.transition, stage.step), impact);
    } else this.#options.push(next, impact);
  }

  stop(): void {
    this.#cancel();
  }

  #begin(previous: MeshSnapshot, next: MeshSnapshot, impact: Impact): void {
    const running = this.#stage;
    const transition: MtlsTransition = {
      next,
      before: [...(running?.transition.before ?? []), previous].slice(-maxBefore),
      clients: running?.step === "widen" ? running.transition.clients : previous,
    };
    const whole = running === undefined ? impact : joinImpacts(running.impact, impact);
    const step = firstStep(transition, this.#options.proxies());
    if (step === undefined) this.#end(next, whole);
    else this.#enter({ transition, step, impact: whole });
  }

  #enter(stage: Stage): void {
    this.#stage = stage;
    this.#options.log.info("mutual TLS changes step by step", {
      step: stage.step,
      snapshot: stage.transition.next.version,
    });
    this.#options.push(transitionSnapshot(stage.transition, stage.step), stage.impact);
    this.#wait(this.#options.clock.now() + stepMs);
  }

  #wait(deadlineMs: number): void {
    const { clock, isSettled, log } = this.#options;
    this.#cancel();
    this.#cancel = clock.after(lookMs, () => {
      const isLate = clock.now() >= deadlineMs;
      if (!isLate && !isSettled()) return this.#wait(deadlineMs);
      if (isLate)
        log.warn("not every proxy has accepted the last step of a change of mutual TLS; it goes on without them");
      this.#cancel = clock.after(settleMs, () => this.#advance());
    });
  }

  #advance(): void {
    const stage = this.#stage;
    if (stage === undefined) return;
    const { transition, step, impact } = stage;
    if (step === "widen" && isNarrowing(transition, this.#options.proxies())) {
      this.#enter({ transition: { ...transition, clients: transition.next }, step: "move", impact });
    } else this.#end(transition.next, impact);
  }

  #end(next: MeshSnapshot, impact: Impact): void {
    this.#cancel();
    this.#stage = undefined;
    this.#options.push(next, impact);
  }
}
