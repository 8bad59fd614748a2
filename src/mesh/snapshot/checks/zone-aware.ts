// DestinationRules that ask for zone aware routing in a mesh where no sidecar knows its peers: regions are told apart, and
// zones are used alike, without a word from Istio.
import { Severity } from "#base/issue.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

const variable = "ISTIO_META_ENABLE_SELF_DISCOVERY";

export function checkZoneAware(context: CheckContext): Finding[] {
  const rules = context.objects.all("DestinationRule").flatMap((rule) => {
    const place = placeOfZoneAware(rule.spec.trafficPolicy, "spec.trafficPolicy");
    const inSubsets = rule.spec.subsets.flatMap(({ trafficPolicy }, i) =>
      placeOfZoneAware(trafficPolicy, `spec.subsets[${i}].trafficPolicy`),
    );
    return [...place, ...inSubsets].map((path) => ({ rule, path }));
  });
  if (rules.length === 0 || someProxyKnowsItsPeers(context)) return [];
  const message = "no sidecar knows its peers, so that zones are used alike; regions are told apart";
  const fix = `set ${variable}: "true" in meshConfig.defaultConfig.proxyMetadata, or for the clients in a ProxyConfig or the annotation proxy.istio.io/config`;
  return rules.map(({ rule, path }) =>
    finding(rule, { code: "OUT0003", severity: Severity.Warning, path, message, fix }, "partly"),
  );
}

interface Policy {
  readonly loadBalancer?: { readonly zoneAwareLbSetting?: { readonly enabled?: boolean } };
  readonly portLevelSettings?: readonly Policy[];
}

function placeOfZoneAware(policy: Policy | undefined, path: string): string[] {
  const own = policy?.loadBalancer?.zoneAwareLbSetting;
  const here = own !== undefined && own.enabled !== false ? [`${path}.loadBalancer.zoneAwareLbSetting`] : [];
  const ports = (policy?.portLevelSettings ?? []).flatMap((port, i) =>
    placeOfZoneAware(port, `${path}.portLevelSettings[${i}]`),
  );
  return [...here, ...ports];
}

/** Anything that says so counts: which pods it is for shows when they are there. */
function someProxyKnowsItsPeers({ meshConfig, objects }: CheckContext): boolean {
  if (meshConfig.defaultConfig.proxyMetadata[variable] === "true") return true;
  if (objects.all("ProxyConfig").some(({ spec }) => spec.environmentVariables[variable] === "true")) return true;
  return objects
    .all("Pod")
    .some(({ metadata }) => (metadata.annotations?.["proxy.istio.io/config"] ?? "").includes(variable));
}
