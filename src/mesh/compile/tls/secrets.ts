// Secrets as SDS resources, for proxies that ask for them by name. Which proxy may have which:
//
// | name                                 | who                                                               |
// |--------------------------------------|-------------------------------------------------------------------|
// | kubernetes://[namespace/]name        | proxies of that namespace whose service account may list Secrets  |
// | kubernetes-gateway://namespace/name  | gateways with a server that names it, where it may (mayLeadTo)    |
// | configmap://namespace/name           | everybody: trusted roots                                          |
import { create } from "@bufbuild/protobuf";
import { type Secret, SecretSchema } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts";
import type { ServerTlsSettings } from "../../objects/fields/server-tls.ts";
import { type Credential, parseCredentialName } from "../../snapshot/credentials.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { GatewayServer, MeshSnapshot } from "../../snapshot/snapshot.ts";
import { secretName, secretRootsName } from "../names.ts";
import { once } from "../shared-work.ts";

export interface CompiledSecret {
  readonly secret: Secret;
  /** Only for a service account that may list the Secrets of its namespace. */
  readonly needsPermission: boolean;
}

/** Undefined when there is no such secret for the proxy. The same message as long as the Secret is the same. */
export function compileSecret(snapshot: MeshSnapshot, proxy: ProxyNode, name: string): CompiledSecret | undefined {
  const asked = parseCredentialName(name, proxy.namespace);
  if (asked === undefined) return undefined;
  const isOfGateway = asked.scheme === "kubernetes-gateway";
  // Trusted roots are no secret.
  const isPublic = asked.scheme === "configmap";
  const mayHave = isOfGateway ? namedByGateway(snapshot, proxy, name) : isPublic || asked.namespace === proxy.namespace;
  if (!mayHave) return undefined;
  const credential = snapshot.credential(asked);
  if (credential.type === "none") return undefined;
  const secret = once(credential.secret, `secret ${name}`, () => toSecret(name, credential));
  return { secret, needsPermission: !isOfGateway && !isPublic };
}

function toSecret(name: string, credential: Exclude<Credential, { type: "none" }>): Secret {
  if (credential.type === "certificate") {
    const { chain, key } = credential;
    return create(SecretSchema, {
      name,
      type: { case: "tlsCertificate", value: { certificateChain: inline(chain), privateKey: inline(key) } },
    });
  }
  const { roots, revocationList } = credential;
  return create(SecretSchema, {
    name,
    type: {
      case: "validationContext",
      value: { trustedCa: inline(roots), ...(revocationList !== undefined && { crl: inline(revocationList) }) },
    },
  });
}

function inline(pem: string): { specifier: { case: "inlineBytes"; value: Uint8Array } } {
  return { specifier: { case: "inlineBytes", value: Buffer.from(pem) } };
}

function namedByGateway(snapshot: MeshSnapshot, proxy: ProxyNode, name: string): boolean {
  if (proxy.type !== "router") return false;
  const scope = snapshot.gateways(proxy);
  const names = once(scope, "names of secrets", () => {
    const all = scope.listeners.flatMap(({ servers }) =>
      servers.flatMap(({ gateway, server: { tls } }) => {
        const { backendCertificate } = gateway.spec;
        const all = [...(tls === undefined ? [] : namesOf(tls)), ...(backendCertificate ? [backendCertificate] : [])];
        return all.filter((named) => mayLeadTo(snapshot, proxy, gateway, named));
      }),
    );
    return new Set(all);
  });
  return names.has(name);
}

function namesOf({ credentialName, credentialNames, caCertCredentialName }: ServerTlsSettings): string[] {
  const pairs = [credentialName, ...credentialNames]
    .filter((credential) => credential !== "")
    .flatMap((credential) => [secretName(credential), secretRootsName(credential)]);
  // Who needs only the roots of a Secret is not given its key.
  return caCertCredentialName === "" ? pairs : [...pairs, secretRootsName(caCertCredentialName)];
}

function mayLeadTo(snapshot: MeshSnapshot, proxy: ProxyNode, gateway: GatewayServer["gateway"], name: string): boolean {
  const asked = parseCredentialName(name, proxy.namespace);
  return asked !== undefined && snapshot.mayLeadTo(gateway, proxy.namespace, asked);
}
