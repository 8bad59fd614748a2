// All filters of a workload that decide who may do what, in the order of evaluation: CUSTOM authorization, the tokens of
// end users, then AUDIT, DENY and ALLOW.
import type { ProxyNode } from "../../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../../snapshot/snapshot.ts";
import { trustDomains } from "../../listeners/chain.ts";
import type { DestinationScope } from "../../routes/destination.ts";
import { requestAuthentication } from "../jwt-authn/request-authentication.ts";
import { type Authorization, authorizationFilters } from "./authorization.ts";
import { externalAuthorization } from "./external-authorization.ts";

export interface WorkloadAuthorization extends Authorization {
  /** Those that it is joined from, for what stands between them. */
  readonly parts: {
    readonly custom: Authorization;
    readonly tokens: Pick<Authorization, "http">;
    readonly policies: Authorization;
  };
}

export function workloadAuthorization(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  scope: DestinationScope,
): WorkloadAuthorization {
  const policies = snapshot.authorizationPolicies(proxy);
  const custom = externalAuthorization(policies.custom, {
    trustDomains: trustDomains(snapshot),
    providers: snapshot.meshConfig.rest["extensionProviders"],
    allowsSeveral: snapshot.severalProviders,
    resolve: (host) => scope.service(host.toLowerCase())?.hostname,
  });
  const tokens = requestAuthentication(snapshot.jwtRules(proxy), {
    keyPlan: snapshot.keyPlan,
    keySets: snapshot.keySets,
    choosesRouteAgain: proxy.type === "router",
  });
  const others = authorizationFilters(policies, trustDomains(snapshot));
  return {
    http: [...custom.http, ...tokens.http, ...others.http],
    tcp: [...custom.tcp, ...others.tcp],
    origins: new Map([...custom.origins, ...tokens.origins, ...others.origins]),
    tcpOrigins: new Map([...custom.tcpOrigins, ...others.tcpOrigins]),
    parts: { custom, tokens, policies: others },
  };
}
