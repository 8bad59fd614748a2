// All services, by hostname and by namespace, and which of them a namespace sees.
import type { MeshConfig } from "../kinds/mesh-config/spec.ts";
import { isVisible } from "../objects/export-to.ts";
import { isWildcard } from "../objects/host.ts";
import { byAge } from "../objects/mesh-object.ts";
import { allocateAddresses } from "./address-allocation.ts";
import { servicesFromEntry, visibilityOf } from "./entry-services.ts";
import { serviceFromKubernetes } from "./kubernetes-services.ts";
import type { ObjectTable } from "./object-table.ts";
import type { Service } from "./service.ts";

export interface ServiceIndex {
  /** Oldest first. */
  readonly all: readonly Service[];
  readonly byHostname: ReadonlyMap<string, readonly Service[]>;
  readonly byNamespace: ReadonlyMap<string, readonly Service[]>;
  /** Services with a wildcard hostname. */
  readonly wildcards: readonly Service[];
  /** What the namespace sees, one service per hostname, oldest first. Computed once per namespace. */
  visibleFrom(namespace: string): readonly Service[];
}

type ServiceSettings = Pick<MeshConfig, "defaultServiceExportTo" | "serviceEntryVisibility">;

/** Kubernetes gives it to every Namespace. */
const namespaceNameLabel = "kubernetes.io/metadata.name";

export function indexServices(objects: ObjectTable, domain: string, meshConfig: ServiceSettings): ServiceIndex {
  const { defaultServiceExportTo: defaultExportTo, serviceEntryVisibility } = meshConfig;
  const settings = `${domain} ${defaultExportTo.join()}`;
  const fromKubernetes = objects
    .all("Service")
    .flatMap((object) => madeOnce(object, settings, () => [serviceFromKubernetes(object, domain, defaultExportTo)]));
  const entries = objects.all("ServiceEntry");
  const allocated = allocateAddresses(entries);
  const fromEntries = entries.flatMap((object) => {
    const addresses = allocated.get(object);
    const labels = objects.find("Namespace", "", object.namespace)?.metadata.labels ?? {};
    const visibility = visibilityOf(serviceEntryVisibility, { ...labels, [namespaceNameLabel]: object.namespace });
    const key = `${settings} ${visibility} ${JSON.stringify([...(addresses ?? [])])}`;
    return madeOnce(object, key, () => servicesFromEntry(object, defaultExportTo, addresses, visibility));
  });
  const all = decorate(fromKubernetes, fromEntries).sort(byAge);
  const byHostname = Map.groupBy(all, (service) => service.hostname);
  const memo = new Map<string, readonly Service[]>();
  const lists: (readonly Service[])[] = [];
  return {
    all,
    byHostname,
    byNamespace: Map.groupBy(all, (service) => service.namespace),
    wildcards: all.filter((service) => isWildcard(service.hostname)),
    visibleFrom(namespace) {
      let visible = memo.get(namespace);
      if (visible === undefined) {
        visible = sharedList(
          lists,
          onePerHostname(
            all.filter((service) => isVisible(service.exportTo, service.namespace, namespace)),
            namespace,
          ),
        );
        memo.set(namespace, visible);
      }
      return visible;
    },
  };
}

const maxLists = 8;

/** Most namespaces see the same: they have one list, and what is worked out for it is worked out once. */
function sharedList(lists: (readonly Service[])[], services: readonly Service[]): readonly Service[] {
  const same = lists.find(
    (list) => list.length === services.length && list.every((service, index) => service === services[index]),
  );
  if (same === undefined && lists.length < maxLists) lists.push(services);
  return same ?? services;
}

const madeOf = new WeakMap<object, { readonly key: string; readonly services: readonly Service[] }>();

/** The same services of the same object in every snapshot, so that what was worked out for them is kept. */
function madeOnce(object: object, key: string, make: () => readonly Service[]): readonly Service[] {
  const known = madeOf.get(object);
  if (known?.key === key) return known.services;
  const services = make();
  madeOf.set(object, { key, services });
  return services;
}

/** A ServiceEntry for the host of a Kubernetes Service adds its names to that Service and is no service of its own. */
function decorate(fromKubernetes: readonly Service[], fromEntries: readonly Service[]): Service[] {
  const entriesByHost = Map.groupBy(fromEntries, (service) => service.hostname);
  const decorated = fromKubernetes.map((service) => {
    const names = (entriesByHost.get(service.hostname) ?? []).flatMap((entry) => entry.subjectAltNames);
    return names.length === 0 ? service : { ...service, subjectAltNames: [...new Set(names)] };
  });
  const taken = new Set(fromKubernetes.map((service) => service.hostname));
  return [...decorated, ...fromEntries.filter((entry) => !taken.has(entry.hostname))];
}

/** Where several services share a hostname: Kubernetes' own, then the namespace's own, then the oldest. */
export function onePerHostname(services: readonly Service[], namespace: string): Service[] {
  const chosen = new Map<string, Service>();
  for (const service of services) {
    const current = chosen.get(service.hostname);
    if (current === undefined || rank(service, namespace) < rank(current, namespace)) {
      chosen.set(service.hostname, service);
    }
  }
  return [...chosen.values()];
}

function rank(service: Service, namespace: string): number {
  if (service.source === "kubernetes") return 0;
  return service.namespace === namespace ? 1 : 2;
}
