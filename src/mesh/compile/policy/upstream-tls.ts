// How a client reaches a service: in plaintext, over mutual TLS, by endpoint, or over TLS of the user's own.
// DestinationRule, PeerAuthentication and automatic mutual TLS all have a say:
//
// | DestinationRule tls   | result                                                                          |
// |-----------------------|---------------------------------------------------------------------------------|
// | DISABLE               | plaintext                                                                       |
// | SIMPLE, MUTUAL        | TLS as written                                                                  |
// | ISTIO_MUTUAL          | mutual TLS to every endpoint                                                    |
// | nothing               | per endpoint: mutual TLS where the workload takes it, plaintext elsewhere       |
//
// With nothing said it is plaintext for external services, where every workload behind the port refuses mutual TLS,
// and where the mesh has automatic mutual TLS switched off. A service whose address the application chose
// (ORIGINAL_DST, as headless ones), or whose hosts its clients name, knows no endpoints to tell apart: mutual TLS when all its workloads take it.
import type { ClientTlsSettings } from "../../objects/fields/traffic-policy.ts";
import type { Service } from "../../snapshot/service.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";

export type UpstreamTls =
  | { readonly kind: "plaintext" }
  | { readonly kind: "per-endpoint" }
  /** An empty SNI or list of names means Istio's own. */
  | { readonly kind: "mutual"; readonly sni: string; readonly subjectAltNames: readonly string[] }
  | { readonly kind: "originate"; readonly tls: ClientTlsSettings };

export interface UpstreamTlsQuestion {
  readonly service: Service;
  readonly port: number;
  /** What the DestinationRule says for the port. */
  readonly tls: ClientTlsSettings | undefined;
  /** There are endpoints to tell apart. */
  readonly hasEndpoints: boolean;
}

export function upstreamTls(snapshot: MeshSnapshot, question: UpstreamTlsQuestion): UpstreamTls {
  const { tls } = question;
  if (tls === undefined) return automatic(snapshot, question);
  switch (tls.mode) {
    case "DISABLE":
      return { kind: "plaintext" };
    case "ISTIO_MUTUAL":
      return { kind: "mutual", sni: tls.sni, subjectAltNames: tls.subjectAltNames };
    case "SIMPLE":
    case "MUTUAL":
      return { kind: "originate", tls };
  }
}

function automatic(snapshot: MeshSnapshot, question: UpstreamTlsQuestion): UpstreamTls {
  const { service, port, hasEndpoints } = question;
  if (!snapshot.meshConfig.enableAutoMtls || service.meshExternal) return { kind: "plaintext" };
  if (snapshot.serviceMtlsMode(service, port) === "DISABLE") return { kind: "plaintext" };
  if (hasEndpoints) return { kind: "per-endpoint" };
  const endpoints = snapshot.endpoints(service, port);
  const all = endpoints.length > 0 && endpoints.every(({ workload }) => workload.tlsMode === "istio");
  return all ? { kind: "mutual", sni: "", subjectAltNames: [] } : { kind: "plaintext" };
}
