// A Secret of SDS: a certificate with its key, or roots with revocation lists. What is wrong is said without a byte of it.
import { fromBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { type Secret, SecretSchema } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts";
import { readTlsCertificate } from "#wire/tls/read-certificate.ts";
import type { TlsCertificate } from "#wire/tls/secrets.ts";
import { inlineText, typeName } from "../config/parse/values.ts";

export type DecodedSecret =
  | { readonly type: "certificate"; readonly certificate: TlsCertificate }
  | { readonly type: "roots"; readonly pem: string; readonly revocationList: string | undefined };

/** A string says why it is refused. */
export function decodeSecret(any: Any, name: string): DecodedSecret | string {
  const because = (why: string): string => `secret ${name}: ${why}`;
  if (typeName(any) !== SecretSchema.typeName) return because(`${typeName(any)} is not ${SecretSchema.typeName}`);
  let secret: Secret;
  try {
    secret = fromBinary(SecretSchema, any.value);
  } catch {
    return because(`the bytes are not a ${SecretSchema.typeName}`);
  }
  if (secret.name !== name) return because(`"${secret.name}" differs from the name of the resource`);
  const { type } = secret;
  if (type.case === "tlsCertificate") {
    const chain = inlineText(type.value.certificateChain);
    const key = inlineText(type.value.privateKey);
    if (chain === undefined || key === undefined)
      return because("the certificate and its key are not both given inline");
    const certificate = readTlsCertificate(chain, key);
    return typeof certificate === "string" ? because(certificate) : { type: "certificate", certificate };
  }
  if (type.case !== "validationContext") return because(`a ${type.case ?? "secret of no type"} is not supported`);
  const pem = inlineText(type.value.trustedCa);
  if (pem === undefined) return because("the roots are not given inline");
  return { type: "roots", pem, revocationList: inlineText(type.value.crl) };
}
