// The analyzers, with the names under which istioctl lists them. Those without a check of their own are parts of building a
// snapshot: what they find decides what is in force.
import { checkAnnotations } from "./annotations.ts";
import { checkConditions } from "./conditions.ts";
import type { Analyzer } from "./context.ts";
import { checkApplicationUser, checkServiceAssociations } from "./deployments.ts";
import { checkDeprecations } from "./deprecations.ts";
import { checkServerVerification } from "./destination-rules.ts";
import { checkEnvoyFilterOrder } from "./envoy-filters.ts";
import { checkCertificates, checkExpiry, checkServicePorts } from "./gateways.ts";
import { checkImageAuto } from "./image-auto.ts";
import { checkInjection, checkProxyImages } from "./injection.ts";
import { checkKeyAddresses } from "./key-addresses.ts";
import { checkAuthorizationPolicies, checkGatewaySelectors } from "./policies.ts";
import { checkPortNames } from "./port-names.ts";
import { checkProtocolConflicts } from "./service-entries.ts";
import { checkSidecarSelectors } from "./sidecars.ts";
import { checkLightstep, checkTelemetryProviders, checkTelemetrySelectors } from "./telemetries.ts";
import { checkUnreachableRoutes } from "./unreachable-routes.ts";
import { checkClaimRoutes, checkIngressSubsets, checkInternalGateways } from "./virtual-services.ts";
import { checkExternalControlPlane, checkWebhooks } from "./webhooks.ts";

const analyzer = (
  name: string,
  codes: readonly string[],
  description: string,
  ...checks: readonly NonNullable<Analyzer["check"]>[]
): Analyzer => ({
  name,
  codes,
  description,
  ...(checks.length > 0 && { check: (context) => checks.flatMap((check) => check(context)) }),
});

export const analyzers: readonly Analyzer[] = [
  analyzer(
    "annotations.K8sAnalyzer",
    ["IST0107", "IST0108", "IST0125", "IST0135"],
    "annotations of Istio's that are unknown, misplaced, wrong or deprecated",
    checkAnnotations,
  ),
  analyzer(
    "authn.BlockedCIDRsAnalyzer",
    ["IST0175"],
    "addresses from which keys of token issuers are fetched",
    checkKeyAddresses,
  ),
  analyzer(
    "authz.AuthorizationPoliciesAnalyzer",
    ["IST0101", "IST0127"],
    "workloads and namespaces of AuthorizationPolicies",
    checkAuthorizationPolicies,
  ),
  analyzer("conditions.ConditionAnalyzer", ["IST0171"], "conditions that are False", checkConditions),
  analyzer(
    "deployment.MultiServiceAnalyzer",
    ["IST0116", "IST0137"],
    "Services that select one Deployment",
    checkServiceAssociations,
  ),
  analyzer(
    "deployment.ApplicationUIDAnalyzer",
    ["IST0144"],
    "applications that run as user 1337",
    checkApplicationUser,
  ),
  analyzer("deprecation.DeprecationAnalyzer", ["IST0002"], "fields and kinds that are deprecated", checkDeprecations),
  analyzer(
    "destinationrule.CaCertificateAnalyzer",
    ["IST0128", "IST0129"],
    "TLS to servers whose roots nobody named",
    checkServerVerification,
  ),
  analyzer("destinationrule.PodNotSelectedAnalyzer", ["IST0173", "IST0174"], "subsets and hosts that nobody has"),
  analyzer(
    "envoyfilter.EnvoyPatchAnalyzer",
    ["IST0151", "IST0152", "IST0153", "IST0154", "IST0155"],
    "operations of EnvoyFilters",
    ({ objects }) => checkEnvoyFilterOrder(objects),
  ),
  analyzer(
    "externalcontrolplane.ExternalControlPlaneAnalyzer",
    ["IST0163", "IST0164"],
    "webhooks of a control plane outside of the cluster",
    checkExternalControlPlane,
  ),
  analyzer("gateway.CertificateAnalyzer", ["IST0138"], "one certificate in several Gateways", checkCertificates),
  analyzer("gateway.ConflictingGatewayAnalyzer", ["IST0145"], "servers of Gateways that claim the same port and host"),
  analyzer(
    "gateway.IngressGatewayPortAnalyzer",
    ["IST0101", "IST0162"],
    "ports of Gateways that no Service leads to",
    checkServicePorts,
  ),
  analyzer("gateway.SecretAnalyzer", ["IST0101", "IST0161"], "certificates that Gateways name", checkExpiry),
  analyzer(
    "injection.Analyzer",
    ["IST0102", "IST0103", "IST0123", "IST0148"],
    "injection of sidecars by namespace and pod",
    checkInjection,
  ),
  analyzer(
    "injection.ImageAnalyzer",
    ["IST0158"],
    "pods that run another proxy than the injector gives",
    checkProxyImages,
  ),
  analyzer("injection.ImageAutoAnalyzer", ["IST0146", "IST0147"], "image: auto without injection", checkImageAuto),
  analyzer(
    "k8sgateway.SelectorAnalyzer",
    ["IST0166"],
    "selectors of policies for gateways of the Gateway API",
    checkGatewaySelectors,
  ),
  analyzer("schema.ValidationAnalyzer", ["IST0106", "IST0133", "IST0167"], "every field of every object"),
  analyzer("service.PortNameAnalyzer", ["IST0118", "IST0150"], "protocols of Service ports", checkPortNames),
  analyzer("serviceentry.Analyzer", ["IST0134"], "addresses of ServiceEntries"),
  analyzer(
    "serviceentry.ConflictingServiceEntryProtocolAnalyzer",
    ["IST0177"],
    "one port of a host with two protocols",
    checkProtocolConflicts,
  ),
  analyzer(
    "sidecar.SelectorAnalyzer",
    ["IST0101", "IST0110", "IST0111"],
    "Sidecars for one pod",
    checkSidecarSelectors,
  ),
  analyzer("telemetry.LightstepAnalyzer", ["IST0002"], "providers that are no more", checkLightstep),
  analyzer("telemetry.ProviderAnalyzer", ["IST0157"], "Telemetries without a provider", checkTelemetryProviders),
  analyzer(
    "telemetry.SelectorAnalyzer",
    ["IST0101", "IST0159", "IST0160"],
    "Telemetries for one pod",
    checkTelemetrySelectors,
  ),
  analyzer("virtualservice.ConflictingMeshGatewayHostsAnalyzer", ["IST0109"], "two VirtualServices for one host"),
  analyzer(
    "virtualservice.DestinationHostAnalyzer",
    ["IST0101", "IST0112", "IST0140"],
    "destinations of VirtualServices",
    checkIngressSubsets,
  ),
  analyzer("virtualservice.DestinationRuleAnalyzer", ["IST0101"], "subsets of destinations"),
  analyzer(
    "virtualservice.GatewayAnalyzer",
    ["IST0101", "IST0132", "IST0165"],
    "Gateways of VirtualServices",
    checkInternalGateways,
  ),
  analyzer("virtualservice.JWTClaimRouteAnalyzer", ["IST0149"], "routes by claims of tokens", checkClaimRoutes),
  analyzer(
    "virtualservice.UnreachableRouteAnalyzer",
    ["IST0130", "IST0131"],
    "routes and matches behind others",
    checkUnreachableRoutes,
  ),
  analyzer("webhook.Analyzer", ["IST0139"], "webhooks of injectors", checkWebhooks),
];
