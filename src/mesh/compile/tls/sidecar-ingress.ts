// TLS that an ingress listener of a Sidecar resource ends, with certificate files of the proxy's own.
import type { TransportSocket } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { ServerTlsMode, type ServerTlsSettings } from "../../objects/fields/server-tls.ts";
import { gatewayTls } from "./downstream.ts";

export function sidecarIngressTls(tls: ServerTlsSettings, protocol: "http" | "tcp"): TransportSocket {
  return gatewayTls({
    mode: tls.mode === ServerTlsMode.Mutual ? "MUTUAL" : "SIMPLE",
    credentialNames: [],
    caCredentialName: "",
    serverCertificate: tls.serverCertificate,
    privateKey: tls.privateKey,
    caCertificates: tls.caCertificates,
    subjectAltNames: tls.subjectAltNames,
    verifyCertificateSpki: tls.verifyCertificateSpki,
    verifyCertificateHash: tls.verifyCertificateHash,
    minVersion: tls.minProtocolVersion,
    maxVersion: tls.maxProtocolVersion,
    cipherSuites: tls.cipherSuites,
    protocol,
  });
}
