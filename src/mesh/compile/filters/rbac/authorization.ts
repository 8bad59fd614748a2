// Authorization policies of a workload as RBAC filters: one filter per action, in the order AUDIT, DENY, ALLOW.
// Dry-run policies become shadow rules of the same filter. CUSTOM is in external-authorization.ts.
import { create } from "@bufbuild/protobuf";
import type { Filter } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { type RBAC, RBAC_Action, RBACSchema } from "#wire/gen/envoy/config/rbac/v3/rbac_pb.ts";
import { RBACSchema as HttpRbacSchema } from "#wire/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts";
import type { HttpFilter } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { RBACSchema as NetworkRbacSchema } from "#wire/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts";
import type { PolicyOrigin } from "#wire/xds/provenance.ts";
import { type AuthorizationPolicySpec, dryRunAnnotation } from "../../../kinds/authorization-policy/spec.ts";
import { type MeshObject, originAt } from "../../../objects/mesh-object.ts";
import { parseBool } from "../../../objects/parse-bool.ts";
import type { AuthorizationPolicies } from "../../../snapshot/snapshot.ts";
import { rbacPolicyName } from "../../names.ts";
import { httpFilter } from "../http-filters.ts";
import { networkFilter } from "../network-filters.ts";
import { withoutHttp } from "./notes.ts";
import { neverMatches, type RuleSettings, rulePolicy } from "./policy.ts";

type Policy = MeshObject<AuthorizationPolicySpec>;

export interface Authorization {
  readonly http: readonly HttpFilter[];
  readonly tcp: readonly Filter[];
  /** RBAC policy name → where it was written: of the filters for HTTP. */
  readonly origins: ReadonlyMap<string, PolicyOrigin>;
  /** The same of the filters for connections, with what becomes there of rules that ask for something of HTTP. */
  readonly tcpOrigins: ReadonlyMap<string, PolicyOrigin>;
}

export const noAuthorization: Authorization = { http: [], tcp: [], origins: new Map(), tcpOrigins: new Map() };

/** Compiles the AUDIT, DENY and ALLOW policies of a workload. `trustDomains` are the mesh's own and its aliases. */
export function authorizationFilters(policies: AuthorizationPolicies, trustDomains: readonly string[]): Authorization {
  const actions = [
    { ofAction: policies.audit, rbac: RBAC_Action.LOG },
    { ofAction: policies.deny, rbac: RBAC_Action.DENY },
    { ofAction: policies.allow, rbac: RBAC_Action.ALLOW },
  ];
  const http: HttpFilter[] = [];
  const tcp: Filter[] = [];
  const origins = new Map<string, PolicyOrigin>();
  const tcpOrigins = new Map<string, PolicyOrigin>();
  for (const { ofAction, rbac } of actions) {
    if (ofAction.length === 0) continue;
    const rulesFor = (isTcp: boolean): CompiledRules =>
      compileRules(ofAction, { rbac, trustDomains, tcp: isTcp, origins: isTcp ? tcpOrigins : origins });
    http.push(httpFilter("envoy.filters.http.rbac", HttpRbacSchema, rulesFor(false)));
    tcp.push(networkFilter("envoy.filters.network.rbac", NetworkRbacSchema, { ...rulesFor(true), statPrefix: "tcp." }));
  }
  return { http, tcp, origins, tcpOrigins };
}

interface CompiledRules {
  rules?: RBAC;
  shadowRules?: RBAC;
  shadowRulesStatPrefix: string;
}

function compileRules(
  policies: readonly Policy[],
  settings: {
    readonly rbac: RBAC_Action;
    readonly trustDomains: readonly string[];
    readonly tcp: boolean;
    readonly origins: Map<string, PolicyOrigin>;
  },
): CompiledRules {
  const enforced = create(RBACSchema, { action: settings.rbac });
  const shadow = create(RBACSchema, { action: settings.rbac });
  for (const policy of policies) {
    const { policies: target } = isDryRun(policy) ? shadow : enforced;
    policy.spec.rules.forEach((rule, index) => {
      const ofRule: RuleSettings = {
        namespace: policy.namespace,
        trustDomains: settings.trustDomains,
        tcp: settings.tcp,
        allow: settings.rbac === RBAC_Action.ALLOW,
      };
      const compiled = rulePolicy(rule, ofRule);
      const note = settings.tcp ? withoutHttp(rule, ofRule, compiled !== undefined) : {};
      // What would never match and is only tried says nothing about what is in force.
      if (compiled === undefined && (note.neverMatches === undefined || isDryRun(policy))) return;
      const name = rbacPolicyName(policy.namespace, policy.name, index);
      if (compiled !== undefined) target[name] = compiled;
      settings.origins.set(name, { ...originAt(policy, `spec.rules[${index}]`), ...note });
    });
    if (policy.spec.rules.length === 0) {
      const name = rbacPolicyName(policy.namespace, policy.name, 0);
      target[name] = neverMatches;
      settings.origins.set(name, policy.origin);
    }
  }
  const hasShadow = policies.some(isDryRun);
  return {
    ...(!policies.every(isDryRun) && { rules: enforced }),
    ...(hasShadow && { shadowRules: shadow }),
    shadowRulesStatPrefix:
      hasShadow && settings.rbac === RBAC_Action.DENY ? "istio_dry_run_deny_" : "istio_dry_run_allow_",
  };
}

/** Annotation `istio.io/dry-run: "true"`: only logged, never enforced. */
function isDryRun(policy: Policy): boolean {
  return parseBool(policy.metadata.annotations?.[dryRunAnnotation] ?? "") === true;
}
