// HOT: per request; bench/load-balancer.ts. Chooses a host: first the priority by how many of its hosts can be used, then
// one of its healthy hosts (or the degraded ones, or in panic any) by the policy. Hosts that were tried before are looked
// past for some attempts.
import { type Hash64, MutableHash64, remainder } from "#base/hash/hash64.ts";
import type { Balancer, BalancerCounters, Chance, HostState } from "./balancer.ts";
import type { ChoiceContext } from "./choice.ts";
import type { BalancedHost } from "./host.ts";
import type { HostSource } from "./host-source.ts";
import { type PriorityLevel, priorityLevels } from "./priority-level.ts";
import { loadsWithout, type PriorityLoads, priorityLoads } from "./priority-load.ts";
import { ZoneSources } from "./zone-sources.ts";

export class LoadBalancer<H extends BalancedHost> implements Balancer<H> {
  readonly #counters: BalancerCounters;
  readonly #drawn = new MutableHash64();
  #levels: readonly PriorityLevel<H>[] = [];
  #loads: PriorityLoads = { healthy: [], degraded: [], isPanicking: [] };
  #overprovisioningPercent = 0;
  #failsInPanic = false;
  #isHashing = false;
  /** Null where zones do not count. */
  #zones: ZoneSources<H> | null = null;

  constructor(counters: BalancerCounters) {
    this.#counters = counters;
  }

  update(state: HostState<H>): void {
    const { config, policy } = state;
    this.#levels = priorityLevels(state);
    const health = this.#levels.map((level) => level.health);
    this.#loads = priorityLoads(health, policy.overprovisioningPercent, config.panicThresholdPercent);
    this.#overprovisioningPercent = policy.overprovisioningPercent;
    this.#failsInPanic = config.failTrafficOnPanic;
    this.#isHashing = config.policy.type === "ring_hash" || config.policy.type === "maglev";
    this.#zones = ZoneSources.of(state, this.#levels[0], this.#counters);
  }

  choose(context: ChoiceContext, chance: Chance): H | null {
    const loads = context.leftPriorities === null ? this.#loads : this.#loadsWithout(context.leftPriorities);
    let host = this.#pick(loads, context.hash, 0, chance);
    if (context.excluded === null && !context.avoidsCanaries) return host;
    for (let i = 1; i <= context.attempts && host !== null && isUnwanted(host, context); i++) {
      host = this.#pick(loads, context.hash, i, chance);
    }
    return host;
  }

  /** Only some retries ask for it. */
  #loadsWithout(left: readonly number[]): PriorityLoads {
    const health = this.#levels.map((level) => level.health);
    const loads = loadsWithout(health, this.#overprovisioningPercent, left);
    return loads === null ? this.#loads : { ...loads, isPanicking: this.#loads.isPanicking };
  }

  #pick(loads: PriorityLoads, given: Hash64 | null, attempt: number, chance: Chance): H | null {
    if (this.#levels.length === 0) return null;
    let hash: Hash64 = this.#drawn;
    if (this.#isHashing) {
      if (given === null) {
        this.#drawn.high = Math.floor(chance.random() * 4294967296);
        this.#drawn.low = Math.floor(chance.random() * 4294967296);
      } else hash = given;
    }
    const source = this.#chooseSource(loads, hash, chance);
    return source === null ? null : source.pick(hash, attempt, chance);
  }

  /** Healthy hosts of all priorities come before degraded ones of any. */
  #chooseSource(loads: PriorityLoads, hash: Hash64, chance: Chance): HostSource<H> | null {
    const { healthy, degraded } = loads;
    const levels = this.#levels;
    if (healthy[0] === 100) return this.#source(0, false, chance);
    let draw = this.#isHashing ? remainder(hash, 100) : chance.random() * 100;
    for (let i = 0; i < levels.length; i++) {
      draw -= healthy[i]!;
      if (draw < 0) return this.#source(i, false, chance);
    }
    for (let i = 0; i < levels.length; i++) {
      draw -= degraded[i]!;
      if (draw < 0) return this.#source(i, true, chance);
    }
    return null;
  }

  #source(priority: number, isDegraded: boolean, chance: Chance): HostSource<H> | null {
    const level = this.#levels[priority]!;
    if (this.#loads.isPanicking[priority]!) {
      this.#counters.healthyPanic++;
      return this.#failsInPanic ? null : level.all;
    }
    const whole = isDegraded ? level.degraded : level.healthy;
    // Further priorities are for when the zones of the first are not enough.
    return this.#zones === null || priority !== 0 ? whole : this.#zones.choose(whole, isDegraded, chance);
  }

  candidates(_context: ChoiceContext): readonly H[] {
    const { healthy, degraded, isPanicking } = this.#loads;
    return this.#levels.flatMap((level, i) => {
      const takesHealthy = (healthy[i] ?? 0) > 0;
      const takesDegraded = (degraded[i] ?? 0) > 0;
      if (isPanicking[i] === true) {
        return this.#failsInPanic || !(takesHealthy || takesDegraded) ? [] : level.all.hosts;
      }
      const near = i === 0 ? (this.#zones?.candidates ?? null) : null;
      return [...(takesHealthy ? (near ?? level.healthy.hosts) : []), ...(takesDegraded ? level.degraded.hosts : [])];
    });
  }
}

function isUnwanted(host: BalancedHost, { excluded, avoidsCanaries }: ChoiceContext): boolean {
  if (excluded?.includes(host) === true) return true;
  return avoidsCanaries && host.config.metadata?.["canary"] === true;
}
