// HOT: per rate-limited request. The descriptors of a request, from the rules of its route and virtual host.
import type {
  DescriptorEntry,
  RateLimitDescriptor,
  RateLimitRule,
  RateLimitSubject,
  VirtualHostRules,
} from "../config/rate-limit.ts";
import type { Stream } from "./stream.ts";

const none: readonly RateLimitDescriptor[] = [];

/** Descriptors by the rules of one stage. */
export function descriptorsOf(
  stream: Stream,
  stage: number,
  virtualHostRules: VirtualHostRules,
): readonly RateLimitDescriptor[] {
  const { decision } = stream;
  if (decision === null) return none;
  const own = decision.route.rateLimits;
  const outer = decision.virtualHost.rateLimits;
  if (own === null && outer.length === 0) return none;
  const descriptors: RateLimitDescriptor[] = [];
  const subject = new StreamSubject(stream);
  const rules = own?.rules ?? [];
  addDescriptors(rules, stage, subject, descriptors);
  const includes =
    own?.includesVirtualHost === true ||
    virtualHostRules === "include" ||
    (virtualHostRules === "override" && rules.length === 0);
  if (includes) addDescriptors(outer, stage, subject, descriptors);
  return descriptors;
}

function addDescriptors(
  rules: readonly RateLimitRule[],
  stage: number,
  subject: RateLimitSubject,
  descriptors: RateLimitDescriptor[],
): void {
  for (const rule of rules) {
    if (rule.stage !== stage) continue;
    const entries = entriesOf(rule, subject);
    if (entries !== null) descriptors.push({ entries, limit: rule.override?.(subject) ?? null });
  }
}

function entriesOf(rule: RateLimitRule, subject: RateLimitSubject): DescriptorEntry[] | null {
  const entries: DescriptorEntry[] = [];
  for (const action of rule.actions) {
    const entry = action(subject);
    if (entry === null) return null;
    if (entry !== "skip") entries.push(entry);
  }
  return entries.length === 0 ? null : entries;
}

class StreamSubject implements RateLimitSubject {
  readonly #stream: Stream;

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  get path(): string {
    return this.#stream.path;
  }

  get remoteIp(): string {
    return this.#stream.remoteIp;
  }

  get destinationCluster(): string {
    return this.#stream.decision?.cluster?.name ?? "";
  }

  get sourceCluster(): string {
    return this.#stream.manager.environment.node.cluster;
  }

  header(name: string): string | undefined {
    return this.#stream.header(name);
  }

  metadata(namespace: string): unknown {
    return this.#stream.metadata(namespace);
  }

  routeMetadata(namespace: string): unknown {
    return this.#stream.decision?.route.metadata[namespace];
  }
}
