// PEM (RFC 7468): armour on, armour off. Text around the blocks is ignored, as OpenSSL does.
import { derError } from "./der.ts";

const block = /-----BEGIN ([A-Z0-9 ]+)-----\r?\n([A-Za-z0-9+/=\s]*?)-----END \1-----/g;

export function encodePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString("base64");
  const lines = base64.match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** The DER of every block with this label, in order. */
export function decodePem(label: string, text: string): Buffer[] {
  const blocks: Buffer[] = [];
  for (const match of text.matchAll(block)) {
    if (match[1] === label) blocks.push(Buffer.from(match[2] ?? "", "base64"));
  }
  return blocks;
}

/** The DER of the first block whose label is one of these; throws X509_INVALID when there is none. */
export function decodeOnePem(labels: readonly string[], text: string): Buffer {
  for (const match of text.matchAll(block)) {
    if (labels.includes(match[1] ?? "")) return Buffer.from(match[2] ?? "", "base64");
  }
  throw derError(`no PEM block ${labels.join(" or ")}`);
}

/** Splits a bundle into one PEM text per certificate, without the text between them. */
export function splitCertificates(text: string): string[] {
  return decodePem("CERTIFICATE", text).map((der) => encodePem("CERTIFICATE", der));
}

/** One bundle without repeats, in order of appearance. */
export function mergeCertificates(bundles: readonly string[]): string {
  return [...new Set(bundles.flatMap(splitCertificates))].join("");
}
