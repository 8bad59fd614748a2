// Validation that several kinds share: host names, exportTo, gateway names, addresses.

import { Severity } from "#base/issue.ts";
import { ipVersion } from "#base/net/ip-version.ts";
import type { Report } from "./report.ts";

const label = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/i;
const namespaceName = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

/** Labels of letters, digits and dashes; a last label of digits alone is that of an address. */
export function isDnsName(name: string): boolean {
  if (name.length > 255) return false;
  const labels = (name.endsWith(".") ? name.slice(0, -1) : name).split(".");
  if (labels.length > 1 && /^\d+$/.test(labels.at(-1) ?? "")) return false;
  return labels.every(isDnsLabel);
}

/** One part of a name, in either case: the name of a port, a subset or a Gateway. */
export function isDnsLabel(text: string): boolean {
  return label.test(text);
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

/** `*example.com`: Istio knows it in few places. */
export function isPartialWildcard(host: string): boolean {
  return host.length > 1 && host.includes("*") && !host.startsWith("*.");
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

/** In the lists of Gateways and Sidecars: full names, `*` or `*.name`; in a Gateway addresses too. */
export function validateListedHost(
  host: string,
  path: string,
  report: Report,
  { addresses = false }: { readonly addresses?: boolean } = {},
): void {
  if (isIpAddress(host)) {
    if (!addresses) report({ path, message: `"${host}" is an address, not a name` });
  } else if (isPartialWildcard(host) && isWildcardName(host)) {
    report({ path, message: `"${host}": a wildcard is a whole label here`, fix: `*.${host.replace(/^\*-?/, "")}` });
  } else if (isDnsLabel(host)) {
    report({ path, message: `"${host}" is a short name`, fix: "the full name, as NAME.NAMESPACE.svc.cluster.local" });
  } else validateHost(host, path, report);
}

export function validateSubsetName(name: string, path: string, report: Report): void {
  if (isDnsLabel(name)) return;
  const fix = "letters, digits and -, at most 63";
  report({ path, message: `"${name}" cannot be the name of a subset`, fix });
}

/**
 * `*` stands alone; no entry twice (the own namespace's name is the same as `.`). Nobody (`~`) stands alone, and only in a
 * ServiceEntry, whose own workloads know it all the same.
 */
export function validateExportTo(
  entries: readonly string[],
  namespace: string,
  report: Report,
  { none = false }: { readonly none?: boolean } = {},
): void {
  const path = "spec.exportTo";
  const seen = new Set<string>();
  for (const [index, entry] of entries.entries()) {
    const at = `${path}[${index}]`;
    const meaning = entry === "." ? namespace : entry;
    if (seen.has(meaning)) report({ path: at, message: `"${entry}" says the same as an earlier entry` });
    seen.add(meaning);
    if (entry === "~" && !none) {
      report({ path: at, message: '"~" is for ServiceEntries: nobody would have it', fix: '"."' });
    } else if (entry !== "*" && entry !== "." && entry !== "~" && !isNamespaceName(entry)) {
      const fix = `*, .${none ? ", ~" : ""} or the name of a namespace`;
      report({ path: at, message: `"${entry}" is not a namespace`, fix });
    }
  }
  for (const alone of none ? ["*", "~"] : ["*"]) {
    if (entries.length > 1 && entries.includes(alone)) {
      report({ path, message: `"${alone}" cannot be combined with other entries` });
    }
  }
}

export function warn(path: string, message: string, fix?: string): Parameters<Report>[0] {
  return { path, message, severity: Severity.Warning, ...(fix !== undefined && { fix }) };
}
