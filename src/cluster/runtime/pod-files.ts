// The files that every container of a pod sees under /etc: how names are resolved there.

import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { clusterDomain, dnsServiceAddress } from "../network/addresses.ts";
import { hostnameOf, podSpec } from "./pod-spec.ts";

export function resolvConf(pod: KubernetesObject): string {
  const { dnsPolicy, dnsConfig } = podSpec(pod);
  const namespace = pod.metadata.namespace ?? "default";
  const isOwn = dnsPolicy === "None";
  const nameservers = [...(isOwn ? [] : [dnsServiceAddress]), ...(dnsConfig?.nameservers ?? [])].slice(0, 3);
  const searches = isOwn ? [] : [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
  const options = new Map(isOwn ? [] : [["ndots", "5"]]);
  for (const { name, value } of dnsConfig?.options ?? []) options.set(name, value ?? "");
  const allSearches = [...searches, ...(dnsConfig?.searches ?? [])];
  return [
    ...nameservers.map((address) => `nameserver ${address}`),
    ...(allSearches.length === 0 ? [] : [`search ${allSearches.join(" ")}`]),
    ...(options.size === 0
      ? []
      : [`options ${[...options].map(([name, value]) => (value === "" ? name : `${name}:${value}`)).join(" ")}`]),
    "",
  ].join("\n");
}

export function hostsFile(pod: KubernetesObject, podAddress: string): string {
  const { subdomain, hostAliases } = podSpec(pod);
  const hostname = hostnameOf(pod);
  const namespace = pod.metadata.namespace ?? "default";
  const names = subdomain ? [`${hostname}.${subdomain}.${namespace}.svc.${clusterDomain}`, hostname] : [hostname];
  return [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    `${podAddress}\t${names.join("\t")}`,
    ...(hostAliases ?? []).map(({ ip, hostnames }) => `${ip}\t${(hostnames ?? []).join("\t")}`),
    "",
  ].join("\n");
}

/** Writes them and returns the folder: `resolv.conf`, `hosts`, `hostname`. */
export function writePodFiles(folder: string, pod: KubernetesObject, podAddress: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const files = {
    "resolv.conf": resolvConf(pod),
    hosts: hostsFile(pod, podAddress),
    hostname: `${hostnameOf(pod)}\n`,
  };
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(folder, name), content);
    chmodSync(join(folder, name), 0o644);
  }
}
