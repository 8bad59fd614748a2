// Reads an EnvoyFilter.
import type { JsonObject } from "@bufbuild/protobuf";
import {
  count,
  type Decoder,
  decodeSpec,
  int32,
  list,
  oneOf,
  optional,
  record,
  stringMap,
  text,
  withDefault,
} from "../../objects/decode.ts";
import { decodeLabelSelector, decodeTargetReference } from "../../objects/fields/selector.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import {
  ApplyTo,
  type ClusterMatch,
  type ConfigPatch,
  type EnvoyFilterSpec,
  FilterClass,
  type ListenerMatch,
  Operation,
  type Patch,
  PatchContext,
  type PatchMatch,
  type RouteConfigurationMatch,
  RouteKind,
} from "./spec.ts";

const jsonObject: Decoder<JsonObject> = (value, path, report) => {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  report({ path, message: "expected an object" });
  return undefined;
};

type Chain = NonNullable<ListenerMatch["filterChain"]>;
type Filter = NonNullable<Chain["filter"]>;
type VirtualHost = NonNullable<RouteConfigurationMatch["vhost"]>;

const named = record<{ name: string }>({ name: text });

const listener = record<ListenerMatch>({
  portNumber: count,
  portName: text,
  name: text,
  listenerFilter: text,
  filterChain: optional(
    record<Chain>({
      name: text,
      sni: text,
      transportProtocol: text,
      applicationProtocols: text,
      destinationPort: count,
      filter: optional(record<Filter>({ name: text, subFilter: optional(named) })),
    }),
  ),
});

const routeConfiguration = record<RouteConfigurationMatch>({
  portNumber: count,
  portName: text,
  gateway: text,
  name: text,
  vhost: optional(
    record<VirtualHost>({
      name: text,
      domainName: text,
      route: optional(
        record<NonNullable<VirtualHost["route"]>>({
          name: text,
          action: withDefault(oneOf(Object.values(RouteKind)), RouteKind.Any),
        }),
      ),
    }),
  ),
});

const match = record<PatchMatch>({
  context: withDefault(oneOf(Object.values(PatchContext)), PatchContext.Any),
  proxy: optional(record<NonNullable<PatchMatch["proxy"]>>({ proxyVersion: text, metadata: stringMap })),
  listener: optional(listener),
  routeConfiguration: optional(routeConfiguration),
  cluster: optional(record<ClusterMatch>({ portNumber: count, service: text, subset: text, name: text })),
  waypoint: optional(jsonObject),
});

const patch = record<Patch>({
  operation: withDefault(oneOf(Object.values(Operation)), Operation.Invalid),
  value: optional(jsonObject),
  filterClass: withDefault(oneOf(Object.values(FilterClass)), FilterClass.Unspecified),
});

const spec = record<EnvoyFilterSpec>({
  workloadSelector: optional(decodeLabelSelector),
  targetRefs: list(decodeTargetReference, 16),
  priority: withDefault(int32, 0),
  configPatches: list(
    record<ConfigPatch>({
      applyTo: withDefault(oneOf(Object.values(ApplyTo)), ApplyTo.Invalid),
      match: optional(match),
      patch: optional(patch),
    }),
  ),
});

export function decodeEnvoyFilter(object: KubernetesObject, report: Report): EnvoyFilterSpec | undefined {
  return decodeSpec(object, spec, report);
}
