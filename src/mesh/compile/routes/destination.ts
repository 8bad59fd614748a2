// Where a destination of a VirtualService leads: the cluster by name, whether it exists or not. A missing service or
// subset answers 503 (NC) at the proxy, as in Istio; analysis warns about it.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RouteAction_HashPolicySchema } from "#wire/gen/envoy/config/route/v3/route_components_pb.ts";
import type { Destination } from "../../kinds/virtual-service/spec.ts";
import type { ConsistentHash } from "../../objects/fields/traffic-policy.ts";
import type { Service } from "../../snapshot/service.ts";
import type { MergedDestinationRule } from "../../snapshot/snapshot.ts";
import { milliseconds } from "../envoy-values.ts";
import { outboundClusterName, unknownService } from "../names.ts";
import { effectivePolicy } from "../policy/traffic-policy.ts";

/** The mesh as seen from where a route is compiled. */
export interface DestinationScope {
  service(hostname: string): Service | undefined;
  destinationRule(service: Service): MergedDestinationRule | undefined;
}

export interface ResolvedDestination {
  readonly cluster: string;
  readonly host: string;
  readonly port: number;
  readonly hashPolicies: HashPolicy[];
}

export type HashPolicy = MessageInitShape<typeof RouteAction_HashPolicySchema>;

export function resolveDestination(
  scope: DestinationScope,
  destination: Destination,
  listenerPort: number,
): ResolvedDestination {
  // A backend of the Gateway API that is not there.
  if (destination.host === "") return { cluster: unknownService, host: "", port: 0, hashPolicies: [] };
  const named = scope.service(destination.host.toLowerCase());
  const host = named?.externalName ? named.externalName.toLowerCase() : destination.host.toLowerCase();
  const onlyPort = named?.ports.length === 1 ? named.ports[0]?.number : undefined;
  const port = destination.port?.number ?? onlyPort ?? listenerPort;
  const service = named?.externalName ? scope.service(host) : named;
  return {
    cluster: outboundClusterName(port, destination.subset, host),
    host,
    port,
    hashPolicies: service === undefined ? [] : hashPolicies(scope.destinationRule(service), port, destination.subset),
  };
}

/** What a route must hash for a destination with consistent hashing; empty without. */
export function hashPolicies(rule: MergedDestinationRule | undefined, port: number, subset: string): HashPolicy[] {
  if (rule === undefined) return [];
  const ofSubset = rule.subsets.find(({ name }) => name === subset);
  const policy = effectivePolicy(rule.trafficPolicy, ofSubset?.trafficPolicy, port);
  const hash = policy.loadBalancer?.consistentHash;
  return hash === undefined ? [] : [hashPolicy(hash)];
}

function hashPolicy(hash: ConsistentHash): HashPolicy {
  if (hash.httpHeaderName !== undefined) {
    return { policySpecifier: { case: "header", value: { headerName: hash.httpHeaderName } } };
  }
  if (hash.httpCookie !== undefined) {
    const { name, path, ttl, attributes } = hash.httpCookie;
    return {
      policySpecifier: {
        case: "cookie",
        value: {
          name,
          path,
          ...(ttl !== undefined && { ttl: milliseconds(ttl) }),
          attributes: attributes.map((attribute) => ({ name: attribute.name, value: attribute.value })),
        },
      },
    };
  }
  if (hash.httpQueryParameterName !== undefined) {
    return { policySpecifier: { case: "queryParameter", value: { name: hash.httpQueryParameterName } } };
  }
  return { policySpecifier: { case: "connectionProperties", value: { sourceIp: hash.useSourceIp ?? true } } };
}
