// The tracing of HTTP connection managers as istiod has it: who gets spans, how many requests are sampled, and what every
// span says. Left out where no tracer is known to anybody, because then nothing comes of it.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type HttpConnectionManager_Tracing,
  HttpConnectionManager_TracingSchema,
  type RequestIDExtension,
  RequestIDExtensionSchema,
} from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { UuidRequestIdConfigSchema } from "#wire/gen/envoy/extensions/request_id/uuid/v3/uuid_pb.ts";
import type { CustomTagSchema } from "#wire/gen/envoy/type/tracing/v3/custom_tag_pb.ts";
import type { CustomTag } from "../../kinds/telemetry/spec.ts";
import type { EffectiveTracing } from "../../kinds/telemetry/tracing.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { pack } from "../envoy-values.ts";
import { collectorLookup } from "./collector.ts";
import { type Fields, fieldsOf, text } from "./provider-fields.ts";
import { extensionProvider } from "./telemetry-providers.ts";
import { type CompiledTracer, compileTracer } from "./tracing-provider.ts";

export interface ListenerTracing {
  readonly tracing: HttpConnectionManager_Tracing;
  /** Whether the request's id decides; undefined leaves Envoy's default, which is that it does. */
  readonly requestId: RequestIDExtension | undefined;
}

/** PILOT_TRACE_SAMPLING, in percent. */
const defaultSampling = 1;

/** What of a proxy its spans tell: proxies with equal identities have equal tracing. */
export function tracingIdentity(snapshot: MeshSnapshot, proxy: ProxyNode): string {
  return JSON.stringify([
    proxy.type,
    proxy.namespace,
    proxy.serviceCluster,
    proxy.clusterId,
    proxy.metadata["MESH_ID"],
    proxy.labels[canonicalName],
    proxy.labels[canonicalRevision],
    ownTracing(snapshot, proxy),
  ]);
}

const canonicalName = "service.istio.io/canonical-name";
const canonicalRevision = "service.istio.io/canonical-revision";

/** `tracing` of the proxy's own configuration, else of the mesh's default one. */
function ownTracing(snapshot: MeshSnapshot, proxy: ProxyNode): Fields {
  const own = fieldsOf(proxy.metadata["PROXY_CONFIG"]);
  const fields = Object.keys(own).length > 0 ? own : snapshot.meshConfig.defaultConfig.rest;
  return fieldsOf(fields["tracing"]);
}

/** False where `compileTracing` would say undefined for every proxy alike, or says so soon. */
export function mayTrace(snapshot: MeshSnapshot, proxy: ProxyNode, effective: EffectiveTracing | undefined): boolean {
  if (effective !== undefined) return !effective.disabled && effective.provider !== undefined;
  return snapshot.meshConfig.enableTracing && hasLegacyTracer(ownTracing(snapshot, proxy));
}

function hasLegacyTracer(own: Fields): boolean {
  return legacyTracers.some((tracer) => own[tracer] !== undefined);
}

const legacyTracers: readonly string[] = ["zipkin", "datadog", "lightstep", "stackdriver", "openCensusAgent"];

/** Undefined: no spans are made. `effective` is undefined where neither Telemetry nor default providers say anything. */
export function compileTracing(
  snapshot: MeshSnapshot,
  proxy: ProxyNode,
  effective: EffectiveTracing | undefined,
): ListenerTracing | undefined {
  const { meshConfig } = snapshot;
  const own = ownTracing(snapshot, proxy);
  if (effective === undefined) {
    if (!meshConfig.enableTracing || !hasLegacyTracer(own)) return undefined;
    const istioTags = own["enableIstioTags"] !== false;
    const tags = customTags(proxy, istioTags, proxyConfigTags(own));
    return { tracing: tracingOf({ own, tags, sampling: samplingOf(own) }), requestId: undefined };
  }
  if (effective.disabled || effective.provider === undefined) return undefined;
  const provider = extensionProvider(meshConfig, effective.provider);
  const tracer = compileTracer(provider ?? {}, proxy.serviceCluster, collectorLookup(snapshot), snapshot.environment);
  if (tracer === undefined) return undefined;
  const telemetryTags = Object.entries(effective.customTags);
  const tags = customTags(
    proxy,
    effective.enableIstioTags,
    telemetryTags.length > 0 ? telemetryTags.flatMap(([tag, value]) => telemetryTag(tag, value)) : proxyConfigTags(own),
  );
  const sampling = tracer.samples ? 100 : (effective.randomSamplingPercentage ?? samplingOf(own));
  const tracing = tracingOf({ own, tags, sampling, tracer, isGateway: proxy.type === "router" });
  tracing.noContextPropagation = effective.disableContextPropagation;
  return {
    tracing,
    requestId: create(RequestIDExtensionSchema, {
      typedConfig: pack(UuidRequestIdConfigSchema, {
        useRequestIdForTraceSampling: effective.useRequestIdForTraceSampling,
      }),
    }),
  };
}

type Tag = MessageInitShape<typeof CustomTagSchema>;

interface TracingParts {
  readonly own: Fields;
  readonly tags: readonly Tag[];
  /** Percent. */
  readonly sampling: number;
  readonly tracer?: CompiledTracer;
  readonly isGateway?: boolean;
}

function tracingOf({ own, tags, sampling, tracer, isGateway }: TracingParts): HttpConnectionManager_Tracing {
  const maxLength = tracer?.maxTagLength || Number(own["maxPathTagLength"]) || 0;
  return create(HttpConnectionManager_TracingSchema, {
    clientSampling: { value: 100 },
    randomSampling: { value: sampling },
    overallSampling: { value: 100 },
    customTags: [...tags],
    ...(maxLength > 0 && { maxPathTagLength: maxLength }),
    ...((tracer?.spawnsUpstreamSpan || (isGateway && tracer !== undefined)) && { spawnUpstreamSpan: true }),
    ...(tracer !== undefined && {
      provider: { name: tracer.name, configType: { case: "typedConfig", value: tracer.config } },
    }),
  });
}

function samplingOf(own: Fields): number {
  const sampling = Number(own["sampling"]) || 0;
  if (sampling <= 0) return defaultSampling;
  return sampling > 100 ? 1 : sampling;
}

function customTags(proxy: ProxyNode, istioTags: boolean, others: readonly Tag[]): Tag[] {
  const tags = [...(istioTags ? [...workloadTags(proxy), ...dryRunTags] : []), ...others];
  return tags.sort((a, b) => ((a.tag ?? "") < (b.tag ?? "") ? -1 : 1));
}

function workloadTags(proxy: ProxyNode): Tag[] {
  const values = {
    "istio.canonical_revision": proxy.labels[canonicalRevision] || "latest",
    "istio.canonical_service": proxy.labels[canonicalName] || "unknown",
    "istio.mesh_id": text(proxy.metadata["MESH_ID"]) || "unknown",
    "istio.namespace": proxy.namespace || "default",
    "istio.cluster_id": proxy.clusterId || "unknown",
  };
  return Object.entries(values).map(([tag, value]) => ({ tag, type: { case: "literal", value: { value } } }));
}

/** What policies that decide nothing would have said. */
const dryRunTags: readonly Tag[] = ["allow", "deny"].flatMap((action) =>
  [
    ["name", "effective_policy_id"],
    ["result", "engine_result"],
  ].map(
    ([what, key]): Tag => ({
      tag: `istio.authorization.dry_run.${action}_policy.${what}`,
      type: {
        case: "metadata",
        value: {
          kind: { kind: { case: "request", value: {} } },
          metadataKey: {
            key: "envoy.filters.http.rbac",
            path: [{ segment: { case: "key", value: `istio_dry_run_${action}_shadow_${key}` } }],
          },
        },
      },
    }),
  ),
);

function telemetryTag(tag: string, { literal, environment, header, formatter }: CustomTag): Tag[] {
  if (literal !== undefined) return [{ tag, type: { case: "literal", value: literal } }];
  if (environment !== undefined) return [{ tag, type: { case: "environment", value: environment } }];
  if (header !== undefined) return [{ tag, type: { case: "requestHeader", value: header } }];
  return formatter === undefined ? [] : [{ tag, type: { case: "value", value: formatter.value } }];
}

function proxyConfigTags(own: Fields): Tag[] {
  return Object.entries(fieldsOf(own["customTags"])).flatMap(([tag, value]) => {
    const fields = fieldsOf(value);
    const [literal, environment, header] = [fields["literal"], fields["environment"], fields["header"]].map(fieldsOf);
    const named = (of: Fields = {}) => ({ name: text(of["name"]), defaultValue: text(of["defaultValue"]) });
    if (fields["literal"] !== undefined) {
      return telemetryTag(tag, { literal: { value: text(literal?.["value"]) } });
    }
    if (fields["environment"] !== undefined) return telemetryTag(tag, { environment: named(environment) });
    return fields["header"] === undefined ? [] : telemetryTag(tag, { header: named(header) });
  });
}
