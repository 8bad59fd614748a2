// Tells people what happened to an object: Events, counted when they repeat, gone after an hour.

import { createHash } from "node:crypto";
import type { Running } from "#base/lifecycle.ts";
import type { Clock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { events } from "../store/resources.ts";
import type { ObjectStore } from "../store/store.ts";
import { timestamp } from "./conditions.ts";

interface RecordedEvent {
  readonly type: "Normal" | "Warning";
  /** One word in CamelCase. */
  readonly reason: string;
  readonly message: string;
}

export type RecordEvent = (object: KubernetesObject, event: RecordedEvent) => void;

const lifetimeMs = 3_600_000;
const sweepMs = 60_000;
const maxMessageLength = 1024;

/** Makes a function that records events in the name of a component, as `replicaset-controller`. */
export function eventRecorder(store: ObjectStore, clock: Clock, component: string): RecordEvent {
  return (object, { type, reason, message: given }) => {
    const message = given.slice(0, maxMessageLength);
    const { name, namespace: ownNamespace, uid, resourceVersion } = object.metadata;
    const namespace = ownNamespace ?? "default";
    const digest = createHash("sha256")
      .update(`${uid} ${component} ${type} ${reason} ${message}`)
      .digest("hex")
      .slice(0, 16);
    const eventName = `${name.slice(0, 200)}.${digest}`;
    const now = timestamp(clock.now());
    const before = store.get(events, namespace, eventName);
    if (before !== undefined) {
      store.update(events, { ...before, count: Number(before["count"] ?? 1) + 1, lastTimestamp: now });
      return;
    }
    store.create(events, {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: eventName, namespace },
      involvedObject: {
        apiVersion: object.apiVersion,
        kind: object.kind,
        name,
        namespace: ownNamespace,
        uid,
        resourceVersion,
      },
      type,
      reason,
      message,
      source: { component },
      reportingComponent: component,
      reportingInstance: "",
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
    });
  };
}

/** Removes events that are older than an hour. */
export function startEventSweeper(store: ObjectStore, clock: Clock): Running {
  let cancel = (): void => {};
  const sweep = (): void => {
    const oldest = clock.now() - lifetimeMs;
    for (const event of store.list(events).items) {
      const last = Date.parse(String(event["lastTimestamp"] ?? event.metadata.creationTimestamp));
      if (!(last > oldest)) store.delete(events, event.metadata.namespace ?? "", event.metadata.name);
    }
    cancel = clock.after(sweepMs, sweep);
  };
  cancel = clock.after(sweepMs, sweep);
  return { stop: () => Promise.resolve(cancel()) };
}
