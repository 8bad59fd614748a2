// Policies of backends, joined to one DestinationRule for each host: of several about the same thing the oldest counts.
import type { BackendTlsPolicySpec, PolicyTarget } from "../kinds/backend-tls-policy/spec.ts";
import type { DestinationRuleSpec } from "../kinds/destination-rule/spec.ts";
import type { BackendTrafficPolicySpec } from "../kinds/x-backend-traffic-policy/spec.ts";
import type { ClientTlsSettings, RetryBudget, TrafficPolicy } from "../objects/fields/traffic-policy.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { ApiProblem } from "./conditions.ts";
import { generated, type Source } from "./generated-object.ts";
import { type GatewayApiInput, serviceHostname } from "./input.ts";
import { policyRuleName } from "./names.ts";

export interface ServedPolicy {
  readonly object: MeshObject<BackendTlsPolicySpec> | MeshObject<BackendTrafficPolicySpec>;
  /** What is wrong with the roots: backends are then not reached at all. */
  readonly roots?: ApiProblem | undefined;
  readonly targets: readonly ServedTarget[];
  readonly unused: readonly UnusedField[];
}

export interface ServedTarget {
  readonly index: number;
  readonly target: Omit<PolicyTarget, "sectionName"> & Partial<PolicyTarget>;
  readonly problem?: ApiProblem | undefined;
}

/** A field that is accepted and not in force. */
export interface UnusedField {
  readonly path: string;
  readonly message: string;
}

/** Policies with Istio's annotation are for another controller. */
export function isForUs({ metadata }: MeshObject<unknown>): boolean {
  return metadata.annotations?.["istio.io/ignore-policy-attachment"] !== "true";
}

export interface Place {
  readonly hostname: string;
  readonly namespace: string;
  readonly ruleName: string;
  /** Undefined: all ports that no other policy names. */
  readonly port: number | undefined;
}

interface Claim<Settings> {
  readonly object: MeshObject<unknown>;
  /** Of the target in the policy. */
  readonly index: number;
  readonly settings: Settings;
}

interface HostClaims {
  readonly place: Place;
  readonly tls: Map<number | undefined, Claim<ClientTlsSettings>>;
  retries?: Claim<RetryBudget>;
}

/** The policies of all hosts; each call claims what nobody claimed before. */
export class HostPolicies {
  readonly #hosts = new Map<string, HostClaims>();

  claimTls(place: Place, claim: Claim<ClientTlsSettings>): ApiProblem | undefined {
    const { tls } = this.#claimsOf(place);
    const earlier = tls.get(place.port);
    if (earlier !== undefined) return conflict(earlier, `the same ports of ${place.hostname}`);
    tls.set(place.port, claim);
    return undefined;
  }

  claimRetries(place: Place, claim: Claim<RetryBudget>): ApiProblem | undefined {
    const claims = this.#claimsOf(place);
    if (claims.retries !== undefined) return conflict(claims.retries, `retries to ${place.hostname}`);
    claims.retries = claim;
    return undefined;
  }

  rules(): MeshObject<DestinationRuleSpec>[] {
    return [...this.#hosts.values()].map(destinationRule);
  }

  #claimsOf(place: Place): HostClaims {
    const key = `${place.namespace}/${place.ruleName}`;
    const known = this.#hosts.get(key) ?? { place, tls: new Map() };
    this.#hosts.set(key, known);
    return known;
  }
}

function conflict({ object }: Claim<unknown>, what: string): ApiProblem {
  return { reason: "Conflicted", message: `${object.kind} ${object.name}, which is older, is about ${what}` };
}

/** The hosts and ports that a policy of the namespace is about, or why it is about none. */
export function findPlaces(
  target: Omit<PolicyTarget, "sectionName"> & Partial<PolicyTarget>,
  namespace: string,
  input: GatewayApiInput,
): Place[] | string {
  const { group, kind, name, sectionName = "" } = target;
  const what = `${kind} ${namespace}/${name}`;
  if (group === "" && kind === "Service") {
    const hostname = serviceHostname(name, namespace, input.domain);
    const service = input.services.get(hostname)?.find(({ source }) => source === "kubernetes");
    if (service === undefined) return `there is no ${what}`;
    const port = service.ports.find((item) => item.name === sectionName)?.number;
    if (sectionName !== "" && port === undefined) return `the ${what} has no port "${sectionName}"`;
    return [{ hostname, namespace, ruleName: policyRuleName(name), port }];
  }
  if (group === "networking.istio.io" && kind === "ServiceEntry") {
    const entry = input.serviceEntries.find((item) => item.namespace === namespace && item.name === name);
    if (entry === undefined) return `there is no ${what}`;
    const port = entry.spec.ports.find((item) => item.name === sectionName)?.number;
    if (sectionName !== "" && port === undefined) return `the ${what} has no port "${sectionName}"`;
    return entry.spec.hosts.map((host) => ({
      hostname: host.toLowerCase(),
      namespace,
      ruleName: policyRuleName(`${name}~${host.replaceAll(".", "-")}`),
      port,
    }));
  }
  return `a policy cannot be about ${group || "core"}/${kind}; it can be about a Service or a ServiceEntry`;
}

function destinationRule({ place, tls, retries }: HostClaims): MeshObject<DestinationRuleSpec> {
  const claims = [...tls.values(), ...(retries === undefined ? [] : [retries])];
  const sources = claims.map(({ object, index }): Source => ({ object, path: `spec.targetRefs[${index}]` }));
  const whole = tls.get(undefined);
  const retryBudget = retries?.settings;
  const portLevelSettings = [...tls].flatMap(([number, { settings }]) =>
    number === undefined ? [] : [{ port: { number }, tls: settings, ...(retryBudget && { retryBudget }) }],
  );
  const trafficPolicy: TrafficPolicy = {
    portLevelSettings,
    ...(whole !== undefined && { tls: whole.settings }),
    ...(retryBudget !== undefined && { retryBudget }),
  };
  return generated<DestinationRuleSpec>({
    kind: "DestinationRule",
    name: place.ruleName,
    namespace: place.namespace,
    createdAt: Math.min(...claims.map(({ object }) => object.createdAt)),
    spec: { host: place.hostname, trafficPolicy, subsets: [], exportTo: [] },
    sources,
    sourceOf: () => 0,
  });
}
