// Keeps the endpoints of a STRICT_DNS or LOGICAL_DNS cluster up to date. Every name is asked for on its own: again after
// the refresh rate, or its time to live, or after a failure with growing delays. A name that cannot be resolved keeps its
// last good answer.
import { isIP } from "node:net";
import type { Logger } from "#base/log/log.ts";
import { Backoff } from "#base/time/backoff.ts";
import type { DnsConfig, EndpointConfig, EndpointSet } from "../../config/cluster.ts";
import { formatAddress } from "../../transport/connection-info.ts";
import type { EventLoop } from "../../transport/event-loop.ts";
import { chosenAddresses, familyNumber } from "./address-family.ts";
import type { DnsAnswer, ResolveDns } from "./resolve-dns.ts";

export interface DnsDiscoveryOptions {
  readonly loop: EventLoop;
  readonly log: Logger;
  readonly resolve: ResolveDns;
  readonly clusterName: string;
  readonly dns: DnsConfig;
  /** Names instead of addresses. */
  readonly named: EndpointSet;
  /** LOGICAL_DNS: the whole answer is one endpoint. */
  readonly isLogical: boolean;
  readonly onEndpoints: (set: EndpointSet) => void;
  readonly onAttempt: (isSuccess: boolean) => void;
}

interface Target {
  readonly endpoint: EndpointConfig;
  readonly backoff: Backoff | null;
  addresses: readonly string[];
  hasAnswer: boolean;
  cancel: (() => void) | null;
}

export class DnsDiscovery {
  readonly #options: DnsDiscoveryOptions;
  readonly #targets: readonly Target[];
  #waiting: number;
  #isStopped = false;

  constructor(options: DnsDiscoveryOptions) {
    this.#options = options;
    const { failureRefresh } = options.dns;
    const random = options.loop.random;
    this.#targets = options.named.endpoints.map((endpoint) => ({
      endpoint,
      backoff:
        failureRefresh === null
          ? null
          : new Backoff({ initialMs: failureRefresh.baseMs, maxMs: failureRefresh.maxMs, random }),
      addresses: [],
      hasAnswer: false,
      cancel: null,
    }));
    this.#waiting = this.#targets.length;
  }

  start(): void {
    if (this.#targets.length === 0) this.#publish();
    for (const target of this.#targets) this.#ask(target);
  }

  #ask(target: Target): void {
    target.cancel = null;
    const { host } = target.endpoint;
    if (isIP(host) !== 0) {
      this.#take(target, [host]);
      return;
    }
    const { resolve, dns } = this.#options;
    const question = { host, family: familyNumber(dns.family), wantsTtl: dns.respectsTtl };
    resolve(question, (answer) => this.#answered(target, answer));
  }

  #answered(target: Target, answer: DnsAnswer): void {
    if (this.#isStopped) return;
    const { loop, log, clusterName, dns, onAttempt } = this.#options;
    onAttempt(answer.error === null);
    if (answer.error === null) {
      target.backoff?.reset();
      this.#take(target, chosenAddresses(answer.addresses, dns.family));
    } else {
      log.warn(`cluster ${clusterName}: ${target.endpoint.host} can't be resolved: ${answer.error}`);
      this.#take(target, target.addresses);
    }
    const delay =
      answer.error === null
        ? (answer.ttlMs ?? 0) > 0 && dns.respectsTtl
          ? (answer.ttlMs ?? 0)
          : dns.refreshMs
        : (target.backoff?.next() ?? dns.refreshMs);
    target.cancel = loop.after(delay, () => this.#ask(target));
  }

  #take(target: Target, addresses: readonly string[]): void {
    const isNew = !target.hasAnswer;
    if (isNew) {
      target.hasAnswer = true;
      this.#waiting--;
    }
    const isSame =
      addresses.length === target.addresses.length && addresses.every((it) => target.addresses.includes(it));
    target.addresses = addresses;
    // The first endpoints are those of all names.
    if (this.#waiting === 0 && (isNew || !isSame)) this.#publish();
  }

  #publish(): void {
    const { named, onEndpoints } = this.#options;
    const byKey = new Map<string, EndpointConfig>();
    for (const target of this.#targets) {
      for (const endpoint of this.#endpointsOf(target)) if (!byKey.has(endpoint.key)) byKey.set(endpoint.key, endpoint);
    }
    onEndpoints({ ...named, endpoints: [...byKey.values()] });
  }

  #endpointsOf({ endpoint, addresses }: Target): EndpointConfig[] {
    const { host, port, hostname } = endpoint;
    const at = (address: string, others: readonly string[]): EndpointConfig => ({
      ...endpoint,
      host: address,
      key: formatAddress(address, port),
      additionalAddresses: others,
      hostname: hostname === "" && isIP(host) === 0 ? host : hostname,
    });
    if (!this.#options.isLogical) return addresses.map((address) => at(address, []));
    const first = addresses[0];
    return first === undefined ? [] : [at(first, addresses.slice(1))];
  }

  stop(): void {
    this.#isStopped = true;
    for (const target of this.#targets) target.cancel?.();
  }
}
