// All authorization filters of a workload in the order of evaluation: CUSTOM, then AUDIT, DENY and ALLOW.
import type { ProxyNode } from "../../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../../snapshot/snapshot.ts";
import { trustDomains } from "../../listeners/chain.ts";
import type { DestinationScope } from "../../routes/destination.ts";
import { type Authorization, authorizationFilters } from "./authorization.ts";
import { externalAuthorization } from "./external-authorization.ts";

export function workloadAuthorization(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  scope: DestinationScope,
): Authorization {
  const policies = snapshot.authorizationPolicies(proxy);
  const custom = externalAuthorization(policies.custom, {
    trustDomains: trustDomains(snapshot),
    providers: snapshot.meshConfig.rest["extensionProviders"],
    resolve: (host) => scope.service(host.toLowerCase())?.hostname,
  });
  const others = authorizationFilters(policies, trustDomains(snapshot));
  return {
    http: [...custom.http, ...others.http],
    tcp: [...custom.tcp, ...others.tcp],
    origins: new Map([...custom.origins, ...others.origins]),
  };
}
