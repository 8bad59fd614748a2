// HOT: per request. HTTP RBAC: lets the one evaluator decide on each request head. Shadow rules decide nothing; what
// they would have said is counted, and written where filters behind and access logs can read it.
import { RBACPerRouteSchema, RBACSchema } from "#wire/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts";
import type { FilterMetadata } from "../../../config/http.ts";
import type { RbacRules, RbacVerdict } from "../../../config/rbac.ts";
import { evaluateRbac, traceShadow, whyDenied } from "../../../decide/rbac.ts";
import {
  CONTINUE,
  DONE,
  defineHttpFilter,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { rbacDenied } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";
import { StreamSubject } from "../../subject.ts";
import { enforcedMetadata, hintMetadata, shadowMetadata, ToldMetadata } from "./metadata.ts";
import { parseRbac, parseRbacPerRoute, type RbacSettings } from "./settings.ts";
import { RbacStats } from "./stats.ts";

export const rbac: HttpFilterType = defineHttpFilter<RbacSettings, RbacSettings>({
  type: "rbac",
  messages: [settingsFrom(RBACSchema, parseRbac)],
  routeMessages: [settingsFrom(RBACPerRouteSchema, parseRbacPerRoute)],
  decide: (settings) => (subject, routeSettings, trace) => {
    const {
      rules,
      rulesStatPrefix = "",
      shadowRules,
      shadowRulesStatPrefix = "",
    } = (routeSettings[0] as RbacSettings | undefined) ?? settings;
    const metadata: FilterMetadata[] = [];
    if (shadowRules !== null) {
      const shadow = evaluateRbac(shadowRules, subject, null);
      metadata.push(shadowMetadata(shadow, shadowRulesStatPrefix));
      if (trace !== null) traceShadow(trace, shadow, shadowRulesStatPrefix);
    }
    const verdict = evaluateRbac(rules, subject, trace);
    if (rules !== null) metadata.push(enforcedMetadata(verdict, rulesStatPrefix));
    const refusal = verdict.allowed ? null : { status: 403, reason: whyDenied(rules, subject, verdict) };
    return { refusal, authorization: rules === null ? null : verdict, metadata };
  },
  configure: (settings, { environment, statPrefix, routeSettings }) => {
    const reportsOf = (of: RbacSettings): Reports => ({
      stats: new RbacStats(environment.stats, `${statPrefix}rbac.`, of),
      told: new ToldMetadata(),
    });
    const ownReports = reportsOf(settings);
    const byRoute = new WeakMap<RbacSettings, Reports>();
    const reportsFor = (own: RbacSettings): Reports => {
      let reports = byRoute.get(own);
      if (reports === undefined) {
        reports = reportsOf(own);
        byRoute.set(own, reports);
      }
      return reports;
    };
    const onRequestHeaders = (stream: Stream): Verdict => {
      const ofRoute = routeSettings(stream);
      const { rules, shadowRules, rulesStatPrefix = "", shadowRulesStatPrefix = "" } = ofRoute ?? settings;
      if (rules === null && shadowRules === null) return CONTINUE;
      const { stats, told } = ofRoute === null ? ownReports : reportsFor(ofRoute);
      const subject = new StreamSubject(stream);
      if (shadowRules !== null) {
        const shadow = evaluateRbac(shadowRules, subject, null);
        stats.shadow(shadow);
        stream.mergeMetadata(told.shadow(shadow, shadowRulesStatPrefix));
      }
      if (rules === null) return CONTINUE;
      const verdict = evaluateRbac(rules, subject, null);
      stats.enforced(verdict);
      stream.mergeMetadata(told.enforced(verdict, rulesStatPrefix));
      if (verdict.accessLogHint !== undefined) stream.mergeMetadata(hintMetadata(verdict.accessLogHint));
      if (verdict.allowed) return CONTINUE;
      deny(stream, rules, subject, verdict);
      return DONE;
    };
    return sharedFilter({ onRequestHeaders });
  },
});

/** Of the filter's own settings, and of those of each route. */
interface Reports {
  readonly stats: RbacStats;
  readonly told: ToldMetadata;
}

function deny(stream: Stream, rules: RbacRules, subject: StreamSubject, verdict: RbacVerdict): void {
  const { policy } = verdict;
  const origins = policy === null || policy.origin === null ? [] : [policy.origin];
  stream.sendLocalReply(rbacDenied(policy?.name ?? "none"), whyDenied(rules, subject, verdict), origins);
}
