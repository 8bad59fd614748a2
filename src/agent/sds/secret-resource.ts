// A secret of the store as Envoy's SDS resource, and back.
import { createHash } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { SecretSchema } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts";
import { readTlsCertificate } from "#wire/tls/read-certificate.ts";
import type { SecretReader, TlsCertificate } from "#wire/tls/secrets.ts";
import { splitCertificates } from "#wire/x509/pem.ts";

export interface SecretResource {
  readonly name: string;
  /** Equal for equal content; says nothing about it. */
  readonly version: string;
  /** The Secret, encoded. */
  readonly value: Uint8Array;
}

/** Undefined while there is no such secret. */
export function secretResource(secrets: SecretReader, name: string): SecretResource | undefined {
  const certificate = secrets.certificate(name);
  const roots = secrets.trustedRoots(name);
  const crl = secrets.revocationList(name);
  const inline = (text: string): { specifier: { case: "inlineBytes"; value: Uint8Array } } => ({
    specifier: { case: "inlineBytes", value: Buffer.from(text) },
  });
  let value: Uint8Array;
  if (certificate !== undefined) {
    const { certificateChain, privateKey } = certificate;
    const tls = { certificateChain: inline(certificateChain), privateKey: inline(privateKey) };
    value = toBinary(SecretSchema, create(SecretSchema, { name, type: { case: "tlsCertificate", value: tls } }));
  } else if (roots !== undefined && splitCertificates(roots).length > 0) {
    const context = { trustedCa: inline(roots), ...(crl !== undefined && { crl: inline(crl) }) };
    value = toBinary(SecretSchema, create(SecretSchema, { name, type: { case: "validationContext", value: context } }));
  } else return undefined;
  return { name, version: createHash("sha256").update(value).digest("hex").slice(0, 16), value };
}

export type ReadSecret =
  | { readonly name: string; readonly certificate: TlsCertificate }
  | { readonly name: string; readonly roots: string; readonly revocationList: string | undefined };

/** A string says what is wrong with it, without a byte of it. */
export function readSecretResource(bytes: Uint8Array): ReadSecret | string {
  let secret: ReturnType<typeof decode>;
  try {
    secret = decode(bytes);
  } catch {
    return "the resource is not a Secret";
  }
  const { name, type } = secret;
  if (type.case === "tlsCertificate") {
    const certificate = readTlsCertificate(inlineText(type.value.certificateChain), inlineText(type.value.privateKey));
    return typeof certificate === "string" ? `secret ${name} ${certificate}` : { name, certificate };
  }
  if (type.case !== "validationContext") return `secret ${name} is of a type that is not used here`;
  const roots = inlineText(type.value.trustedCa);
  if (splitCertificates(roots).length === 0) return `secret ${name} has no certificates given inline`;
  return { name, roots, revocationList: inlineText(type.value.crl) || undefined };
}

function decode(bytes: Uint8Array): ReturnType<typeof fromBinary<typeof SecretSchema>> {
  return fromBinary(SecretSchema, bytes);
}

type Source = { readonly specifier: { readonly case?: string | undefined; readonly value?: unknown } } | undefined;

/** Empty for what is not given inline. */
function inlineText(source: Source): string {
  const { case: kind, value } = source?.specifier ?? {};
  if (kind === "inlineString" && typeof value === "string") return value;
  return kind === "inlineBytes" && value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : "";
}
