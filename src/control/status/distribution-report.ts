// What one replica sees at its proxies, as a ConfigMap for the replica that writes statuses: JSON, compressed, since an
// object of the API holds one MiB. Istio's replicas once told each other the same way. A report carries the generations
// that it is about: who has read a newer version of an object counts no proxy of an older one as up to date.
import { gunzipSync, gzipSync } from "node:zlib";
import type { PatchEffect } from "#mesh/compile/patches/effects.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { objectKey } from "#mesh/objects/mesh-object.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { reportLabel } from "../sources/kubernetes/kubernetes-source.ts";
import type { Observation, Observations } from "./observation.ts";
import type { ProxyRejection } from "./progress.ts";

export interface DistributionReport {
  readonly replica: string;
  /** Whether the replica runs in a pod of its name, whose end is its end. */
  readonly isPod: boolean;
  readonly objects: ReadonlyMap<string, ReportedObservation>;
}

interface ReportedObservation extends Observation {
  readonly generation: number;
}

interface ReportedObject {
  readonly object: string;
  readonly generation: number;
  readonly proxies: number;
  readonly current: number;
  readonly rejections?: readonly ProxyRejection[];
  readonly moduleProxies?: number;
  readonly effects?: readonly PatchEffect[];
}

export interface ReportPlace {
  readonly replica: string;
  readonly isPod: boolean;
  readonly namespace: string;
  readonly revision: string;
}

const maxMessageLength = 512;

/** The content of a report; equal content says the same. */
export function reportContent(snapshot: MeshSnapshot, seen: Observations): string {
  const objects = snapshot.resourceStates().flatMap(({ origin, generation }): ReportedObject[] => {
    const observation = seen.get(objectKey(origin));
    return observation === undefined ? [] : [reported(objectKey(origin), generation, observation)];
  });
  return JSON.stringify(objects);
}

function reported(
  object: string,
  generation: number,
  { progress, moduleProxies, effects }: Observation,
): ReportedObject {
  const { proxies, current, rejections } = progress;
  return {
    object,
    generation,
    proxies,
    current,
    ...(rejections.length > 0 && {
      rejections: rejections.map((one) => ({ ...one, message: one.message.slice(0, maxMessageLength) })),
    }),
    ...(moduleProxies > 0 && { moduleProxies }),
    ...(effects !== undefined && { effects }),
  };
}

/** `renewals` differs from that of the report before, so that whoever watches sees the replica live. */
export function reportObject(place: ReportPlace, content: string, renewals: number): KubernetesObject {
  const { replica, isPod, namespace, revision } = place;
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: `${replica}-distribution`, namespace, labels: { [reportLabel]: revision } },
    data: { replica, pod: String(isPod), renewals: String(renewals) },
    binaryData: { objects: gzipSync(content).toString("base64") },
  };
}

/** Undefined for what no replica wrote. */
export function readReport(object: KubernetesObject): DistributionReport | undefined {
  const { replica, pod } = stringsOf(object["data"]);
  const { objects } = stringsOf(object["binaryData"]);
  if (replica === undefined || objects === undefined) return undefined;
  try {
    const content = gunzipSync(Buffer.from(objects, "base64"), { maxOutputLength: maxContentBytes }).toString();
    const list = JSON.parse(content) as readonly ReportedObject[];
    return { replica, isPod: pod === "true", objects: new Map(list.map((one) => [one.object, observationOf(one)])) };
  } catch {
    // Not a report of ours.
    return undefined;
  }
}

const maxContentBytes = 64 * 1024 * 1024;

function observationOf({
  generation,
  proxies,
  current,
  rejections,
  moduleProxies,
  effects,
}: ReportedObject): ReportedObservation {
  return {
    generation,
    progress: { proxies, current, rejections: rejections ?? [] },
    moduleProxies: moduleProxies ?? 0,
    ...(effects !== undefined && { effects }),
  };
}

function stringsOf(value: unknown): Readonly<Record<string, string | undefined>> {
  return typeof value === "object" && value !== null ? (value as Record<string, string | undefined>) : {};
}
