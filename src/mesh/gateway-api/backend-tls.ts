// BackendTLSPolicies as DestinationRules: TLS to a Service or to the hosts of a ServiceEntry, with the server name that
// the policy says, the names that its certificate has to have, and the roots that may vouch for it.
import type { BackendTlsPolicySpec, BackendTlsValidation, PolicyTarget } from "../kinds/backend-tls-policy/spec.ts";
import type { DestinationRuleSpec } from "../kinds/destination-rule/spec.ts";
import { ClientTlsMode, type ClientTlsSettings, type TrafficPolicy } from "../objects/fields/traffic-policy.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { ApiProblem } from "./conditions.ts";
import { generated, type Source } from "./generated-object.ts";
import { type GatewayApiInput, serviceHostname } from "./input.ts";
import { policyRuleName } from "./names.ts";

type Policy = MeshObject<BackendTlsPolicySpec>;

export interface ServedPolicy {
  readonly object: Policy;
  /** What is wrong with the roots: backends are then not reached at all. */
  readonly roots?: ApiProblem | undefined;
  readonly targets: readonly ServedTarget[];
}

interface ServedTarget {
  readonly index: number;
  readonly target: PolicyTarget;
  readonly problem?: ApiProblem | undefined;
}

export interface BackendTls {
  readonly rules: readonly MeshObject<DestinationRuleSpec>[];
  readonly policies: readonly ServedPolicy[];
}

/** The policies come oldest first: the first one that is about a port of a host counts. */
export function backendTls(input: GatewayApiInput): BackendTls {
  const hosts = new Map<string, HostPolicies>();
  const policies = input.backendTlsPolicies.map((object): ServedPolicy => {
    const { tls, problem } = clientTls(object, input);
    const targets = object.spec.targetRefs.map((target, index): ServedTarget => {
      const found = findTarget(target, object.namespace, input);
      if (typeof found === "string") return { index, target, problem: { reason: "TargetNotFound", message: found } };
      const lost = found.places.flatMap((place) => claim(hosts, place, { object, tls, index }) ?? []);
      return { index, target, problem: lost[0] };
    });
    return { object, roots: problem, targets };
  });
  return { rules: [...hosts.values()].map(destinationRule), policies };
}

interface Place {
  readonly hostname: string;
  readonly namespace: string;
  readonly ruleName: string;
  /** Undefined: all ports that no other policy names. */
  readonly port: number | undefined;
}

interface Claim {
  readonly object: Policy;
  readonly tls: ClientTlsSettings;
  readonly index: number;
}

interface HostPolicies {
  readonly place: Place;
  readonly byPort: Map<number | undefined, Claim>;
}

function claim(hosts: Map<string, HostPolicies>, place: Place, made: Claim): ApiProblem | undefined {
  const key = `${place.namespace}/${place.ruleName}`;
  const host: HostPolicies = hosts.get(key) ?? { place, byPort: new Map() };
  hosts.set(key, host);
  const earlier = host.byPort.get(place.port);
  if (earlier === undefined) {
    host.byPort.set(place.port, made);
    return undefined;
  }
  const message = `BackendTLSPolicy ${earlier.object.name}, which is older, is about the same ports of ${place.hostname}`;
  return { reason: "Conflicted", message };
}

function findTarget(target: PolicyTarget, namespace: string, input: GatewayApiInput): { places: Place[] } | string {
  const { group, kind, name, sectionName } = target;
  const what = `${kind} ${namespace}/${name}`;
  if (group === "" && kind === "Service") {
    const hostname = serviceHostname(name, namespace, input.domain);
    const service = input.services.get(hostname)?.find(({ source }) => source === "kubernetes");
    if (service === undefined) return `there is no ${what}`;
    const port = service.ports.find((item) => item.name === sectionName)?.number;
    if (sectionName !== "" && port === undefined) return `the ${what} has no port "${sectionName}"`;
    return { places: [{ hostname, namespace, ruleName: policyRuleName(name), port }] };
  }
  if (group === "networking.istio.io" && kind === "ServiceEntry") {
    const entry = input.serviceEntries.find((item) => item.namespace === namespace && item.name === name);
    if (entry === undefined) return `there is no ${what}`;
    const port = entry.spec.ports.find((item) => item.name === sectionName)?.number;
    if (sectionName !== "" && port === undefined) return `the ${what} has no port "${sectionName}"`;
    const places = entry.spec.hosts.map((host) => ({
      hostname: host.toLowerCase(),
      namespace,
      ruleName: policyRuleName(`${name}~${host.replaceAll(".", "-")}`),
      port,
    }));
    return { places };
  }
  return `a policy cannot be about ${group || "core"}/${kind}; it can be about a Service or a ServiceEntry`;
}

function clientTls(
  { spec: { validation }, namespace }: Policy,
  input: GatewayApiInput,
): { tls: ClientTlsSettings; problem?: ApiProblem } {
  const roots = rootsOf(validation, namespace, input);
  const names = validation.subjectAltNames.map(({ type, hostname, uri }) => (type === "URI" ? uri : hostname));
  const tls: ClientTlsSettings = {
    mode: ClientTlsMode.Simple,
    clientCertificate: "",
    privateKey: "",
    caCertificates: "",
    credentialName: roots.credentialName,
    subjectAltNames: names.length > 0 ? names : [validation.hostname],
    sni: validation.hostname,
    caCrl: "",
    showsGatewayCertificate: true,
  };
  return { tls, ...(roots.problem !== undefined && { problem: roots.problem }) };
}

/** A name that nobody delivers: a backend that cannot be verified is not reached. */
const noRoots = "invalid://";

function rootsOf(
  { wellKnownCACertificates, caCertificateRefs }: BackendTlsValidation,
  namespace: string,
  { credentialProblem }: GatewayApiInput,
): { credentialName: string; problem?: ApiProblem } {
  if (wellKnownCACertificates === "System") return { credentialName: "" };
  const [ref] = caCertificateRefs;
  if (ref === undefined) {
    const message = `wellKnownCACertificates "${wellKnownCACertificates}" is not known; System is`;
    return { credentialName: noRoots, problem: { reason: "Invalid", message } };
  }
  if (ref.group === "" && ref.kind === "ConfigMap") {
    const credentialName = `configmap://${namespace}/${ref.name}`;
    const message = credentialProblem(credentialName);
    return { credentialName, ...(message && { problem: { reason: "InvalidCACertificateRef", message } }) };
  }
  const message = `caCertificateRef ${ref.name} is a ${ref.kind}, not a ConfigMap`;
  return { credentialName: noRoots, problem: { reason: "InvalidKind", message } };
}

function destinationRule({ place, byPort }: HostPolicies): MeshObject<DestinationRuleSpec> {
  const claims = [...byPort];
  const sources = claims.map(([, { object, index }]): Source => ({ object, path: `spec.targetRefs[${index}]` }));
  const whole = byPort.get(undefined);
  const portLevelSettings = claims.flatMap(([number, { tls }]) =>
    number === undefined ? [] : [{ port: { number }, tls }],
  );
  const trafficPolicy: TrafficPolicy = { portLevelSettings, ...(whole !== undefined && { tls: whole.tls }) };
  return generated<DestinationRuleSpec>({
    kind: "DestinationRule",
    name: place.ruleName,
    namespace: place.namespace,
    createdAt: claims[0]?.[1].object.createdAt ?? 0,
    spec: { host: place.hostname, trafficPolicy, subsets: [], exportTo: [] },
    sources,
    sourceOf: () => 0,
  });
}
