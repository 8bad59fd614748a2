// HOT: per request; bench/load-balancer.ts. Divides a cluster's hosts into subsets by their `envoy.lb` metadata and
// balances inside the one that the route's criteria name, with Envoy's fallbacks:
// https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/subsets
// Criteria are one object per route, so what they lead to is looked up once per object and change of hosts.
import type { JsonObject } from "@bufbuild/protobuf";
import type { SubsetConfig, SubsetSelector } from "../../config/load-balancing.ts";
import type { Balancer, BalancerCounters, Chance, HostState } from "./balancer.ts";
import { anyHost, type ChoiceContext } from "./choice.ts";
import { type BalancedHost, isUnhealthy } from "./host.ts";
import { LoadBalancer } from "./load-balancer.ts";
import { type Criteria, criteriaOf, criteriaVariants, hasValues, subsetKeys, valuesKey } from "./subset-keys.ts";

/** What criteria lead to: alternatives in order until one gives a host. */
type Plan<H extends BalancedHost> = readonly Way<H>[];

interface Way<H extends BalancedHost> {
  readonly kind: "subset" | "single" | "fallback" | "panic";
  readonly subset: Subset<H>;
}

export class SubsetBalancer<H extends BalancedHost> implements Balancer<H> {
  readonly #counters: BalancerCounters;
  #config: SubsetConfig | null = null;
  #selectors: SelectorIndex<H>[] = [];
  #all: Subset<H> | null = null;
  #default: Subset<H> | null = null;
  /** Where there are no criteria. */
  #plain: readonly Plan<H>[] = [];
  #plans = new WeakMap<JsonObject, readonly Plan<H>[]>();

  constructor(counters: BalancerCounters) {
    this.#counters = counters;
  }

  update(state: HostState<H>): void {
    const config = state.config.subsets!;
    this.#config = config;
    const subsets = new SubsetFactory(config, state, this.#counters);
    this.#selectors = config.selectors.map((selector) => new SelectorIndex(selector, config, state.hosts, subsets));
    this.#all = new Subset(state.hosts, () => state, this.#counters);
    const defaults = criteriaOf(config.defaultSubset);
    const inDefault = state.hosts.filter((host) => hasValues(host.config.metadata, defaults, config.listAsAny));
    this.#default = subsets.make(inDefault);
    this.#plans = new WeakMap();
    this.#plain = [this.#fallback(config.fallback)];
    this.#counters.subsetsActive = this.#selectors.reduce((sum, it) => sum + it.size, 0);
    this.#counters.singleHostDuplicates = this.#selectors.reduce((sum, it) => sum + it.duplicates, 0);
  }

  choose(context: ChoiceContext, chance: Chance): H | null {
    for (const plan of this.#plansFor(context.metadataMatch)) {
      const host = this.#follow(plan, context, chance);
      if (host !== null) return host;
    }
    return null;
  }

  #follow(plan: Plan<H>, context: ChoiceContext, chance: Chance): H | null {
    for (const { kind, subset } of plan) {
      const host = subset.balancer.choose(context, chance);
      if (kind === "single" && (host === null || isUnhealthy(host.healthFlags))) continue;
      // A subset with hosts of which none can be used is an answer too.
      if (host === null && kind === "subset") return null;
      if (host === null) continue;
      if (kind === "fallback") this.#counters.subsetsFallback++;
      else if (kind === "panic") this.#counters.subsetsFallbackPanic++;
      else this.#counters.subsetsSelected++;
      return host;
    }
    return null;
  }

  #plansFor(match: JsonObject | null): readonly Plan<H>[] {
    if (match === null) return this.#plain;
    let plans = this.#plans.get(match);
    if (plans === undefined) {
      const variants = this.#config!.usesFallbackList ? criteriaVariants(match) : [criteriaOf(match)];
      plans = variants.map((criteria) => this.#plan(criteria));
      this.#plans.set(match, plans);
    }
    return plans;
  }

  #plan(criteria: Criteria): Plan<H> {
    const index = this.#selectorFor(criteria);
    const found = index?.find(criteria);
    if (index !== undefined && found !== undefined) {
      const { selector } = index;
      // The one host of a subset is passed over when it is not well; then as if there were none.
      if (selector.isSingleHost)
        return [{ kind: "single", subset: found }, ...this.#selectorFallback(selector, criteria)];
      return [{ kind: "subset", subset: found }];
    }
    if (index === undefined) return this.#fallback(this.#config!.fallback);
    return this.#selectorFallback(index.selector, criteria);
  }

  #selectorFor(criteria: Criteria): SelectorIndex<H> | undefined {
    const exact = this.#selectors.find((it) => it.hasKeysOf(criteria));
    if (exact !== undefined || !this.#config!.allowsRedundantKeys) return exact;
    const contained = this.#selectors.filter((it) => it.selector.keys.every((key) => criteria.has(key)));
    return contained.reduce<SelectorIndex<H> | undefined>(
      (best, it) => (best === undefined || it.selector.keys.length > best.selector.keys.length ? it : best),
      undefined,
    );
  }

  #selectorFallback(selector: SubsetSelector, criteria: Criteria): Plan<H> {
    if (selector.fallback !== "keys_subset") return this.#fallback(selector.fallback ?? this.#config!.fallback);
    return this.#plan(new Map([...criteria].filter(([key]) => selector.fallbackKeys.includes(key))));
  }

  #fallback(policy: SubsetConfig["fallback"]): Plan<H> {
    if (policy === "no_fallback") return [];
    const subset = policy === "any_endpoint" ? this.#all! : this.#default!;
    const plan: Way<H>[] = [{ kind: "fallback", subset }];
    if (this.#config!.panicModeAny) plan.push({ kind: "panic", subset: this.#all! });
    return plan;
  }

  candidates(context: ChoiceContext): readonly H[] {
    for (const plan of this.#plansFor(context.metadataMatch)) {
      for (const { kind, subset } of plan) {
        const hosts = subset.balancer.candidates(anyHost);
        if (hosts.length > 0 || kind === "subset") return hosts;
      }
    }
    return [];
  }
}

/** A balancer over some of the hosts, made when it is first needed: most subsets never are. */
class Subset<H extends BalancedHost> {
  readonly #hosts: readonly H[];
  readonly #state: (hosts: readonly H[]) => HostState<H>;
  readonly #counters: BalancerCounters;
  #balancer: LoadBalancer<H> | null = null;

  constructor(hosts: readonly H[], state: (hosts: readonly H[]) => HostState<H>, counters: BalancerCounters) {
    this.#hosts = hosts;
    this.#state = state;
    this.#counters = counters;
  }

  get balancer(): LoadBalancer<H> {
    if (this.#balancer === null) {
      this.#balancer = new LoadBalancer<H>(this.#counters);
      this.#balancer.update(this.#state(this.#hosts));
    }
    return this.#balancer;
  }
}

/** Makes subsets of the same hosts: how they balance, and by which weights of localities. */
class SubsetFactory<H extends BalancedHost> {
  readonly #state: HostState<H>;
  readonly #scales: boolean;
  readonly #counters: BalancerCounters;
  #sizes: ReadonlyMap<string, number> | null = null;

  constructor(config: SubsetConfig, state: HostState<H>, counters: BalancerCounters) {
    const isLocalityWeighted = state.config.isLocalityWeighted && config.isLocalityWeightAware;
    this.#state = { ...state, config: { ...state.config, isLocalityWeighted } };
    this.#scales = isLocalityWeighted && config.scalesLocalityWeight;
    this.#counters = counters;
  }

  make(hosts: readonly H[]): Subset<H> {
    return new Subset(hosts, (members) => this.#stateOf(members), this.#counters);
  }

  #stateOf(hosts: readonly H[]): HostState<H> {
    if (!this.#scales) return { ...this.#state, hosts };
    this.#sizes ??= countByLocality(this.#state.hosts);
    const whole = this.#sizes;
    const part = countByLocality(hosts);
    const localities = this.#state.localities.map((it) => {
      const key = `${it.priority}|${it.name}`;
      const scale = (part.get(key) ?? 0) / (whole.get(key) ?? 1);
      return { ...it, weight: Math.max(1, Math.round(it.weight * scale)) };
    });
    return { ...this.#state, hosts, localities };
  }
}

function countByLocality(hosts: readonly BalancedHost[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { config } of hosts) {
    const key = `${config.priority}|${config.locality}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** The subsets of one selector by the values of its keys. */
class SelectorIndex<H extends BalancedHost> {
  readonly selector: SubsetSelector;
  /** Hosts that share their value with another one, where a subset may have one host only. */
  duplicates = 0;
  readonly #subsets = new Map<string, Subset<H>>();

  constructor(selector: SubsetSelector, config: SubsetConfig, hosts: readonly H[], subsets: SubsetFactory<H>) {
    this.selector = selector;
    const members = new Map<string, H[]>();
    for (const host of hosts) {
      for (const key of subsetKeys(host.config.metadata, selector.keys, config.listAsAny)) {
        const found = members.get(key);
        if (found === undefined) members.set(key, [host]);
        else if (selector.isSingleHost) this.duplicates++;
        else found.push(host);
      }
    }
    for (const [key, found] of members) this.#subsets.set(key, subsets.make(found));
  }

  get size(): number {
    return this.#subsets.size;
  }

  hasKeysOf(criteria: Criteria): boolean {
    const { keys } = this.selector;
    return keys.length === criteria.size && keys.every((key) => criteria.has(key));
  }

  find(criteria: Criteria): Subset<H> | undefined {
    return this.#subsets.get(valuesKey(this.selector.keys.map((key) => criteria.get(key) ?? "")));
  }
}
