// All clusters by name. Fed by CDS and EDS; read by routes and TCP proxies for each new stream or connection.
import type { Logger } from "#base/log/log.ts";
import { SocketCalls } from "#base/net/socket-calls.ts";
import type { ProcessCells } from "#base/threads/process-cells.ts";
import type { SecretReader } from "#wire/tls/secrets.ts";
import type { ClusterConfig, EndpointSet } from "../config/cluster.ts";
import type { LocalNode } from "../config/local-node.ts";
import { Stats } from "../stats/stats.ts";
import type { EventLoop } from "../transport/event-loop.ts";
import { TlsContexts } from "../transport/tls-contexts.ts";
import { type LocalPeers, localPeers } from "./balance/zone-routing.ts";
import { Cluster, type EjectedEndpoint } from "./cluster.ts";
import { type ClusterDescription, describeCluster } from "./cluster-description.ts";
import { DnsCaches } from "./dns/dns-caches.ts";
import { type ResolveDns, systemResolver } from "./dns/resolve-dns.ts";

export interface ClusterManagerOptions {
  readonly loop: EventLoop;
  readonly secrets: SecretReader;
  readonly log: Logger;
  readonly resolve?: ResolveDns;
  /** For what clusters share; those of a cluster are its own. */
  readonly stats?: Stats;
  /** Counts of the whole process; unless given there is one thread. */
  readonly cells?: ProcessCells | null;
  /** Tells the other threads. */
  readonly onEjected?: (ejected: EjectedEndpoint) => void;
  /** Whose peers count for zone aware routing; null: zones do not count. */
  readonly local?: LocalNode | null;
}

export class ClusterManager {
  readonly #loop: EventLoop;
  readonly #options: ClusterManagerOptions;
  /** Of hosts that clients name. */
  readonly dnsCaches: DnsCaches;
  readonly #contexts: TlsContexts;
  readonly #calls: SocketCalls;
  readonly #clusters = new Map<string, Cluster>();
  #peers: LocalPeers | null = null;
  /** EDS answers by service name, kept for clusters that come later. */
  readonly #endpointSets = new Map<string, EndpointSet>();

  constructor(options: ClusterManagerOptions) {
    this.#options = options;
    this.#loop = options.loop;
    this.#contexts = new TlsContexts(options.secrets);
    const { loop, log, resolve = systemResolver, stats = new Stats() } = options;
    this.dnsCaches = new DnsCaches({ loop, log, resolve, stats });
    this.#calls = new SocketCalls((reason) => options.log.warn(`options can't be set on sockets: ${reason}`));
  }

  #peersChanged(): void {
    const { local = null } = this.#options;
    if (local === null) return;
    const cluster = this.#clusters.get(local.cluster);
    this.#peers = cluster === undefined ? null : localPeers(local, cluster.endpoints);
    for (const other of this.#clusters.values()) if (other !== cluster) other.peersChanged();
  }

  /** Adds a cluster or changes it in place. */
  update(config: ClusterConfig): void {
    const known = this.#clusters.get(config.name);
    if (known !== undefined && known.config.type === config.type) {
      known.update(config);
    } else {
      known?.drain();
      const { log, resolve = systemResolver, cells = null, onEjected = () => {}, local = null } = this.#options;
      this.#clusters.set(
        config.name,
        new Cluster(config, {
          loop: this.#loop,
          contexts: this.#contexts,
          resolve,
          dnsCaches: this.dnsCaches,
          log,
          calls: this.#calls,
          cells,
          onEjected,
          onRebalanced: (name) => {
            if (name === local?.cluster) this.#peersChanged();
          },
          peers: () => this.#peers,
        }),
      );
    }
    if (config.name === this.#options.local?.cluster) this.#peersChanged();
    if (config.type === "eds") {
      const set = this.#endpointSets.get(edsName(config));
      if (set !== undefined) this.#clusters.get(config.name)?.setEndpoints(set);
    }
  }

  /** Replaces the endpoints of the EDS clusters that go by that name. */
  setEndpoints(set: EndpointSet): void {
    this.#endpointSets.set(set.clusterName, set);
    for (const cluster of this.#clusters.values()) {
      if (cluster.config.type === "eds" && edsName(cluster.config) === set.clusterName) {
        cluster.setEndpoints(set);
      }
    }
  }

  removeEndpoints(clusterName: string): void {
    this.#endpointSets.delete(clusterName);
  }

  /** Another thread ejected an endpoint. */
  adoptEjection({ cluster, endpoint, ejection }: EjectedEndpoint): void {
    this.#clusters.get(cluster)?.outliers?.adopt(endpoint, ejection);
  }

  /** Removes a cluster; requests that it carries finish. */
  remove(name: string): void {
    const cluster = this.#clusters.get(name);
    if (cluster === undefined) return;
    this.#clusters.delete(name);
    this.#endpointSets.delete(edsName(cluster.config));
    cluster.drain();
    if (name === this.#options.local?.cluster) this.#peersChanged();
  }

  get(name: string): Cluster | undefined {
    return this.#clusters.get(name);
  }

  names(): string[] {
    return [...this.#clusters.keys()];
  }

  /** What the admin API shows. */
  describe(): ClusterDescription[] {
    return [...this.#clusters.values()].map(describeCluster);
  }

  /** Closes every upstream connection at once. */
  stop(): void {
    for (const cluster of this.#clusters.values()) cluster.destroy();
    this.#clusters.clear();
    this.dnsCaches.stop();
    this.#contexts.close();
  }
}

function edsName(config: ClusterConfig): string {
  return config.edsServiceName === "" ? config.name : config.edsServiceName;
}
