// The addresses of hosts that requests and hellos name. A host is looked up when it is first asked for, again as its
// records say while it is in use, and forgotten when nobody asks any more. It is bounded: in hosts, and in who waits.
//
// A host: looking up for the first time (who asks waits), resolved (the last good answer stays when later lookups fail),
// or without an address (who asks is told at once, until a later lookup finds one).
import { isIP } from "node:net";
import type { Logger } from "#base/log/log.ts";
import { Backoff } from "#base/time/backoff.ts";
import type { DnsCacheConfig } from "../../config/dns-cache.ts";
import type { DynamicHost } from "../../decide/dynamic-host.ts";
import type { Counter, Gauge, Stats } from "../../stats/stats.ts";
import type { EventLoop } from "../../transport/event-loop.ts";
import { chosenAddresses, familyNumber } from "./address-family.ts";
import type { DnsAnswer, ResolveDns } from "./resolve-dns.ts";

/** A host in the cache. */
export interface ResolvedHost {
  readonly key: string;
  readonly host: string;
  readonly port: number;
  /** Empty: it has none. */
  readonly addresses: readonly string[];
  /** Why it has no address, in words. */
  readonly error: string;
}

/** Who waits for a lookup. */
export interface DnsWaiter {
  onHostLoaded(host: ResolvedHost): void;
}

export type DnsLoad = ResolvedHost | "loading" | "too many hosts" | "too many requests";

interface CachedHost extends ResolvedHost {
  addresses: readonly string[];
  error: string;
  isLoaded: boolean;
  lastUsed: number;
  readonly backoff: Backoff | null;
  readonly waiters: Set<DnsWaiter>;
  /** Of the lookup that is under way; its answer counts as long as this stays. */
  question: number;
  cancelTimer: (() => void) | null;
}

export interface DnsCacheOptions {
  readonly loop: EventLoop;
  readonly log: Logger;
  readonly resolve: ResolveDns;
  readonly stats: Stats;
}

export class DnsCache {
  config: DnsCacheConfig;
  readonly #options: DnsCacheOptions;
  readonly #hosts = new Map<string, CachedHost>();
  readonly #removalListeners = new Set<(key: string) => void>();
  readonly #stats: DnsCacheStats;
  #pending = 0;
  #questions = 0;
  #isStopped = false;

  constructor(config: DnsCacheConfig, options: DnsCacheOptions) {
    this.config = config;
    this.#options = options;
    this.#stats = new DnsCacheStats(options.stats, `dns_cache.${config.name}.`);
  }

  /** What is known of a host. `waiter` hears of it when the answer is "loading"; `cancel` ends that. */
  load(asked: DynamicHost, waiter: DnsWaiter): DnsLoad {
    let host = this.#hosts.get(asked.key);
    if (host === undefined) {
      if (this.#hosts.size >= this.config.maxHosts) {
        this.#stats.hostOverflow.add();
        return "too many hosts";
      }
      host = this.#add(asked);
    }
    host.lastUsed = this.#options.loop.now;
    if (host.isLoaded) return host;
    if (this.#pending >= this.config.maxPendingRequests) {
      this.#stats.pendingOverflow.add();
      return "too many requests";
    }
    this.#pending++;
    host.waiters.add(waiter);
    return "loading";
  }

  /** A host that was looked up; null: it was not, or is forgotten. */
  get(key: string): ResolvedHost | null {
    const host = this.#hosts.get(key);
    if (host === undefined || !host.isLoaded) return null;
    host.lastUsed = this.#options.loop.now;
    return host;
  }

  /** Nobody waits any more. */
  cancel(key: string, waiter: DnsWaiter): void {
    if (this.#hosts.get(key)?.waiters.delete(waiter) === true) this.#pending--;
  }

  /** Calls back with the keys of hosts that are forgotten, until what it gives back is called. */
  onRemoved(listener: (key: string) => void): () => void {
    this.#removalListeners.add(listener);
    return () => void this.#removalListeners.delete(listener);
  }

  stop(): void {
    this.#isStopped = true;
    for (const host of this.#hosts.values()) host.cancelTimer?.();
    this.#hosts.clear();
  }

  #add({ key, host: name, port }: DynamicHost): CachedHost {
    const { failureRefresh } = this.config;
    const { loop } = this.#options;
    const isAddress = isIP(name) !== 0;
    const host: CachedHost = {
      key,
      host: name,
      port,
      addresses: isAddress ? [name] : [],
      error: "",
      isLoaded: isAddress,
      lastUsed: loop.now,
      backoff:
        failureRefresh === null
          ? null
          : new Backoff({ initialMs: failureRefresh.baseMs, maxMs: failureRefresh.maxMs, random: loop.random }),
      waiters: new Set(),
      question: 0,
      cancelTimer: null,
    };
    this.#hosts.set(key, host);
    this.#stats.hostsAdded.add();
    this.#stats.hosts.set(this.#hosts.size);
    if (isAddress) host.cancelTimer = loop.after(this.config.hostTtlMs, () => this.#refresh(host));
    else this.#ask(host);
    return host;
  }

  #refresh(host: CachedHost): void {
    host.cancelTimer = null;
    const { loop } = this.#options;
    const idleMs = loop.clock.now() - host.lastUsed;
    if (idleMs >= this.config.hostTtlMs) this.#remove(host);
    else if (isIP(host.host) === 0) this.#ask(host);
    else host.cancelTimer = loop.after(this.config.hostTtlMs - idleMs, () => this.#refresh(host));
  }

  #remove(host: CachedHost): void {
    this.#hosts.delete(host.key);
    this.#stats.hostsRemoved.add();
    this.#stats.hosts.set(this.#hosts.size);
    for (const listener of this.#removalListeners) listener(host.key);
  }

  #ask(host: CachedHost): void {
    const { loop, resolve } = this.#options;
    const { queryTimeoutMs, family } = this.config;
    const question = ++this.#questions;
    host.question = question;
    this.#stats.attempts.add();
    if (queryTimeoutMs > 0) {
      host.cancelTimer = loop.after(queryTimeoutMs, () => {
        this.#stats.timeouts.add();
        this.#answered(host, { addresses: [], ttlMs: null, error: `no answer within ${queryTimeoutMs} ms` });
      });
    }
    resolve({ host: host.host, family: familyNumber(family), wantsTtl: true }, (answer) => {
      if (host.question === question && !this.#isStopped) this.#answered(host, answer);
    });
  }

  #answered(host: CachedHost, answer: DnsAnswer): void {
    const { loop, log } = this.#options;
    host.question = 0;
    host.cancelTimer?.();
    const addresses = answer.error === null ? chosenAddresses(answer.addresses, this.config.family) : [];
    if (addresses.length > 0) {
      this.#stats.successes.add();
      if (host.isLoaded && !isEqual(addresses, host.addresses)) this.#stats.addressesChanged.add();
      host.backoff?.reset();
      host.addresses = addresses;
      host.error = "";
    } else {
      this.#stats.failures.add();
      host.error = answer.error ?? "it has no address";
      log.debug(`${host.host} can't be resolved: ${host.error}`);
    }
    host.cancelTimer = loop.after(this.#delay(host, addresses.length > 0 ? answer.ttlMs : null), () =>
      this.#refresh(host),
    );
    host.isLoaded = true;
    const waiters = [...host.waiters];
    host.waiters.clear();
    this.#pending -= waiters.length;
    for (const waiter of waiters) waiter.onHostLoaded(host);
  }

  #delay(host: CachedHost, ttlMs: number | null): number {
    const { refreshMs, minRefreshMs } = this.config;
    if (host.error !== "" && host.backoff !== null) return host.backoff.next();
    return Math.max(minRefreshMs, ttlMs !== null && ttlMs > 0 ? ttlMs : refreshMs);
  }
}

function isEqual(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((it) => others.includes(it));
}

class DnsCacheStats {
  readonly attempts: Counter;
  readonly successes: Counter;
  readonly failures: Counter;
  readonly timeouts: Counter;
  readonly addressesChanged: Counter;
  readonly hostsAdded: Counter;
  readonly hostsRemoved: Counter;
  readonly hostOverflow: Counter;
  readonly pendingOverflow: Counter;
  readonly hosts: Gauge;

  constructor(stats: Stats, prefix: string) {
    this.attempts = stats.counter(`${prefix}dns_query_attempt`);
    this.successes = stats.counter(`${prefix}dns_query_success`);
    this.failures = stats.counter(`${prefix}dns_query_failure`);
    this.timeouts = stats.counter(`${prefix}dns_query_timeout`);
    this.addressesChanged = stats.counter(`${prefix}host_address_changed`);
    this.hostsAdded = stats.counter(`${prefix}host_added`);
    this.hostsRemoved = stats.counter(`${prefix}host_removed`);
    this.hostOverflow = stats.counter(`${prefix}host_overflow`);
    this.pendingOverflow = stats.counter(`${prefix}dns_rq_pending_overflow`);
    this.hosts = stats.gauge(`${prefix}num_hosts`);
  }
}
