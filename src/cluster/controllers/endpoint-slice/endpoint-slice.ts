// Keeps the EndpointSlices of Services with a selector equal to the pods that it selects.

import type { Running } from "#base/lifecycle.ts";
import type { KubernetesObject, ObjectMeta } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt, jsonEqual } from "../../store/json.ts";
import { endpointSlices, pods, services } from "../../store/resources.ts";
import { type Labels, labelsOf, matchesLabels } from "../../store/selector.ts";
import type { ObjectStore } from "../../store/store.ts";
import { controllerReference, keyOf, ownerKeys, runController, splitKey } from "../controller.ts";
import type { ControllerContext } from "../options.ts";
import { desiredSlices, hasManagedSlices, managedBy, type SliceContent } from "./slices.ts";

const serviceLabel = "kubernetes.io/service-name";
const managedByLabel = "endpointslice.kubernetes.io/managed-by";
const headlessLabel = "service.kubernetes.io/headless";

export function startEndpointSliceController(context: ControllerContext): Running {
  const { store } = context;
  const servicesByPod = new Map<string, ReadonlySet<string>>();
  return runController(context, {
    name: "endpointslice-controller",
    triggers: [
      { resource: services, keys: (service) => [keyOf(service)] },
      { resource: endpointSlices, keys: ownerKeys("Service") },
      { resource: pods, keys: (pod) => concernedServices(store, pod, servicesByPod) },
    ],
    reconcile: (key) => reconcile(store, key),
  });
}

/** The Services that select the pod now or did so when it was last seen. */
function concernedServices(
  store: ObjectStore,
  pod: KubernetesObject,
  servicesByPod: Map<string, ReadonlySet<string>>,
): readonly string[] {
  const key = keyOf(pod);
  const { namespace = "" } = pod.metadata;
  const selecting = store
    .list(services, { namespace })
    .items.filter((service) => hasManagedSlices(service) && matchesLabels(selectorOf(service), labelsOf(pod)))
    .map(keyOf);
  const before = servicesByPod.get(key) ?? new Set<string>();
  const isGone = store.get(pods, namespace, pod.metadata.name) === undefined;
  if (isGone) servicesByPod.delete(key);
  else servicesByPod.set(key, new Set(selecting));
  return [...new Set([...before, ...selecting])];
}

function reconcile(store: ObjectStore, key: string): void {
  const [namespace, name] = splitKey(key);
  const labelSelector = `${serviceLabel}=${name},${managedByLabel}=${managedBy}`;
  const existing = [...store.list(endpointSlices, { namespace, labelSelector }).items];
  const service = store.get(services, namespace, name);
  const isManaged = service !== undefined && hasManagedSlices(service);
  const left = isManaged ? writeSlices(store, service, existing) : existing;
  for (const slice of left) store.delete(endpointSlices, namespace, slice.metadata.name);
}

/** Writes what the Service should have over what there is; returns the slices that are of no use any more. */
function writeSlices(
  store: ObjectStore,
  service: KubernetesObject,
  existing: readonly KubernetesObject[],
): readonly KubernetesObject[] {
  const { namespace = "" } = service.metadata;
  const selected = store
    .list(pods, { namespace })
    .items.filter((pod) => matchesLabels(selectorOf(service), labelsOf(pod)));
  const left = [...existing];
  for (const content of desiredSlices(service, selected)) {
    // A slice with the same ports, or one that has nothing in it: clients then see one change, not two.
    const same = left.findIndex((slice) => jsonEqual(asArray(slice["ports"]), content.ports));
    const index =
      same === -1
        ? left.findIndex((slice) => asArray(slice["endpoints"]).length === 0 || content.endpoints.length === 0)
        : same;
    const [slice] = index === -1 ? [] : left.splice(index, 1);
    if (slice === undefined) store.create(endpointSlices, newSlice(service, content));
    else
      store.update(endpointSlices, {
        ...slice,
        ...sliceBody(content),
        metadata: { ...slice.metadata, labels: sliceLabels(service) },
      });
  }
  return left;
}

function newSlice(service: KubernetesObject, content: SliceContent): KubernetesObject {
  const { name, namespace = "" } = service.metadata;
  const metadata: ObjectMeta = {
    name: "",
    generateName: `${name}-`,
    namespace,
    labels: sliceLabels(service),
    ownerReferences: [controllerReference(service)],
  };
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata,
    addressType: "IPv4",
    ...sliceBody(content),
  };
}

function sliceBody(content: SliceContent): { readonly ports: unknown; readonly endpoints: unknown } {
  return { ports: content.ports, endpoints: content.endpoints };
}

function sliceLabels(service: KubernetesObject): Labels {
  const isHeadless = fieldAt(service, "spec", "clusterIP") === "None";
  return {
    ...labelsOf(service),
    [serviceLabel]: service.metadata.name,
    [managedByLabel]: managedBy,
    ...(isHeadless ? { [headlessLabel]: "" } : {}),
  };
}

function selectorOf(service: KubernetesObject): Labels {
  const entries = Object.entries(asRecord(fieldAt(service, "spec", "selector")));
  return Object.fromEntries(entries.map(([key, value]) => [key, String(value)]));
}
