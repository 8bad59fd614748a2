// Writes Kubernetes Events about pods, equal ones counted in one object, so that `status` can say what happens.

import { createHash } from "node:crypto";
import type { Clock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { nodeName } from "../network/addresses.ts";
import { events } from "../store/resources.ts";
import type { ObjectStore } from "../store/store.ts";

export type EventType = "Normal" | "Warning";

export class EventRecorder {
  readonly #store: ObjectStore;
  readonly #clock: Clock;

  constructor(store: ObjectStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  record(pod: KubernetesObject, type: EventType, reason: string, message: string): void {
    const { name, namespace = "", uid = "" } = pod.metadata;
    const hash = createHash("sha256").update(`${uid}\0${reason}\0${message}`).digest("hex").slice(0, 16);
    const eventName = `${name}.${hash}`.slice(-253);
    const now = `${new Date(this.#clock.now()).toISOString().slice(0, 19)}Z`;
    try {
      const known = this.#store.get(events, namespace, eventName);
      if (known !== undefined) {
        const count = Number(known["count"] ?? 1) + 1;
        this.#store.patch(events, namespace, eventName, { count, lastTimestamp: now });
        return;
      }
      this.#store.create(events, {
        apiVersion: "v1",
        kind: "Event",
        metadata: { name: eventName, namespace },
        involvedObject: { apiVersion: "v1", kind: "Pod", name, namespace, uid },
        type,
        reason,
        message: message.slice(0, 1_024),
        count: 1,
        firstTimestamp: now,
        lastTimestamp: now,
        source: { component: "kubelet", host: nodeName },
        reportingComponent: "kubelet",
        reportingInstance: nodeName,
      });
    } catch {
      // Events tell of things; when they cannot be written (the store is closing), the things still happen.
    }
  }
}
