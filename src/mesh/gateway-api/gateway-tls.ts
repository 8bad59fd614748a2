// `tls` of a Gateway: the roots that vouch for clients at its listeners, and the certificate that backends are shown.
import type { FrontendValidation, KubernetesGatewaySpec } from "../kinds/kubernetes-gateway/spec.ts";
import type { ObjectReference } from "../objects/fields/route-reference.ts";
import { ServerTlsMode, type ServerTlsSettings } from "../objects/fields/server-tls.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { ApiProblem } from "./conditions.ts";
import type { Grants } from "./grants.ts";
import type { GatewayApiInput } from "./input.ts";

type Gateway = MeshObject<KubernetesGatewaySpec>;

export interface ReferenceContext {
  readonly grants: Grants;
  readonly credentialProblem: GatewayApiInput["credentialProblem"];
}

/** What a port asks of its clients; undefined when it asks for nothing. */
export function frontendValidation({ spec: { tls } }: Gateway, port: number): FrontendValidation | undefined {
  const { frontend } = tls ?? {};
  const own = frontend?.perPort.find((entry) => entry.port === port);
  return own === undefined ? frontend?.default?.validation : own.tls?.validation;
}

/** Tells whether a client may come without a certificate that anybody vouches for. */
export function isInsecure({ spec: { tls } }: Gateway): boolean {
  const { frontend } = tls ?? {};
  const all = [frontend?.default, ...(frontend?.perPort ?? []).map((entry) => entry.tls)];
  return all.some((settings) => settings?.validation?.mode === "AllowInsecureFallback");
}

export function clientRoots(
  gateway: Gateway,
  { caCertificateRefs }: FrontendValidation,
  { grants, credentialProblem }: ReferenceContext,
): string | ApiProblem {
  const [ref, second] = caCertificateRefs;
  if (ref === undefined) return { reason: "InvalidCACertificateRef", message: "caCertificateRefs names no roots" };
  if (second !== undefined) {
    return { reason: "InvalidCACertificateRef", message: "only one caCertificateRef can be served" };
  }
  const scheme = ref.group === "" ? schemes[ref.kind] : undefined;
  if (scheme === undefined) {
    const message = `caCertificateRef ${ref.name} is a ${ref.kind}, neither a ConfigMap nor a Secret`;
    return { reason: "InvalidCACertificateKind", message };
  }
  const namespace = ref.namespace || gateway.namespace;
  const refused = notPermitted(gateway, ref, "caCertificateRef", grants);
  if (refused !== undefined) return refused;
  const name = `${scheme}://${namespace}/${ref.name}`;
  const message = credentialProblem(name.endsWith("-cacert") ? name : `${name}-cacert`);
  return message === undefined ? name : { reason: "InvalidCACertificateRef", message };
}

const schemes: Readonly<Record<string, string | undefined>> = {
  ConfigMap: "configmap",
  Secret: "kubernetes-gateway",
};

/** The name under which the gateway's pods ask for the certificate that backends are shown; undefined without any. */
export function backendClientCertificate(
  gateway: Gateway,
  { grants, credentialProblem }: ReferenceContext,
): string | ApiProblem | undefined {
  const ref = gateway.spec.tls?.backend?.clientCertificateRef;
  if (ref === undefined) return undefined;
  if (ref.group !== "" || ref.kind !== "Secret") {
    const message = `clientCertificateRef ${ref.name} is a ${ref.kind}, not a Secret`;
    return { reason: "InvalidClientCertificateRef", message };
  }
  const refused = notPermitted(gateway, ref, "clientCertificateRef", grants);
  if (refused !== undefined) return refused;
  const name = `kubernetes-gateway://${ref.namespace || gateway.namespace}/${ref.name}`;
  const message = credentialProblem(name);
  return message === undefined ? name : { reason: "InvalidClientCertificateRef", message };
}

/** Asked before anything else: who may not refer to an object is not told whether it is there. */
function notPermitted(gateway: Gateway, ref: ObjectReference, field: string, grants: Grants): ApiProblem | undefined {
  const namespace = ref.namespace || gateway.namespace;
  if (grants({ kind: "Gateway", namespace: gateway.namespace }, { ...ref, namespace })) return undefined;
  const message = `${field} ${namespace}/${ref.name} is in another namespace, and no ReferenceGrant there permits it`;
  return { reason: "RefNotPermitted", message };
}

/** What of a server's TLS the validation of clients decides. */
export function mutualTls(
  roots: string,
  { mode }: FrontendValidation,
): Pick<ServerTlsSettings, "mode" | "caCertCredentialName" | "insecureSkipVerify"> {
  return mode === "AllowInsecureFallback"
    ? { mode: ServerTlsMode.OptionalMutual, caCertCredentialName: roots, insecureSkipVerify: true }
    : { mode: ServerTlsMode.Mutual, caCertCredentialName: roots };
}
