// The names that a workload's DNS proxy answers (Istio's NDS): the services that the workload sees, and the pods of
// headless ones.
import type { NameInfo, NameTable } from "#wire/xds/name-table.ts";
import type { ProxyNode } from "../snapshot/proxy-node.ts";
import type { Service } from "../snapshot/service.ts";
import type { MeshSnapshot } from "../snapshot/snapshot.ts";
import { isIpAddress } from "./envoy-values.ts";
import { once } from "./shared-work.ts";

/** The same object for proxies that see the same. It hangs on the snapshot: a scope outlives changes of endpoints. */
export function compileNameTable(snapshot: MeshSnapshot, proxy: ProxyNode): NameTable {
  const scope = snapshot.scope(proxy);
  const { sidecar } = scope;
  const key = JSON.stringify(["name table", proxy.namespace, sidecar?.namespace, sidecar?.name]);
  return once(snapshot, key, () => {
    const table = new Map<string, NameInfo>();
    for (const service of scope.services) {
      for (const [name, addresses] of namesOf(snapshot, service)) if (!table.has(name)) table.set(name, addresses);
    }
    return table;
  });
}

function* namesOf(snapshot: MeshSnapshot, service: Service): Generator<[string, NameInfo]> {
  // An alias is the cluster's DNS to follow.
  if (service.externalName !== "") return;
  const isKubernetes = service.source === "kubernetes";
  const named = (ips: readonly string[], shortName: string): NameInfo => ({
    ips,
    registry: isKubernetes ? "Kubernetes" : "External",
    shortName: isKubernetes ? shortName : "",
    namespace: isKubernetes ? service.namespace : "",
  });
  const own = service.addresses.length > 0 ? service.addresses.filter(isIpAddress) : service.autoAllocatedAddresses;
  if (own.length > 0) yield [service.hostname, named(own, service.name)];
  const [port] = service.ports;
  if (own.length > 0 || !(service.headless || service.resolution === "passthrough") || port === undefined) return;
  const endpoints = snapshot
    .endpoints(service, port.number)
    .filter(({ address, health }) => isIpAddress(address) && health !== "unhealthy");
  if (endpoints.length > 0) {
    yield [service.hostname, named([...new Set(endpoints.map(({ address }) => address))], service.name)];
  }
  for (const { address, workload } of endpoints) {
    if (!isKubernetes || workload.hostname === "") continue;
    yield [`${workload.hostname}.${service.hostname}`, named([address], `${workload.hostname}.${service.name}`)];
  }
}
