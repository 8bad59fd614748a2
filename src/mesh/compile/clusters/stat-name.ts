// What statistics call a cluster: its name, or what mesh configuration makes of its service
// (`outboundClusterStatName`, `inboundClusterStatName`).
import type { Service } from "../../snapshot/service.ts";
import { statDelimiter } from "../names.ts";

export interface StatNameFacts {
  /** The cluster's own name, where the pattern is empty. */
  readonly cluster: string;
  /** Undefined where the cluster has none: then the pattern is not used. */
  readonly service: Service | undefined;
  readonly port: number;
  readonly portName: string;
  readonly targetPort: number;
  readonly subset: string;
}

export function clusterStatName(pattern: string, facts: StatNameFacts): string {
  const { cluster, service } = facts;
  if (pattern === "" || service === undefined) return `${cluster}${statDelimiter}`;
  const { hostname, name, namespace, source } = service;
  const values: Readonly<Record<string, string>> = {
    SERVICE: source === "kubernetes" ? `${name}.${namespace}` : hostname,
    SERVICE_FQDN: hostname,
    SERVICE_NAME: name,
    SERVICE_PORT: String(facts.port),
    SERVICE_PORT_NAME: facts.portName,
    TARGET_PORT: String(facts.targetPort),
    SUBSET_NAME: facts.subset,
  };
  const text = pattern.replaceAll(/%([A-Z_]+)%/g, (whole, key: string) =>
    Object.hasOwn(values, key) ? (values[key] ?? "") : whole,
  );
  return `${text}${statDelimiter}`;
}
