// Certificates and roots for `/config_dump` and `/certs`. A private key is shown as Envoy shows it: redacted.
import { X509Certificate } from "node:crypto";
import type { JsonObject } from "@bufbuild/protobuf";
import type { SecretStore, TlsCertificate } from "#wire/tls/secrets.ts";
import type { ProxyState } from "./proxy-state.ts";
import { redacted } from "./redact.ts";

const secretType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

export function* secretEntries(
  secrets: SecretStore,
): Iterable<{ readonly name: string; readonly render: () => JsonObject }> {
  for (const name of secrets.certificateNames()) {
    const certificate = secrets.certificate(name);
    if (certificate !== undefined) yield { name, render: () => certificateEntry(name, certificate) };
  }
  for (const name of secrets.rootNames()) {
    const roots = secrets.trustedRoots(name);
    if (roots !== undefined) yield { name, render: () => rootsEntry(name, roots, secrets.revocationList(name)) };
  }
}

/** Secrets that the configuration names and that are not there yet: connections that need them are refused. */
export function* missingSecretEntries(
  secrets: SecretStore,
): Iterable<{ readonly name: string; readonly render: () => JsonObject }> {
  const there = new Set([...secrets.certificateNames(), ...secrets.rootNames(), ...secrets.revocationListNames()]);
  for (const name of secrets.wanted) {
    // The platform's roots are no secret.
    if (name === "system" || there.has(name)) continue;
    yield { name, render: () => ({ name, secret: { "@type": secretType, name } }) };
  }
}

function certificateEntry(name: string, certificate: TlsCertificate): JsonObject {
  return {
    name,
    version_info: certificate.serialNumber,
    last_updated: new Date(certificate.notBeforeMs).toISOString(),
    secret: {
      "@type": secretType,
      name,
      tls_certificate: {
        certificate_chain: { inline_bytes: base64(certificate.certificateChain) },
        private_key: { inline_bytes: redacted },
      },
    },
  };
}

function rootsEntry(name: string, roots: string, revocations: string | undefined): JsonObject {
  const context = {
    trusted_ca: { inline_bytes: base64(roots) },
    ...(revocations !== undefined && { crl: { inline_bytes: base64(revocations) } }),
  };
  return { name, secret: { "@type": secretType, name, validation_context: context } };
}

/** `/certs` in Envoy's JSON. */
export function certs(state: ProxyState): unknown {
  const now = state.now();
  const chains = state.secrets.certificateNames().map((name) => ({
    cert_chain: describeAll(state.secrets.certificate(name)?.certificateChain ?? "", now),
  }));
  const roots = state.secrets.rootNames().map((name) => ({
    ca_cert: describeAll(state.secrets.trustedRoots(name) ?? "", now),
  }));
  return { certificates: [...chains, ...roots] };
}

const pemBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function describeAll(pem: string, now: number): object[] {
  return [...pem.matchAll(pemBlock)].flatMap(([block]) => {
    try {
      return [describe(new X509Certificate(block), now)];
    } catch {
      return []; // the TLS part has said so already
    }
  });
}

function describe(certificate: X509Certificate, now: number): object {
  const { validFromDate, validToDate, serialNumber, subjectAltName } = certificate;
  return {
    path: "<inline>",
    serial_number: serialNumber.toLowerCase(),
    subject_alt_names: (subjectAltName ?? "").split(", ").flatMap(altName),
    days_until_expiration: String(Math.max(0, Math.floor((validToDate.getTime() - now) / 86_400_000))),
    valid_from: validFromDate.toISOString(),
    expiration_time: validToDate.toISOString(),
  };
}

function altName(name: string): object[] {
  if (name.startsWith("URI:")) return [{ uri: name.slice(4) }];
  if (name.startsWith("DNS:")) return [{ dns: name.slice(4) }];
  if (name.startsWith("IP Address:")) return [{ ip_address: name.slice(11) }];
  return [];
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
