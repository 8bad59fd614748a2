// Gateways against the Secrets that they name: one that is not there, that holds no certificate, or that they may not use
// leaves TLS of just that server without a certificate.
import { Severity } from "#base/issue.ts";
import { podSubject, selectsWorkload } from "../../kinds/gateway/resolve.ts";
import type { GatewaySpec } from "../../kinds/gateway/spec.ts";
import { ServerTlsMode, type ServerTlsSettings } from "../../objects/fields/server-tls.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { credentialAccess } from "../credential-access.ts";
import { findCredential, parseCredentialName } from "../credentials.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

/** Nothing is said while no Secret is known at all: then they are not in this snapshot. */
export function checkCredentials(context: CheckContext): Finding[] {
  if (context.objects.all("Secret").length === 0) return [];
  return context.objects.all("Gateway").flatMap((gateway) => missingCredentials(gateway, context));
}

function missingCredentials(gateway: MeshObject<GatewaySpec>, { objects, scopesGateways }: CheckContext): Finding[] {
  const mayLeadTo = credentialAccess(objects);
  // Secrets are looked for where the gateway's pods are, which need not be where the Gateway is.
  const pods = objects.all("Pod").filter((pod) => selectsWorkload(gateway, podSubject(pod), scopesGateways));
  const namespaces = new Set(pods.map(({ namespace }) => namespace));
  return gateway.spec.servers.flatMap(({ tls, hosts }, index) =>
    namesIn(tls).flatMap(({ name, field }) => {
      const problems = [...namespaces].flatMap((namespace) => {
        const asked = parseCredentialName(name.includes("://") ? name : `kubernetes://${name}`, namespace);
        if (asked === undefined) return [];
        if (asked.scheme === "kubernetes-gateway" && !mayLeadTo(gateway, namespace, asked)) {
          const problem = `no ReferenceGrant in ${asked.namespace} lets Gateways of ${namespace} use its Secret ${asked.name}`;
          return [{ isThere: false, problem }];
        }
        const credential = findCredential(objects, asked);
        return credential.type === "none" ? [credential] : [];
      });
      return [...new Map(problems.map((found) => [found.problem, found])).values()].map(({ isThere, problem }) => {
        const path = `spec.servers[${index}].tls.${field}`;
        const message = `${problem}: TLS handshakes for ${hosts.join(", ")} fail`;
        const code = isThere ? "IST0161" : "IST0101";
        return finding(gateway, { code, severity: Severity.Error, path, message }, "partly");
      });
    }),
  );
}

function namesIn(tls: ServerTlsSettings | undefined): { readonly name: string; readonly field: string }[] {
  if (tls === undefined) return [];
  const { credentialName, credentialNames, caCertCredentialName, mode } = tls;
  const own = [
    ...(credentialName === "" ? [] : [{ name: credentialName, field: "credentialName" }]),
    ...credentialNames.map((name, index) => ({ name, field: `credentialNames[${index}]` })),
  ];
  const asksForCertificate = mode === ServerTlsMode.Mutual || mode === ServerTlsMode.OptionalMutual;
  if (!asksForCertificate) return own;
  if (caCertCredentialName !== "") {
    return [...own, { name: withRootsEnding(caCertCredentialName), field: "caCertCredentialName" }];
  }
  const [first] = own;
  return first === undefined ? own : [...own, { ...first, name: withRootsEnding(first.name) }];
}

function withRootsEnding(name: string): string {
  return name.endsWith("-cacert") ? name : `${name}-cacert`;
}
