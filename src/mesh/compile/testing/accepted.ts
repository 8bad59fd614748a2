// For tests: everything that Envoy would refuse in the resources of a proxy. Constraints of the protos, and the rules
// between resources that Envoy checks in code.
import { type DescMessage, type Message, toJsonString } from "@bufbuild/protobuf";
import { allTypes } from "#wire/gen/all-types.ts";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ClusterLoadAssignmentSchema } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { type FilterChain, FilterChainMatchSchema } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { type Listener, ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { type RouteConfiguration, RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import type { CompiledResources } from "../compile.ts";
import { brokenRules } from "./envoy-rules.ts";

/** Lists what Envoy would refuse, as `resource path: reason`. */
export function refusals(compiled: CompiledResources): string[] {
  const check = (schema: DescMessage, resources: ReadonlyMap<string, Message>): string[] =>
    [...resources].flatMap(([name, resource]) =>
      brokenRules(schema, resource, allTypes).map((problem) => `${name} ${problem}`),
    );
  return [
    ...check(ListenerSchema, compiled.listeners),
    ...check(RouteConfigurationSchema, compiled.routes),
    ...check(ClusterSchema, compiled.clusters),
    ...check(ClusterLoadAssignmentSchema, compiled.endpoints),
    ...[...compiled.listeners.values()].flatMap(listenerRefusals),
    ...[...compiled.routes.values()].flatMap(routeRefusals),
  ];
}

function listenerRefusals(listener: Listener): string[] {
  const matches = listener.filterChains.map(matchText);
  return [
    ...repeated(matches).map((match) => `${listener.name}: two filter chains match ${match}`),
    ...(listener.filterChains.length === 0 ? [`${listener.name}: no filter chains`] : []),
  ];
}

function matchText({ filterChainMatch }: FilterChain): string {
  return filterChainMatch === undefined ? "{}" : toJsonString(FilterChainMatchSchema, filterChainMatch);
}

function routeRefusals(routes: RouteConfiguration): string[] {
  const names = repeated(routes.virtualHosts.map(({ name }) => name));
  const domains = repeated(routes.virtualHosts.flatMap((host) => host.domains.map((domain) => domain.toLowerCase())));
  return [
    ...names.map((name) => `${routes.name}: two virtual hosts named ${name}`),
    ...domains.map((domain) => `${routes.name}: domain ${domain} twice`),
  ];
}

function repeated(values: readonly string[]): string[] {
  return values.filter((value, index) => values.indexOf(value) !== index);
}
