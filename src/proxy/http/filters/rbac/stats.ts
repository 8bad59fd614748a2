// Counters of an RBAC filter: `http.<prefix>.rbac.<rules prefix>allowed`, and by policy where it is asked for.
import type { RbacVerdict } from "../../../config/rbac.ts";
import type { Counter, Stats } from "../../../stats/stats.ts";
import type { RbacSettings } from "./settings.ts";

export class RbacStats {
  readonly #stats: Stats;
  readonly #allowed: Counter;
  readonly #denied: Counter;
  readonly #shadowAllowed: Counter;
  readonly #shadowDenied: Counter;
  readonly #rules: string;
  readonly #shadowRules: string;
  readonly #byPolicy: Map<string, Counter> | null;

  constructor(stats: Stats, prefix: string, settings: RbacSettings) {
    this.#stats = stats;
    this.#rules = `${prefix}${settings.rulesStatPrefix ?? ""}`;
    this.#shadowRules = `${prefix}${settings.shadowRulesStatPrefix ?? ""}`;
    this.#allowed = stats.counter(`${this.#rules}allowed`);
    this.#denied = stats.counter(`${this.#rules}denied`);
    this.#shadowAllowed = stats.counter(`${this.#shadowRules}shadow_allowed`);
    this.#shadowDenied = stats.counter(`${this.#shadowRules}shadow_denied`);
    this.#byPolicy = settings.trackPerRuleStats === true ? new Map() : null;
  }

  enforced({ allowed, policy }: RbacVerdict): void {
    (allowed ? this.#allowed : this.#denied).add();
    if (policy !== null) this.#countPolicy(`${this.#rules}policy.${policy.name}.${allowed ? "allowed" : "denied"}`);
  }

  shadow({ allowed, policy }: RbacVerdict): void {
    (allowed ? this.#shadowAllowed : this.#shadowDenied).add();
    if (policy === null) return;
    this.#countPolicy(`${this.#shadowRules}policy.${policy.name}.${allowed ? "shadow_allowed" : "shadow_denied"}`);
  }

  #countPolicy(name: string): void {
    if (this.#byPolicy === null) return;
    let counter = this.#byPolicy.get(name);
    if (counter === undefined) {
      counter = this.#stats.counter(name);
      this.#byPolicy.set(name, counter);
    }
    counter.add();
  }
}
