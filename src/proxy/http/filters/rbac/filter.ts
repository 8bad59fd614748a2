// HTTP RBAC: lets the one evaluator decide on each request head. Shadow rules are evaluated and only logged.
import { formatOrigin } from "#base/issue.ts";
import { type ExtAuthz, ExtAuthzSchema } from "#wire/gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.ts";
import { type RBAC, RBACPerRouteSchema, RBACSchema } from "#wire/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts";
import { denyUnasked } from "../../../config/parse/external-authorization.ts";
import { decodeRbac } from "../../../config/parse/rbac.ts";
import type { RbacRules, RbacSubject, RbacVerdict } from "../../../config/rbac.ts";
import { newTrace } from "../../../config/trace.ts";
import { evaluateRbac, whyDenied } from "../../../decide/rbac.ts";
import { pathWithoutQuery } from "../../../decide/route.ts";
import {
  CONTINUE,
  DONE,
  defineHttpFilter,
  type FilterPlace,
  type HttpFilterType,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { rbacDenied } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";

export interface RbacSettings {
  readonly rules: RbacRules | null;
  readonly shadowRules: RbacRules | null;
}

export const rbac: HttpFilterType = defineHttpFilter<RbacSettings, RbacSettings>({
  type: "rbac",
  messages: [settingsFrom(RBACSchema, parseRbac), settingsFrom(ExtAuthzSchema, parseExternalAuthorization)],
  routeMessages: [
    settingsFrom(RBACPerRouteSchema, (message, place) =>
      message.rbac === undefined ? { rules: null, shadowRules: null } : parseRbac(message.rbac, place),
    ),
  ],
  decide: (settings) => (subject, routeSettings, trace) => {
    const { rules } = (routeSettings[0] as RbacSettings | undefined) ?? settings;
    const verdict = evaluateRbac(rules, subject, trace);
    const refusal = verdict.allowed ? null : { status: 403, reason: whyDenied(rules, verdict) };
    return { refusal, authorization: verdict };
  },
  configure: (settings, { environment, routeSettings }) => {
    const onRequestHeaders = (stream: Stream): Verdict => {
      const { rules, shadowRules } = routeSettings(stream) ?? settings;
      const subject = new HttpSubject(stream);
      if (shadowRules !== null) {
        const shadow = evaluateRbac(shadowRules, subject, null);
        environment.log.debug(
          `rbac dry run: ${shadow.allowed ? "allowed" : "denied"} by ${shadow.policy?.name ?? "none"}`,
        );
      }
      const verdict = evaluateRbac(rules, subject, null);
      if (verdict.allowed) return CONTINUE;
      deny(stream, rules, subject, verdict);
      return DONE;
    };
    // The nearest miss costs a second evaluation, which only a refused request pays.
    const deny = (stream: Stream, rules: RbacRules | null, subject: HttpSubject, verdict: RbacVerdict): void => {
      const policy = verdict.policy;
      const caller = subject.peerId ?? "an unauthenticated client";
      if (policy !== null) {
        const cause = `${caller} is denied by ${policy.name}`;
        stream.sendLocalReply(rbacDenied(policy.name), cause, policy.origin === null ? [] : [policy.origin]);
        return;
      }
      const miss = evaluateRbac(rules, subject, newTrace()).nearestMiss;
      const nearest =
        miss === null
          ? ""
          : `; nearest is ${miss.policy.name}, which needs ${miss.failed.join(" and ")}${
              miss.policy.origin === null ? "" : ` (${formatOrigin(miss.policy.origin)})`
            }`;
      stream.sendLocalReply(rbacDenied("none"), `no policy allows ${caller}${nearest}`, []);
    };
    return sharedFilter({ onRequestHeaders });
  },
});

function parseRbac(message: RBAC, place: FilterPlace): RbacSettings {
  const { path, problems, policyOrigins, shadows } = place;
  if (message.matcher !== undefined) problems.unsupported(`${path}.matcher`, "a matching tree");
  const shadowRules = decodeRbac(message.shadowRules, policyOrigins, `${path}.shadow_rules`, problems);
  if (shadowRules !== null) shadows.push({ statPrefix: message.shadowRulesStatPrefix, rules: shadowRules });
  return { rules: decodeRbac(message.rules, policyOrigins, `${path}.rules`, problems), shadowRules };
}

function parseExternalAuthorization(message: ExtAuthz, { path, problems, shadows }: FilterPlace): RbacSettings {
  return { rules: denyUnasked(message.filterEnabledMetadata, shadows, path, problems), shadowRules: null };
}

class HttpSubject implements RbacSubject {
  readonly peerId: string | undefined;
  readonly directRemoteIp: string;
  readonly remoteIp: string;
  readonly destinationIp: string;
  readonly destinationPort: number;
  readonly requestedServerName: string;
  readonly path: string | undefined;
  readonly #stream: Stream;

  constructor(stream: Stream) {
    const { connection } = stream;
    this.#stream = stream;
    this.peerId = connection.peer?.uriSan;
    this.directRemoteIp = connection.sourceIp;
    this.remoteIp = stream.remoteIp;
    this.destinationIp = connection.destinationIp;
    this.destinationPort = connection.destinationPort;
    this.requestedServerName = connection.serverName;
    this.path = stream.path === "" ? undefined : pathWithoutQuery(stream.path);
  }

  header(name: string): string | undefined {
    return this.#stream.header(name);
  }

  headerLines(name: string): readonly string[] {
    const { headers } = this.#stream;
    const values: string[] = [];
    for (let i = 0; i < headers.length; i++) {
      if (!headers.isRemoved(i) && headers.lowerNameAt(i) === name) values.push(headers.valueAt(i));
    }
    return values;
  }

  metadata(filter: string): unknown {
    return this.#stream.metadata(filter);
  }
}
