// A control plane in a process of its own, with a simulated mesh that the benchmark changes.
import { memoryUsage } from "node:process";
import { LogRegistry } from "../../src/base/log/log.ts";
import { createSelfSignedMaterial } from "../../src/control/ca/material.ts";
import { type ConfigSource, type SourceChange, SourceObjects } from "../../src/control/sources/config-source.ts";
import { startControlPlane } from "../../src/control/start.ts";
import type { KubernetesObject } from "../../src/mesh/objects/kubernetes-object.ts";
import type { SourceObject } from "../../src/mesh/snapshot/read-object.ts";
import {
  endpointSlice,
  lonelyVirtualService,
  type MeshSize,
  meshObjects,
  podObject,
  podOf,
  type SimulatedPod,
  serviceObjects,
  virtualService,
} from "./mesh.ts";
import { type ControlPlaneAnswer, type ControlPlaneCommand, monotonicMs } from "./messages.ts";

class SimulatedMesh implements ConfigSource {
  readonly name = "simulation";
  readonly size: MeshSize;
  readonly #objects = new SourceObjects();
  readonly #podsByService = new Map<number, SimulatedPod[]>();
  #generation = 0;
  #onChange: (changes: readonly SourceChange[]) => void = () => {};

  constructor(size: MeshSize) {
    this.size = size;
    for (const object of meshObjects(size)) this.#objects.put({ object });
  }

  async start(onChange: (changes: readonly SourceChange[]) => void): Promise<void> {
    this.#onChange = onChange;
  }

  objects(): Iterable<SourceObject> {
    return this.#objects.values();
  }

  issues(): [] {
    return [];
  }

  async stop(): Promise<void> {
    this.#onChange = () => {};
  }

  put(...objects: KubernetesObject[]): void {
    for (const object of objects) this.#onChange([this.#objects.put({ object })].flatMap((change) => change ?? []));
  }

  /** The events come one by one, as a watch brings them: the new pod, the slice, the end of the old pod. */
  replaceEndpoint(service: number): void {
    const pods =
      this.#podsByService.get(service) ??
      Array.from({ length: this.size.endpoints }, (_, endpoint) => podOf(this.size, service, endpoint));
    const place = pods.length - 1;
    const [old] = pods.splice(place, 1, podOf(this.size, service, place, ++this.#generation));
    const next = pods[place];
    this.#podsByService.set(service, pods);
    if (old === undefined || next === undefined) return;
    this.put(podObject(next), endpointSlice(next.namespace, `svc-${service}`, pods));
    const change = this.#objects.delete(podObject(old));
    if (change !== undefined) this.#onChange([change]);
  }
}

let mesh: SimulatedMesh | undefined;
let port = 0;

async function perform(command: ControlPlaneCommand): Promise<number> {
  switch (command.do) {
    case "start": {
      mesh = new SimulatedMesh(command.size);
      const control = await startControlPlane({
        sources: [mesh],
        ports: { plaintext: command.port },
        host: "127.0.0.1",
        authorityMaterial: createSelfSignedMaterial("cluster.local", Date.now()),
        log: new LogRegistry({ level: "warn", write: (line) => console.error(line) }),
      });
      port = control.addresses.plaintext?.port ?? 0;
      return monotonicMs();
    }
    case "usage":
      return monotonicMs();
    case "memory":
      globalThis.gc?.();
      return monotonicMs();
  }
  if (mesh === undefined) throw new Error("not started");
  const at = monotonicMs();
  switch (command.do) {
    case "replace-endpoint":
      mesh.replaceEndpoint(command.service);
      break;
    case "edit-route":
      mesh.put(virtualService(mesh.size, command.service, command.timeout));
      break;
    case "edit-lonely-route":
      mesh.put(lonelyVirtualService(command.timeout));
      break;
    case "add-service":
      mesh.put(...serviceObjects(mesh.size, command.service));
  }
  return at;
}

process.on("message", (command: ControlPlaneCommand) => {
  perform(command).then(
    (atMs) => {
      const { user, system } = process.cpuUsage();
      const { rss, heapUsed } = memoryUsage();
      const answer: ControlPlaneAnswer = {
        port,
        atMs,
        cpuSeconds: (user + system) / 1e6,
        residentBytes: rss,
        heapBytes: heapUsed,
      };
      process.send?.(answer);
    },
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit(0));
