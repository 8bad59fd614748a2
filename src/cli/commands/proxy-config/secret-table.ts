// `proxy-config secret`: certificates as the proxy holds them. Private keys never leave the proxy; the dump has none.
import { X509Certificate } from "node:crypto";
import { renderTable } from "../../render/table.ts";
import { inlineText, object, type SecretEntry } from "./config-dump.ts";

export function secretTable(secrets: readonly SecretEntry[], nowMs: number): string {
  const rows = secrets.map(({ name, state, secret }) => {
    const chain = inlineText(object(secret["tlsCertificate"])["certificateChain"]);
    const roots = inlineText(object(secret["validationContext"])["trustedCa"]);
    const type = chain !== "" ? "Cert Chain" : "CA";
    const certificate = parseCertificate(chain === "" ? roots : chain);
    if (certificate === undefined) return [name, type, state, "false", "-", "-", "-"];
    const { validFromDate, validToDate, serialNumber } = certificate;
    const valid = validFromDate.getTime() <= nowMs && nowMs < validToDate.getTime();
    return [name, type, state, String(valid), serialNumber.toLowerCase(), seconds(validToDate), seconds(validFromDate)];
  });
  return renderTable(
    ["RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"],
    rows,
  );
}

function parseCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined; // shown as not valid
  }
}

function seconds(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}
