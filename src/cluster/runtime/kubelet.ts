// The node: registers itself, takes every pod that is bound to it, and hands each to a worker of its own. Also what the API server asks the node for: logs and connections into pods.

import { join } from "node:path";
import type { Duplex, Readable } from "node:stream";
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { type Clock, systemClock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { LogRequest, NodeServices } from "../apiserver/options.ts";
import type { Images } from "../images.ts";
import { AddressPool } from "../network/address-pool.ts";
import { nodeAddress, nodeName, podNetwork } from "../network/addresses.ts";
import { apiError } from "../store/errors.ts";
import { fieldAt } from "../store/json.ts";
import { configMaps, nodes, pods, secrets, trustBundles } from "../store/resources.ts";
import type { ObjectStore, WatchEvent } from "../store/store.ts";
import type { TokenAuthority } from "../tokens/token-authority.ts";
import { dialInNamespace } from "./dial.ts";
import { EventRecorder } from "./event-recorder.ts";
import { logStream } from "./log-stream.ts";
import type { NodeFiles } from "./node-files.ts";
import { PodWorker } from "./pod-worker.ts";

export interface KubeletOptions {
  readonly store: ObjectStore;
  readonly tokens: TokenAuthority;
  readonly images: Images;
  readonly files: NodeFiles;
  /** Where container logs are written. */
  readonly logFolder: string;
  readonly log: Logger;
  readonly clock?: Clock;
}

export interface Kubelet extends Running, NodeServices {
  logs(request: LogRequest): Promise<Readable>;
  dial(pod: KubernetesObject, port: number): Promise<Duplex>;
  /** Ends all pods; at the deadline by force. Their objects are removed. */
  stop(deadlineMs?: number): Promise<void>;
}

/** Pods set up at the same time: each takes a few processes for some milliseconds. */
const parallelSetups = 6;
const stopDeadlineMs = 30_000;
const nodeVersion = "v1.31.0";

export function startKubelet(options: KubeletOptions): Kubelet {
  const { store, log, clock = systemClock } = options;
  const workers = new Map<string, PodWorker>();
  const addresses = new AddressPool();
  const events = new EventRecorder(store, clock);
  const gate = boundedParallel(parallelSetups);
  let nextId = 0;
  let isStopping = false;

  const begin = (pod: KubernetesObject): void => {
    const { name, namespace = "", uid = "" } = pod.metadata;
    const worker = new PodWorker({
      ...options,
      pod,
      id: (nextId++).toString(36),
      addresses,
      events,
      clock,
      gate,
      logFolder: join(options.logFolder, `${namespace}_${name}_${uid}`),
    });
    workers.set(uid, worker);
    void worker.gone.finally(() => workers.delete(uid));
    if (pod.metadata.deletionTimestamp !== undefined) worker.update(pod);
  };
  const onPod = (event: WatchEvent): void => {
    if (event.type === "BOOKMARK") return;
    const pod = event.object;
    const worker = workers.get(pod.metadata.uid ?? "");
    if (event.type === "DELETED") return worker?.remove();
    if (worker !== undefined) return worker.update(pod);
    if (isStopping || !isForThisNode(pod)) return;
    const phase = fieldAt(pod, "status", "phase");
    if (phase === "Succeeded" || phase === "Failed") return;
    begin(pod);
  };
  const onConfig = (kind: "configMap" | "secret", event: WatchEvent): void => {
    if (event.type === "BOOKMARK") return;
    const { name, namespace } = event.object.metadata;
    for (const worker of workers.values()) {
      if (worker.namespace === namespace) worker.onConfigChange(kind, name);
    }
  };
  const onTrustBundle = (event: WatchEvent): void => {
    if (event.type !== "BOOKMARK") for (const worker of workers.values()) worker.onTrustBundleChange();
  };
  const guarded =
    (callback: (event: WatchEvent) => void) =>
    (event: WatchEvent): void => {
      try {
        callback(event);
      } catch (error) {
        log.error(`${event.object.kind} ${event.object.metadata.name}: ${describeError(error)}`);
      }
    };

  registerNode(store, clock);
  const fromVersion = store.resourceVersion;
  const unwatch = [
    store.watch(pods, {}, guarded(onPod)),
    store.watch(
      configMaps,
      { fromVersion },
      guarded((event) => onConfig("configMap", event)),
    ),
    store.watch(
      secrets,
      { fromVersion },
      guarded((event) => onConfig("secret", event)),
    ),
    store.watch(trustBundles, { fromVersion }, guarded(onTrustBundle)),
  ];

  const workerOf = (pod: KubernetesObject): PodWorker => {
    const worker = workers.get(pod.metadata.uid ?? "");
    if (worker !== undefined) return worker;
    throw apiError("NOT_FOUND", `pod ${pod.metadata.name} does not run on this node`);
  };

  return {
    logs: async (request) => {
      const runner = workerOf(request.pod).findRunner(request.container);
      if (runner === undefined) {
        throw apiError("NOT_FOUND", `container ${request.container} is not valid for pod ${request.pod.metadata.name}`);
      }
      const found = request.previous ? runner.previousLog : (runner.log ?? runner.previousLog);
      if (found !== undefined) return logStream(found, request, clock.now());
      const { current } = runner.state;
      const why = current.kind === "waiting" ? `${current.reason} ${current.message}`.trim() : current.kind;
      const which = request.previous ? "previous terminated container" : "container";
      throw apiError(
        "BAD_REQUEST",
        `${which} "${request.container}" in pod "${request.pod.metadata.name}" has no log: ${why}`,
      );
    },
    dial: async (pod, port) => {
      const { network } = workerOf(pod);
      if (network === undefined) throw apiError("UNAVAILABLE", `pod ${pod.metadata.name} has no network yet`);
      return dialInNamespace(network.namespaceFile, port);
    },
    exec: async ({ pod, container, command }) => {
      const runner = workerOf(pod).findRunner(container === "" ? firstContainer(pod) : container);
      if (runner === undefined) {
        throw apiError("NOT_FOUND", `container ${container} is not valid for pod ${pod.metadata.name}`);
      }
      if (runner.process === undefined) {
        throw apiError("UNAVAILABLE", `container ${runner.container.name} of pod ${pod.metadata.name} does not run`);
      }
      return runner.process.attach(command);
    },
    stop: async (deadlineMs = stopDeadlineMs) => {
      isStopping = true;
      const end = clock.now() + deadlineMs;
      const all = [...workers.values()];
      for (const worker of all) worker.terminate(end);
      await Promise.all(all.map((worker) => worker.gone));
      for (const stop of unwatch) stop();
    },
  };
}

function firstContainer(pod: KubernetesObject): string {
  const containers = fieldAt(pod, "spec", "containers");
  const first: unknown = Array.isArray(containers) ? containers[0] : undefined;
  return String(fieldAt(first, "name") ?? "");
}

function isForThisNode(pod: KubernetesObject): boolean {
  return fieldAt(pod, "spec", "nodeName") === nodeName;
}

function registerNode(store: ObjectStore, clock: Clock): void {
  const now = `${new Date(clock.now()).toISOString().slice(0, 19)}Z`;
  const node: KubernetesObject = {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: nodeName,
      labels: {
        "kubernetes.io/hostname": nodeName,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": process.arch === "x64" ? "amd64" : process.arch,
      },
    },
    spec: { podCIDR: podNetwork, podCIDRs: [podNetwork] },
  };
  const stored = store.get(nodes, "", nodeName) ?? store.create(nodes, node);
  const condition = {
    type: "Ready",
    status: "True",
    reason: "KubeletReady",
    lastHeartbeatTime: now,
    lastTransitionTime: now,
  };
  store.updateStatus(nodes, {
    ...stored,
    status: {
      addresses: [
        { type: "InternalIP", address: nodeAddress },
        { type: "Hostname", address: nodeName },
      ],
      conditions: [condition],
      nodeInfo: {
        kubeletVersion: nodeVersion,
        operatingSystem: "linux",
        architecture: process.arch === "x64" ? "amd64" : process.arch,
        containerRuntimeVersion: "outrigger://1",
      },
    },
  });
}

/** Runs at most so many tasks at a time, the others in the order they came. */
function boundedParallel(limit: number): <T>(task: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (task) => {
    if (running >= limit) await new Promise<void>((resolve) => waiting.push(resolve));
    running++;
    try {
      return await task();
    } finally {
      running--;
      waiting.shift()?.();
    }
  };
}
