// TLS contexts of clusters: Istio's mutual TLS to other sidecars, and TLS that a DestinationRule asks for.
import { create, type JsonObject } from "@bufbuild/protobuf";
import {
  type Cluster_TransportSocketMatch,
  Cluster_TransportSocketMatchSchema,
} from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { type TransportSocket, TransportSocketSchema } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { RawBufferSchema } from "#wire/gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.ts";
import { TlsParameters_TlsProtocol } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.ts";
import { UpstreamTlsContextSchema } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts";
import type { MeshConfig } from "../../kinds/mesh-config/spec.ts";
import { knownCipherSuites, knownCurves } from "../../objects/fields/tls-parameters.ts";
import { exactMatcher, pack } from "../envoy-values.ts";
import {
  fileCertificate,
  fileRoots,
  secretName,
  secretRootsName,
  trustedRoots,
  workloadCertificate,
} from "../names.ts";
import { secretReference } from "./secret-reference.ts";

export interface MutualTlsSettings {
  readonly sni: string;
  /** SPIFFE ids that the server may have; empty accepts every identity that the roots vouch for. */
  readonly subjectAltNames: readonly string[];
  readonly http2: boolean;
}

/** Builds the client side of mutual TLS between sidecars. */
export function istioMutualTls(settings: MutualTlsSettings): TransportSocket {
  return upstreamSocket({
    sni: settings.sni,
    commonTlsContext: {
      tlsParams: clientVersions,
      tlsCertificateSdsSecretConfigs: [secretReference(workloadCertificate)],
      validationContextType: {
        case: "combinedValidationContext",
        value: {
          defaultValidationContext: { matchSubjectAltNames: settings.subjectAltNames.map(exactMatcher) },
          validationContextSdsSecretConfig: secretReference(trustedRoots),
        },
      },
      alpnProtocols: settings.http2 ? ["istio-peer-exchange", "istio", "h2"] : ["istio-peer-exchange", "istio"],
    },
  });
}

export interface ClientTlsSettings {
  readonly mutual: boolean;
  /** A secret that is shown in place of the certificate of these settings. */
  readonly shownCertificate?: string | undefined;
  readonly sni: string;
  readonly subjectAltNames: readonly string[];
  readonly credentialName: string;
  readonly clientCertificate: string;
  readonly privateKey: string;
  readonly caCertificates: string;
  readonly caCrl: string;
  readonly insecureSkipVerify: boolean;
  readonly http2: boolean;
}

/** Builds the TLS of a DestinationRule in mode SIMPLE or MUTUAL. */
export function originatedTls(
  settings: ClientTlsSettings,
  { tlsDefaults }: Pick<MeshConfig, "tlsDefaults">,
): TransportSocket {
  return upstreamSocket({
    sni: settings.sni,
    commonTlsContext: {
      tlsParams: {
        ...clientVersions,
        cipherSuites: knownCipherSuites(tlsDefaults.cipherSuites),
        ecdhCurves: knownCurves(tlsDefaults.ecdhCurves),
      },
      ...((settings.mutual || settings.shownCertificate !== undefined) && {
        tlsCertificateSdsSecretConfigs: [secretReference(settings.shownCertificate ?? certificateName(settings))],
      }),
      validationContextType: settings.insecureSkipVerify
        ? { case: "validationContext", value: {} }
        : {
            case: "combinedValidationContext",
            value: {
              defaultValidationContext: {
                matchSubjectAltNames: settings.subjectAltNames.map(exactMatcher),
                ...(settings.caCrl !== "" && { crl: { specifier: { case: "filename", value: settings.caCrl } } }),
              },
              validationContextSdsSecretConfig: secretReference(rootsName(settings)),
            },
          },
      ...(settings.http2 && { alpnProtocols: ["h2"] }),
    },
  });
}

function certificateName(settings: ClientTlsSettings): string {
  if (settings.credentialName !== "") return secretName(settings.credentialName);
  return fileCertificate({ serverCertificate: settings.clientCertificate, privateKey: settings.privateKey });
}

function rootsName(settings: ClientTlsSettings): string {
  if (settings.credentialName !== "") return secretRootsName(settings.credentialName);
  return fileRoots(settings.caCertificates === "" ? "system" : settings.caCertificates);
}

/** Chooses per endpoint: mutual TLS where the endpoint says it can, plaintext elsewhere. */
export function autoMutualTls(mutualTls: TransportSocket): Cluster_TransportSocketMatch[] {
  return [
    create(Cluster_TransportSocketMatchSchema, {
      name: "tlsMode-istio",
      match: { tlsMode: "istio" } satisfies JsonObject,
      transportSocket: mutualTls,
    }),
    create(Cluster_TransportSocketMatchSchema, { name: "tlsMode-disabled", match: {}, transportSocket: plaintext }),
  ];
}

export const plaintext: TransportSocket = create(TransportSocketSchema, {
  name: "envoy.transport_sockets.raw_buffer",
  configType: { case: "typedConfig", value: pack(RawBufferSchema, {}) },
});

const clientVersions = {
  tlsMinimumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_2,
  tlsMaximumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_3,
};

function upstreamSocket(init: Parameters<typeof pack<typeof UpstreamTlsContextSchema>>[1]): TransportSocket {
  return create(TransportSocketSchema, {
    name: "envoy.transport_sockets.tls",
    configType: { case: "typedConfig", value: pack(UpstreamTlsContextSchema, init) },
  });
}
