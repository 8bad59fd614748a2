// Network RBAC: the one evaluator decides on a connection before its bytes reach the terminal filter. The rules are
// asked once, when TLS is done: what they look at does not change while the connection lives, so that asking again for
// each chunk (`enforcement_type: CONTINUOUS`) would say the same.
import { formatOrigin } from "#base/issue.ts";
import type { Permission, RBAC as Rules } from "#wire/gen/envoy/config/rbac/v3/rbac_pb.ts";
import { type RBAC, RBACSchema } from "#wire/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts";
import type { FilterMetadata } from "../../../config/http.ts";
import { noOutcome } from "../../../config/listener.ts";
import { decodeRbac } from "../../../config/parse/rbac.ts";
import { decodeMatchTree } from "../../../config/parse/rbac-tree.ts";
import { milliseconds } from "../../../config/parse/values.ts";
import type { RbacRules, RbacSubject, RbacVerdict } from "../../../config/rbac.ts";
import { evaluateRbac, traceShadow, whyDenied } from "../../../decide/rbac.ts";
import { verifiedPeer } from "../../../http/subject.ts";
import type { Counter, Stats } from "../../../stats/stats.ts";
import type { ConnectionInfo } from "../../../transport/connection-info.ts";
import type { ConnectionRefusal, NetworkConnection } from "../../connection.ts";
import {
  CONTINUE,
  defineNetworkFilter,
  type FilterPlace,
  type NetworkFilter,
  type NetworkFilterType,
  STOP,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";

interface RbacSettings {
  /** Ends with a dot. */
  readonly statPrefix: string;
  readonly rules: RbacRules | null;
  readonly shadowRules: RbacRules | null;
  readonly shadowStatPrefix: string;
  /** A refused connection is held this long before it is closed, against clients that come again at once. */
  readonly delayDenyMs: number;
  readonly readsServerName: boolean;
}

/** Where the outcome of the shadow rules stands for filters after. */
const metadataNamespace = "envoy.filters.network.rbac";

export const rbac: NetworkFilterType = defineNetworkFilter<RbacSettings>({
  type: "rbac",
  messages: [settingsFrom(RBACSchema, parseRbac)],
  decide:
    ({ rules, shadowRules, shadowStatPrefix }) =>
    ({ subject }, trace) => {
      const metadata: FilterMetadata[] = [];
      if (shadowRules !== null) {
        const shadow = evaluateRbac(shadowRules, subject, null);
        metadata.push(outcome(shadow, shadowStatPrefix));
        if (trace !== null) traceShadow(trace, shadow, shadowStatPrefix);
      }
      const verdict = evaluateRbac(rules, subject, trace);
      const refusal = verdict.allowed ? null : whyDenied(rules, subject, verdict);
      return { ...noOutcome, refusal, authorization: rules === null ? null : verdict, metadata };
    },
  configure: (settings, { environment }) => {
    const { stats } = environment.http;
    return settings.delayDenyMs === 0
      ? sharedFilter(new RbacFilter(settings, stats))
      : { shared: null, create: () => new RbacFilter(settings, stats) };
  },
});

class RbacFilter implements NetworkFilter {
  readonly #settings: RbacSettings;
  readonly #allowed: Counter;
  readonly #denied: Counter;
  readonly #shadowAllowed: Counter;
  readonly #shadowDenied: Counter;
  #cancelDelay: (() => void) | null = null;

  constructor(settings: RbacSettings, stats: Stats) {
    const { statPrefix, shadowStatPrefix } = settings;
    this.#settings = settings;
    this.#allowed = stats.counter(`${statPrefix}rbac.allowed`);
    this.#denied = stats.counter(`${statPrefix}rbac.denied`);
    this.#shadowAllowed = stats.counter(`${statPrefix}rbac.${shadowStatPrefix}shadow_allowed`);
    this.#shadowDenied = stats.counter(`${statPrefix}rbac.${shadowStatPrefix}shadow_denied`);
  }

  onNewConnection(connection: NetworkConnection): Verdict {
    const { info } = connection;
    const { rules, shadowRules, shadowStatPrefix } = this.#settings;
    const subject = subjectOf(info);
    if (shadowRules !== null) {
      const shadow = evaluateRbac(shadowRules, subject, null);
      (shadow.allowed ? this.#shadowAllowed : this.#shadowDenied).add();
      const { values } = outcome(shadow, shadowStatPrefix);
      for (const key of Object.keys(values)) info.setMetadata(metadataNamespace, key, values[key]);
    }
    if (rules === null) return CONTINUE;
    const verdict = evaluateRbac(rules, subject, null);
    if (verdict.accessLogHint !== undefined) info.setMetadata("envoy.common", "access_log_hint", verdict.accessLogHint);
    if (verdict.allowed) {
      this.#allowed.add();
      return CONTINUE;
    }
    this.#denied.add();
    this.#refuse(connection, refusalOf(rules, subject, verdict));
    return STOP;
  }

  #refuse(connection: NetworkConnection, refusal: ConnectionRefusal): void {
    const { delayDenyMs } = this.#settings;
    if (delayDenyMs === 0) {
      connection.refuse(refusal);
      return;
    }
    this.#cancelDelay = connection.environment.loop.after(delayDenyMs, () => connection.refuse(refusal));
  }

  onClose(): void {
    this.#cancelDelay?.();
    this.#cancelDelay = null;
  }
}

function outcome({ allowed, policy }: RbacVerdict, prefix: string): FilterMetadata {
  const result = { [`${prefix}shadow_engine_result`]: allowed ? "allowed" : "denied" };
  if (policy === null) return { namespace: metadataNamespace, values: result };
  return {
    namespace: metadataNamespace,
    values: { ...result, [`${prefix}shadow_effective_policy_id`]: policy.name },
  };
}

function refusalOf(rules: RbacRules, subject: RbacSubject, verdict: RbacVerdict): ConnectionRefusal {
  const { policy } = verdict;
  const place = policy === null || policy.origin === null ? "" : ` [${formatOrigin(policy.origin)}]`;
  const name = (policy?.name ?? "none").replaceAll(/\s/g, "_");
  return {
    flag: "",
    details: `rbac_access_denied_matched_policy[${name}]`,
    cause: `${whyDenied(rules, subject, verdict)}${place}`,
  };
}

function parseRbac(message: RBAC, { path, problems, policyOrigins }: FilterPlace): RbacSettings {
  const { matcher, shadowMatcher } = message;
  const shadowRules =
    shadowMatcher === undefined
      ? decodeRbac(message.shadowRules, policyOrigins, `${path}.shadow_rules`, problems)
      : decodeMatchTree(shadowMatcher, policyOrigins, `${path}.shadow_matcher`, problems);
  const prefix = message.statPrefix;
  return {
    statPrefix: prefix === "" || prefix.endsWith(".") ? prefix : `${prefix}.`,
    rules:
      matcher === undefined
        ? decodeRbac(message.rules, policyOrigins, `${path}.rules`, problems)
        : decodeMatchTree(matcher, policyOrigins, `${path}.matcher`, problems),
    shadowRules,
    delayDenyMs: milliseconds(message.delayDeny, 0),
    shadowStatPrefix: message.shadowRulesStatPrefix,
    // What a tree will ask for is not looked for: it may be the name.
    readsServerName:
      matcher !== undefined || asksForServerName(message.rules) || asksForServerName(message.shadowRules),
  };
}

function asksForServerName(rules: Rules | undefined): boolean {
  const asks = (permission: Permission): boolean => {
    const { rule } = permission;
    if (rule.case === "andRules" || rule.case === "orRules") return rule.value.rules.some(asks);
    return rule.case === "notRule" ? asks(rule.value) : rule.case === "requestedServerName";
  };
  return Object.values(rules?.policies ?? {}).some((policy) => policy.permissions.some(asks));
}

/** What a connection is to policies. */
export function subjectOf(info: ConnectionInfo): RbacSubject {
  return {
    peer: verifiedPeer(info),
    directRemoteIp: info.directSourceIp,
    remoteIp: info.sourceIp,
    sourceIp: info.sourceIp,
    sourcePort: info.sourcePort,
    destinationIp: info.destinationIp,
    destinationPort: info.destinationPort,
    requestedServerName: info.serverName,
    path: undefined,
    header: undefined,
    headerValues: undefined,
    metadata: (filter) => info.metadata?.get(filter),
  };
}
