// The embedded cluster in one process: store, API server, controllers, node, service addresses, DNS. Runs inside the
// sandbox, whose network and mounts it takes for its own.

import { rmSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "#base/error.ts";
import { Lifecycle, type Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { type Clock, systemClock } from "#base/time/clock.ts";
import { openForwarder } from "#wire/dns/forwarder.ts";
import type { NodeServices, RunningApiServer } from "./apiserver/options.ts";
import { startApiServer } from "./apiserver/start.ts";
import { startControllers } from "./controllers/start.ts";
import type { ClusterZone } from "./dns/cluster-records.ts";
import { startDnsServer } from "./dns/dns-server.ts";
import { type EgressOptions, startEgressRelay } from "./egress/egress-relay.ts";
import { type ImageCatalog, Images } from "./images.ts";
import {
  apiServerPort,
  clusterDomain,
  egressRelayPort,
  hostAlias,
  hostAliasName,
  nodeAddress,
  nodeName,
} from "./network/addresses.ts";
import { startNodeNetwork } from "./network/node-network.ts";
import { ServiceDirectory } from "./network/service-directory.ts";
import { type Endpoint, servicePorts } from "./network/service-endpoints.ts";
import { startServiceProxy } from "./network/service-proxy.ts";
import { type Kubelet, startKubelet } from "./runtime/kubelet.ts";
import { prepareNodeFiles } from "./runtime/node-files.ts";
import type { HostResolver } from "./sandbox/channel.ts";
import type { ForwardTarget } from "./sandbox/messages.ts";
import { apiError } from "./store/errors.ts";
import { fieldAt } from "./store/json.ts";
import { openStore } from "./store/open-store.ts";
import { endpointSlices, events, pods } from "./store/resources.ts";
import type { ObjectStore } from "./store/store.ts";

export interface ClusterOptions {
  /** Database (`cluster.db`), API socket (`api.sock`), container logs (`run/logs`), compile caches. */
  readonly stateDirectory: string;
  /** Keep no database. */
  readonly inMemory?: boolean;
  /** What `readImageFiles` found. */
  readonly images: ImageCatalog;
  /** How containers of Outrigger's own images are started. */
  readonly outriggerCommand: readonly string[];
  readonly packageRoot: string;
  /** The folders that were exposed to the sandbox besides the package. */
  readonly directories?: readonly string[];
  /** Who is asked for names outside the cluster; absent: they do not exist. */
  readonly resolver?: HostResolver;
  /** The way to addresses outside of the cluster; absent: connections to them fail at once. */
  readonly egress?: EgressOptions;
  readonly log: Logger;
  readonly clock?: Clock;
}

export interface Cluster extends Running {
  readonly store: ObjectStore;
  readonly api: RunningApiServer;
  /** Unix socket of the API server, for the administrator. */
  readonly socketPath: string;
  readonly directory: ServiceDirectory;
  readonly kubelet: Kubelet;
  /** Where a connection to a Service's port should go now; another endpoint each time. */
  pick(target: ForwardTarget): Endpoint | undefined;
  /** Ends all pods in order, at most so long (default 30 s), then everything else. */
  stop(deadlineMs?: number): Promise<void>;
}

const podDeadlineMs = 30_000;
/** For each part whose end is a matter of closing things; pods get it on top of their own. */
const partDeadlineMs = 5_000;

export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { stateDirectory, log, clock = systemClock } = options;
  const lifecycle = new Lifecycle();
  try {
    const runFolder = join(stateDirectory, "run");
    rmSync(runFolder, { recursive: true, force: true });
    const store = openStore(
      options.inMemory === true ? { memory: true, clock } : { path: join(stateDirectory, "cluster.db"), clock },
    );
    lifecycle.onStop(() => store.close());
    forgetEarlierRun(store);
    const directories = [options.packageRoot, ...(options.directories ?? [])];
    const [files] = await Promise.all([prepareNodeFiles({ stateDirectory, directories }), startNodeNetwork()]);

    let kubelet: Kubelet | undefined;
    const socketPath = join(stateDirectory, "api.sock");
    const api = lifecycle.add(
      await startApiServer({
        store,
        socketPath,
        https: { host: nodeAddress, port: apiServerPort },
        node: lateNode(() => kubelet),
        log,
        clock,
      }),
    );
    const directory = new ServiceDirectory(store);
    lifecycle.onStop(() => directory.close());
    const { egress } = options;
    const zone: ClusterZone = {
      directory,
      domain: clusterDomain,
      ...(egress !== undefined && { hosts: new Map([[hostAliasName, hostAlias]]) }),
    };
    if (egress !== undefined) {
      const place = { host: nodeAddress, port: egressRelayPort };
      lifecycle.add(await startEgressRelay({ ...egress, ...place, podAt: (ip) => podAt(store, ip), log, clock }));
    }
    const [proxy, dns] = await Promise.all([
      startServiceProxy({ directory, log, clock, ...(egress !== undefined && { egressPort: egressRelayPort }) }),
      startDnsServer({
        host: nodeAddress,
        port: 53,
        zone,
        log,
        ...(options.resolver === undefined ? {} : { forwarder: openForwarder(options.resolver) }),
      }),
    ]);
    lifecycle.add(proxy);
    lifecycle.add(dns);
    const builtin = { outriggerCommand: options.outriggerCommand, workingDir: options.packageRoot };
    const images = new Images(options.images, builtin);
    const logFolder = join(runFolder, "logs");
    const node = startKubelet({ store, tokens: api.tokens, images, files, logFolder, log, clock });
    kubelet = node;
    const controllers = startControllers({
      store,
      admission: api.admission,
      caPem: api.caPem,
      log,
      clock,
      nodeName,
      apiServer: { host: nodeAddress, port: api.httpsPort },
      dns: { host: nodeAddress, port: dns.port },
    });
    return {
      store,
      api,
      socketPath,
      directory,
      kubelet: node,
      pick: (target) => pickEndpoint(directory, target),
      stop: async (deadlineMs = podDeadlineMs) => {
        // First those who would start pods again, then the pods, while names and services still work for them.
        await within("the controllers", partDeadlineMs, controllers.stop(), log);
        await within("the pods", deadlineMs + partDeadlineMs, node.stop(deadlineMs), log);
        await within("the API server, DNS or network", partDeadlineMs, lifecycle.stop(), log);
      },
    };
  } catch (error) {
    await lifecycle.stop().catch(() => {
      // The first failure is the one to tell.
    });
    throw error;
  }
}

/** Waits for the end of a part, but not for ever: the sandbox ends what is left. */
async function within(what: string, deadlineMs: number, ending: Promise<void>, log: Logger): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      log.warn(`${what}: no end within ${deadlineMs / 1000} s`);
      resolve();
    }, deadlineMs);
  });
  await Promise.race([ending.catch((error: unknown) => log.warn(`${what}: ${describeError(error)}`)), late]);
  clearTimeout(timer);
}

/** The node has been off: no pod survived that, no endpoint is what it was, and what happened then misleads now. */
function forgetEarlierRun(store: ObjectStore): void {
  for (const resource of [endpointSlices, pods, events]) {
    for (const { metadata } of store.list(resource).items) {
      const { namespace = "", name } = metadata;
      if ((metadata.finalizers ?? []).length > 0) {
        store.patch(resource, namespace, name, { metadata: { finalizers: null } });
      }
      if (store.get(resource, namespace, name) !== undefined) {
        store.delete(resource, namespace, name, { gracePeriodSeconds: 0 });
      }
    }
  }
}

/** The API server starts before the node, which needs its tokens. */
function lateNode(kubelet: () => Kubelet | undefined): NodeServices {
  const present = (): Kubelet => {
    const node = kubelet();
    if (node === undefined) throw apiError("UNAVAILABLE", "the node is starting");
    return node;
  };
  return {
    logs: async (request) => present().logs(request),
    dial: async (pod, port) => present().dial(pod, port),
    exec: async (request) => present().exec(request),
  };
}

/** The pod with the address, as `default/web-1`. */
function podAt(store: ObjectStore, address: string): string | undefined {
  const pod = store.list(pods).items.find((item) => fieldAt(item, "status", "podIP") === address);
  return pod === undefined ? undefined : `${pod.metadata.namespace ?? ""}/${pod.metadata.name}`;
}

function pickEndpoint(directory: ServiceDirectory, target: ForwardTarget): Endpoint | undefined {
  const view = directory.get(target.namespace, target.service);
  if (view === undefined) return undefined;
  const port = servicePorts(view.service, view.slices).find(
    (candidate) => candidate.port === target.port && candidate.protocol === "tcp",
  );
  return port?.endpoints[Math.floor(Math.random() * port.endpoints.length)];
}
