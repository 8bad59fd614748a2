// Network RBAC: the one evaluator decides on a connection before its bytes reach the terminal filter. The rules are
// asked once, when TLS is done: what they look at does not change while the connection lives.
import { formatOrigin } from "#base/issue.ts";
import { ExtAuthzSchema } from "#wire/gen/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.ts";
import {
  RBAC_EnforcementType as EnforcementType,
  type RBAC,
  RBACSchema,
} from "#wire/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts";
import { noOutcome } from "../../../config/listener.ts";
import { denyUnasked } from "../../../config/parse/external-authorization.ts";
import { decodeRbac } from "../../../config/parse/rbac.ts";
import type { RbacRules, RbacSubject } from "../../../config/rbac.ts";
import { newTrace } from "../../../config/trace.ts";
import { evaluateRbac, whyDenied } from "../../../decide/rbac.ts";
import type { ConnectionInfo } from "../../../transport/connection-info.ts";
import type { ConnectionRefusal, NetworkConnection } from "../../connection.ts";
import {
  CONTINUE,
  defineNetworkFilter,
  type FilterPlace,
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
}

/** Where the outcome of the shadow rules stands for filters after. */
const metadataNamespace = "envoy.filters.network.rbac";

export const rbac: NetworkFilterType = defineNetworkFilter<RbacSettings>({
  type: "rbac",
  messages: [
    settingsFrom(RBACSchema, parseRbac),
    settingsFrom(ExtAuthzSchema, ({ statPrefix, filterEnabledMetadata }, { shadows, path, problems }) => ({
      statPrefix: `${statPrefix}.`,
      rules: denyUnasked(filterEnabledMetadata, shadows, path, problems),
      shadowRules: null,
      shadowStatPrefix: "",
    })),
  ],
  decide:
    ({ rules }) =>
    ({ subject }, trace) => {
      const verdict = evaluateRbac(rules, subject, trace);
      return { ...noOutcome, refusal: verdict.allowed ? null : whyDenied(rules, verdict), authorization: verdict };
    },
  configure: (settings, { environment }) => {
    const { rules, shadowRules, shadowStatPrefix, statPrefix } = settings;
    const { stats } = environment.http;
    const counter = (name: string) => stats.counter(`${statPrefix}rbac.${name}`);
    const allowed = counter("allowed");
    const denied = counter("denied");
    const shadowAllowed = counter(`${shadowStatPrefix}shadow_allowed`);
    const shadowDenied = counter(`${shadowStatPrefix}shadow_denied`);
    const shadow = (info: ConnectionInfo, subject: RbacSubject): void => {
      const verdict = evaluateRbac(shadowRules, subject, null);
      (verdict.allowed ? shadowAllowed : shadowDenied).add();
      info.setMetadata(
        metadataNamespace,
        `${shadowStatPrefix}shadow_engine_result`,
        verdict.allowed ? "allowed" : "denied",
      );
      if (verdict.policy !== null) {
        info.setMetadata(metadataNamespace, `${shadowStatPrefix}shadow_effective_policy_id`, verdict.policy.name);
      }
    };
    const onNewConnection = (connection: NetworkConnection): Verdict => {
      const { info } = connection;
      const subject = subjectOf(info);
      if (shadowRules !== null) shadow(info, subject);
      if (rules === null) return CONTINUE;
      if (evaluateRbac(rules, subject, null).allowed) {
        allowed.add();
        return CONTINUE;
      }
      denied.add();
      connection.refuse(refusalOf(rules, subject));
      return STOP;
    };
    return sharedFilter({ onNewConnection });
  },
});

function parseRbac(message: RBAC, { path, problems, policyOrigins, shadows }: FilterPlace): RbacSettings {
  if (message.matcher !== undefined) problems.unsupported(`${path}.matcher`, "a matching tree");
  if (message.shadowMatcher !== undefined) problems.leftOut(`${path}.shadow_matcher`, "a matching tree");
  if (message.enforcementType === EnforcementType.CONTINUOUS) {
    problems.replaced(`${path}.enforcement_type`, "asking again for each chunk", "the rules are asked once");
  }
  const shadowRules = decodeRbac(message.shadowRules, policyOrigins, `${path}.shadow_rules`, problems);
  if (shadowRules !== null) shadows.push({ statPrefix: message.shadowRulesStatPrefix, rules: shadowRules });
  const prefix = message.statPrefix;
  return {
    statPrefix: prefix === "" || prefix.endsWith(".") ? prefix : `${prefix}.`,
    rules: decodeRbac(message.rules, policyOrigins, `${path}.rules`, problems),
    shadowRules,
    shadowStatPrefix: message.shadowRulesStatPrefix,
  };
}

/** The nearest miss costs a second evaluation, which only a refused connection pays. */
function refusalOf(rules: RbacRules, subject: RbacSubject): ConnectionRefusal {
  const verdict = evaluateRbac(rules, subject, newTrace());
  const caller = subject.peerId ?? "an unauthenticated client";
  const policy = verdict.policy;
  if (policy !== null) {
    const origin = policy.origin === null ? "" : ` [${formatOrigin(policy.origin)}]`;
    return {
      flag: "",
      details: `rbac_access_denied_matched_policy[${policy.name}]`,
      cause: `${caller} is denied by ${policy.name}${origin}`,
    };
  }
  const miss = verdict.nearestMiss;
  const nearest = miss === null ? "" : `; nearest is ${miss.policy.name}, which needs ${miss.failed.join(" and ")}`;
  return {
    flag: "",
    details: "rbac_access_denied_matched_policy[none]",
    cause: `no policy allows ${caller}${nearest}`,
  };
}

function subjectOf(info: ConnectionInfo): RbacSubject {
  return {
    peerId: info.peer?.uriSan,
    directRemoteIp: info.directSourceIp,
    remoteIp: info.sourceIp,
    destinationIp: info.destinationIp,
    destinationPort: info.destinationPort,
    requestedServerName: info.serverName,
    path: undefined,
    header: undefined,
    metadata: (filter) => info.metadata?.get(filter),
  };
}
