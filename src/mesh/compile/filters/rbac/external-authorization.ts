// CUSTOM authorization policies: an RBAC filter in shadow mode marks the requests that a policy is about, and an
// external authorization filter asks the provider about those. A policy whose provider cannot be used denies.
import { create } from "@bufbuild/protobuf";
import { ApiVersion } from "#wire/gen/envoy/config/core/v3/config_source_pb.ts";
import type { Filter } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { type RBAC, RBAC_Action, RBACSchema } from "#wire/gen/envoy/config/rbac/v3/rbac_pb.ts";
import { ExtAuthzSchema } from "#wire/gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.ts";
import { RBACSchema as HttpRbacSchema } from "#wire/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts";
import { ExtAuthzSchema as NetworkExtAuthzSchema } from "#wire/gen/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.ts";
import type { HttpFilter } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { RBACSchema as NetworkRbacSchema } from "#wire/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts";
import { type MetadataMatcher, MetadataMatcherSchema } from "#wire/gen/envoy/type/matcher/v3/metadata_pb.ts";
import { type ListStringMatcher, ListStringMatcherSchema } from "#wire/gen/envoy/type/matcher/v3/string_pb.ts";
import { StatusCode } from "#wire/gen/envoy/type/v3/http_status_pb.ts";
import type { PolicyOrigin } from "#wire/xds/provenance.ts";
import type { AuthorizationPolicySpec } from "../../../kinds/authorization-policy/spec.ts";
import { type MeshObject, originAt } from "../../../objects/mesh-object.ts";
import { milliseconds } from "../../envoy-values.ts";
import { outboundClusterName, rbacPolicyName } from "../../names.ts";
import { httpFilter } from "../http-filters.ts";
import { networkFilter } from "../network-filters.ts";
import { type Authorization, noAuthorization } from "./authorization.ts";
import { type AuthorizationProvider, authorizationProviders } from "./extension-provider.ts";
import { joined, withoutHttp } from "./notes.ts";
import { type RuleSettings, rulePolicy } from "./policy.ts";
import { stringPattern, withCase } from "./string-pattern.ts";

export interface ExternalSettings {
  readonly trustDomains: readonly string[];
  /** `extensionProviders` of mesh configuration, as written. */
  readonly providers: unknown;
  /** Each provider's policies ask it; otherwise policies of several providers deny. */
  readonly allowsSeveral?: boolean;
  /** The host of a service of the mesh, or undefined when there is none of that name. */
  readonly resolve: (host: string) => string | undefined;
}

const policyPrefix = "istio-ext-authz-";
const badSuffix = "-deny-due-to-bad-CUSTOM-action";
const shadowStatPrefix = "istio_ext_authz_";

/** Compiles the CUSTOM policies of a workload: filters for each provider, by name. */
export function externalAuthorization(
  policies: readonly MeshObject<AuthorizationPolicySpec>[],
  settings: ExternalSettings,
): Authorization {
  if (policies.length === 0) return noAuthorization;
  const names = [...new Set(policies.map(({ spec }) => spec.provider?.name ?? ""))].sort();
  const providers = authorizationProviders(settings.providers);
  const http: HttpFilter[] = [];
  const tcp: Filter[] = [];
  const origins = new Map<string, PolicyOrigin>();
  const tcpOrigins = new Map<string, PolicyOrigin>();
  for (const name of names) {
    const ofProvider = policies.filter(({ spec }) => (spec.provider?.name ?? "") === name);
    const isOneTooMany = names.length > 1 && settings.allowsSeveral !== true;
    const provider = isOneTooMany ? undefined : providers.get(name);
    const host = provider && settings.resolve(provider.service.slice(provider.service.indexOf("/") + 1));
    const bad = host === undefined ? whyBad(name, isOneTooMany ? names : [], provider) : undefined;
    const rulesFor = (isTcp: boolean): RBAC =>
      providerRules(ofProvider, { name, bad, tcp: isTcp, ...settings, origins: isTcp ? tcpOrigins : origins });
    if (provider === undefined || host === undefined) {
      http.push(httpFilter("envoy.filters.http.rbac", HttpRbacSchema, { rules: rulesFor(false) }));
      tcp.push(
        networkFilter("envoy.filters.network.rbac", NetworkRbacSchema, { rules: rulesFor(true), statPrefix: "tcp." }),
      );
      continue;
    }
    http.push(
      httpFilter("envoy.filters.http.rbac", HttpRbacSchema, {
        shadowRules: rulesFor(false),
        shadowRulesStatPrefix: shadowStatPrefix,
      }),
      httpAuthorization(provider, host),
    );
    // A service that speaks HTTP cannot be asked about a connection.
    if (provider.protocol === "grpc") {
      tcp.push(
        networkFilter("envoy.filters.network.rbac", NetworkRbacSchema, {
          shadowRules: rulesFor(true),
          shadowRulesStatPrefix: shadowStatPrefix,
          statPrefix: "tcp.",
        }),
        tcpAuthorization(provider, host),
      );
    }
  }
  return { http, tcp, origins, tcpOrigins };
}

function whyBad(name: string, tooMany: readonly string[], provider: AuthorizationProvider | undefined): string {
  if (tooMany.length > 0) return `a workload can have one provider, and its CUSTOM policies name ${tooMany.join(", ")}`;
  if (provider === undefined) return `mesh configuration has no external authorization provider "${name}"`;
  return `its provider "${name}" is the service ${provider.service}, which does not exist`;
}

function providerRules(
  policies: readonly MeshObject<AuthorizationPolicySpec>[],
  settings: {
    readonly name: string;
    /** Why nobody can be asked. */
    readonly bad: string | undefined;
    readonly tcp: boolean;
    readonly trustDomains: readonly string[];
    readonly origins: Map<string, PolicyOrigin>;
  },
): RBAC {
  const rules = create(RBACSchema, { action: RBAC_Action.DENY });
  for (const policy of policies) {
    for (const [index, rule] of policy.spec.rules.entries()) {
      const { tcp, trustDomains } = settings;
      const ofRule: RuleSettings = { namespace: policy.namespace, trustDomains, tcp, allow: false };
      const compiled = rulePolicy(rule, ofRule);
      if (compiled === undefined) continue;
      const plain = `${policyPrefix}${settings.name}-${rbacPolicyName(policy.namespace, policy.name, index)}`;
      const name = settings.bad !== undefined ? `${plain}${badSuffix}` : plain;
      rules.policies[name] = compiled;
      const { note } = tcp ? withoutHttp(rule, ofRule, true) : {};
      settings.origins.set(name, { ...originAt(policy, `spec.rules[${index}]`), ...joined(settings.bad, note) });
    }
  }
  return rules;
}

function httpAuthorization(provider: AuthorizationProvider, host: string): HttpFilter {
  const cluster = outboundClusterName(provider.port, "", host);
  const timeout = milliseconds(provider.timeoutMs);
  const status = Object.values(StatusCode).find((code) => code !== 0 && code === provider.statusOnError);
  return httpFilter("envoy.filters.http.ext_authz", ExtAuthzSchema, {
    services:
      provider.protocol === "grpc"
        ? {
            case: "grpcService",
            value: {
              targetSpecifier: { case: "envoyGrpc", value: { clusterName: cluster, authority: host } },
              timeout,
            },
          }
        : {
            case: "httpService",
            value: {
              pathPrefix: provider.pathPrefix,
              serverUri: {
                uri: `http://${host}`,
                httpUpstreamType: { case: "cluster", value: cluster },
                timeout,
              },
              ...(Object.keys(provider.addedHeaders).length > 0 && {
                authorizationRequest: {
                  headersToAdd: Object.entries(provider.addedHeaders)
                    .sort(([a], [b]) => (a < b ? -1 : 1))
                    .map(([key, value]) => ({ key, value })),
                },
              }),
              authorizationResponse: {
                ...headerList("allowedUpstreamHeaders", provider.upstreamOnAllow),
                ...headerList("allowedClientHeaders", provider.downstreamOnDeny),
                ...headerList("allowedClientHeadersOnSuccess", provider.downstreamOnAllow),
              },
            },
          },
    ...headerList("allowedHeaders", provider.protocol === "http" ? provider.requestHeaders : []),
    failureModeAllow: provider.failOpen,
    transportApiVersion: ApiVersion.V3,
    ...(status !== undefined && { statusOnError: { code: status } }),
    ...(provider.body && {
      withRequestBody: {
        maxRequestBytes: provider.body.maxBytes,
        allowPartialMessage: provider.body.partial,
        packAsBytes: provider.body.asBytes,
      },
    }),
    filterEnabledMetadata: markedBy("envoy.filters.http.rbac", provider.name),
  });
}

function tcpAuthorization(provider: AuthorizationProvider, host: string): Filter {
  return networkFilter("envoy.filters.network.ext_authz", NetworkExtAuthzSchema, {
    statPrefix: "tcp.",
    grpcService: {
      targetSpecifier: {
        case: "envoyGrpc",
        value: { clusterName: outboundClusterName(provider.port, "", host), authority: host },
      },
      timeout: milliseconds(provider.timeoutMs),
    },
    failureModeAllow: provider.failOpen,
    transportApiVersion: ApiVersion.V3,
    filterEnabledMetadata: markedBy("envoy.filters.network.rbac", provider.name),
  });
}

/** Asks only about what the shadow rules of the provider's policies matched. */
function markedBy(filter: string, provider: string): MetadataMatcher {
  return create(MetadataMatcherSchema, {
    filter,
    path: [{ segment: { case: "key" as const, value: `${shadowStatPrefix}shadow_effective_policy_id` } }],
    value: {
      matchPattern: {
        case: "stringMatch",
        value: { matchPattern: { case: "prefix", value: `${policyPrefix}${provider}` } },
      },
    },
  });
}

function headerList<Name extends string>(
  name: Name,
  patterns: readonly string[],
): Partial<Record<Name, ListStringMatcher>> {
  if (patterns.length === 0) return {};
  const matcher = create(ListStringMatcherSchema, {
    patterns: patterns.map((pattern) => withCase(stringPattern(pattern), true)),
  });
  return { [name]: matcher } as Partial<Record<Name, ListStringMatcher>>;
}
