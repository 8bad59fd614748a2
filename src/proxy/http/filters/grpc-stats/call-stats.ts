// Counters of gRPC calls, as Envoy names them: `cluster.<cluster>.grpc.[<service>.<method>.]<counter>`.
import type { Histogram } from "../../../stats/histogram.ts";
import type { Counter, Stats } from "../../../stats/stats.ts";

/** Clients name methods: no more than this have counters of their own. */
const maxMethods = 1000;

export class CallCounters {
  readonly requestMessages: Counter;
  readonly responseMessages: Counter;
  /** From the end of the request to the end of the response; null: not wanted. */
  readonly upstreamTimes: Histogram | null;
  readonly #stats: Stats;
  readonly #prefix: string;
  readonly #total: Counter;
  readonly #success: Counter;
  readonly #failure: Counter;

  constructor(stats: Stats, prefix: string, hasTimes: boolean) {
    this.#stats = stats;
    this.#prefix = prefix;
    this.requestMessages = stats.counter(`${prefix}request_message_count`);
    this.responseMessages = stats.counter(`${prefix}response_message_count`);
    this.upstreamTimes = hasTimes ? stats.histogram(`${prefix}upstream_rq_time`) : null;
    this.#total = stats.counter(`${prefix}total`);
    this.#success = stats.counter(`${prefix}success`);
    this.#failure = stats.counter(`${prefix}failure`);
  }

  done(status: string): void {
    this.#total.add();
    (status === "0" ? this.#success : this.#failure).add();
    // gRPC has the statuses 0 to 16; what else a server says is no name for a counter.
    if (/^(?:\d|1[0-6])$/.test(status)) this.#stats.counter(`${this.#prefix}${status}`).add();
  }
}

interface MethodNaming {
  /** As `service/method`; null: all. */
  readonly methods: ReadonlySet<string> | null;
  readonly replacesDots: boolean;
  readonly hasTimes: boolean;
}

export class CallStats {
  readonly #stats: Stats;
  readonly #naming: MethodNaming;
  readonly #byPrefix = new Map<string, CallCounters>();

  constructor(stats: Stats, naming: MethodNaming) {
    this.#stats = stats;
    this.#naming = naming;
  }

  /** The counters of a method, or of the whole cluster. */
  of(cluster: string, path: string): CallCounters {
    const method = this.#methodOf(path);
    const prefix = `cluster.${cluster}.grpc.${method}`;
    const known = this.#byPrefix.get(prefix);
    if (known !== undefined) return known;
    if (method !== "" && this.#byPrefix.size >= maxMethods) return this.of(cluster, "");
    const counters = new CallCounters(this.#stats, prefix, this.#naming.hasTimes);
    this.#byPrefix.set(prefix, counters);
    return counters;
  }

  /** `service.method.`, or empty when the method has no counters of its own. */
  #methodOf(path: string): string {
    const { methods, replacesDots } = this.#naming;
    if (methods?.size === 0) return "";
    const match = /^\/([\w.]{1,128})\/(\w{1,128})(?:\?|$)/.exec(path);
    if (match === null) return "";
    const [, service = "", method = ""] = match;
    if (methods !== null && !methods.has(`${service}/${method}`)) return "";
    return `${replacesDots ? service.replaceAll(".", "_") : service}.${method}.`;
  }
}
