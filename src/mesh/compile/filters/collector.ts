// The service that a provider of mesh configuration sends to: `service` is its host, with its namespace in front where
// several services have the host.
import type { Service } from "../../snapshot/service.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";
import { outboundClusterName } from "../names.ts";
import { once } from "../shared-work.ts";
import { type Fields, text } from "./provider-fields.ts";

export interface Collector {
  readonly host: string;
  readonly cluster: string;
}

/** Services of the whole mesh by their host. */
export type CollectorLookup = (host: string) => readonly Service[];

export function collectorLookup(snapshot: MeshSnapshot): CollectorLookup {
  const byHost = once(snapshot, "services by host", () => Map.groupBy(snapshot.services, ({ hostname }) => hostname));
  return (host) => byHost.get(host.toLowerCase()) ?? [];
}

/** Undefined: there is no such service, or several. */
export function collectorOf(fields: Fields, lookup: CollectorLookup): Collector | undefined {
  const [first = "", second] = text(fields["service"]).split("/");
  const found = lookup(second ?? first).filter(({ namespace }) => second === undefined || namespace === first);
  const namespaces = new Set(found.map(({ namespace }) => namespace));
  const service = found[0];
  const port = Number(fields["port"]);
  if (service === undefined || namespaces.size > 1 || !Number.isInteger(port) || port < 1 || port > 65_535) {
    return undefined;
  }
  return { host: service.hostname, cluster: outboundClusterName(port, "", service.hostname) };
}
