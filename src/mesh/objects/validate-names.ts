// Validation that several kinds share: host names, exportTo, gateway names, addresses.

import { Severity } from "#base/issue.ts";
import { ipVersion } from "#base/net/ip-version.ts";
import type { Report } from "./report.ts";

const label = /^[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?$/i;
const namespaceName = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

export function isDnsName(name: string): boolean {
  const trimmed = name.endsWith(".") ? name.slice(0, -1) : name;
  return trimmed.length > 0 && trimmed.length <= 255 && trimmed.split(".").every((part) => label.test(part));
}

export function isNamespaceName(name: string): boolean {
  return namespaceName.test(name);
}

export function isIpAddress(text: string): boolean {
  return ipVersion(text) !== undefined;
}

/** An address, or an address with a prefix length. */
export function isIpOrCidr(text: string): boolean {
  const [address = "", length, ...rest] = text.split("/");
  const family = ipVersion(address);
  if (family === undefined || rest.length > 0) return false;
  return length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= (family === 4 ? 32 : 128));
}

/** A DNS name, or one whose first label is or starts with a wildcard (`*`, `*.example.com`, `*example.com`). */
export function isWildcardName(name: string): boolean {
  if (name === "*") return true;
  if (!name.startsWith("*")) return isDnsName(name);
  const rest = name.startsWith("*.") ? name.slice(2) : name.slice(1);
  return rest.startsWith("-") ? isDnsName(`x${rest}`) : isDnsName(rest);
}

export function validateHost(host: string, path: string, report: Report): void {
  if (host === "") report({ path, message: "the host is empty" });
  else if (!isWildcardName(host)) {
    const fix =
      host.indexOf("*") > 0
        ? "a wildcard can only stand at the start"
        : "a DNS name, as reviews.default.svc.cluster.local";
    report({ path, message: `"${host}" is not a host name`, fix });
  }
}

/** `*` stands alone; `~` stands alone; no entry twice (the own namespace's name is the same as `.`). */
export function validateExportTo(entries: readonly string[], namespace: string, path: string, report: Report): void {
  const seen = new Set<string>();
  for (const [index, entry] of entries.entries()) {
    const at = `${path}[${index}]`;
    const meaning = entry === "." ? namespace : entry;
    if (seen.has(meaning)) report({ path: at, message: `"${entry}" says the same as an earlier entry` });
    seen.add(meaning);
    if (entry !== "*" && entry !== "." && entry !== "~" && !isNamespaceName(entry)) {
      report({ path: at, message: `"${entry}" is not a namespace`, fix: "*, ., ~ or the name of a namespace" });
    }
  }
  for (const alone of ["*", "~"]) {
    if (entries.length > 1 && entries.includes(alone)) {
      report({ path, message: `"${alone}" cannot be combined with other entries` });
    }
  }
}

export function warn(path: string, message: string, fix?: string): Parameters<Report>[0] {
  return { path, message, severity: Severity.Warning, ...(fix !== undefined && { fix }) };
}
