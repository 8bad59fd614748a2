// BackendTLSPolicies as DestinationRules: TLS to a Service or to the hosts of a ServiceEntry, with the server name that
// the policy says, the names that its certificate has to have, and the roots that may vouch for it.
import type { BackendTlsPolicySpec, BackendTlsValidation } from "../kinds/backend-tls-policy/spec.ts";
import { ClientTlsMode, type ClientTlsSettings } from "../objects/fields/traffic-policy.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import {
  findPlaces,
  type HostPolicies,
  isForUs,
  type ServedPolicy,
  type ServedTarget,
  type UnusedField,
} from "./backend-policies.ts";
import type { ApiProblem } from "./conditions.ts";
import type { GatewayApiInput } from "./input.ts";

type Policy = MeshObject<BackendTlsPolicySpec>;

/** The policies come oldest first: the first one that is about a port of a host counts. */
export function backendTls(input: GatewayApiInput, hosts: HostPolicies): ServedPolicy[] {
  return input.backendTlsPolicies.filter(isForUs).map((object): ServedPolicy => {
    const { tls, problem } = clientTls(object, input);
    const targets = object.spec.targetRefs.map((target, index): ServedTarget => {
      const found = findPlaces(target, object.namespace, input);
      if (typeof found === "string") return { index, target, problem: { reason: "TargetNotFound", message: found } };
      const lost = found.flatMap((place) => hosts.claimTls(place, { object, index, settings: tls }) ?? []);
      return { index, target, problem: lost[0] };
    });
    return { object, roots: problem, targets, unused: withoutEffect(object) };
  });
}

function withoutEffect({ spec: { validation, options } }: Policy): UnusedField[] {
  const names = Object.keys(options);
  return [
    ...(validation.caCertificateRefs.length > 1
      ? [{ path: "spec.validation.caCertificateRefs[1]", message: "only the first of several roots is used" }]
      : []),
    ...(names.length > 0
      ? [{ path: "spec.options", message: `${names.join(", ")} is accepted and not in force` }]
      : []),
  ];
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
