// What a cluster would add to the objects of files before the mesh sees them: pods of workloads, sidecars, addresses and
// endpoints. What the files say themselves stays as it is.
import type { Issue } from "#base/issue.ts";
import { desiredSlices, hasManagedSlices } from "#cluster/controllers/endpoint-slice/slices.ts";
import { asArray, asRecord, fieldAt } from "#cluster/store/json.ts";
import type { Labels } from "#cluster/store/selector.ts";
import type { InjectionContext } from "#mesh/inject/injection.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { hasProxy, type Pod } from "../mesh/pods.ts";
import { wrongShape } from "./object-shapes.ts";
import { PodsByLabel } from "./pods-by-label.ts";
import { injectSidecar, labelsOfNamespaces } from "./sidecar-injection.ts";
import { StandInAddresses } from "./stand-in-addresses.ts";
import { podOfSet, podSets } from "./workload-pods.ts";

export interface CompletedObjects {
  /** Of every object of the files, as the mesh is to see it. */
  readonly completed: ReadonlyMap<KubernetesObject, KubernetesObject>;
  /** What is not in the files. */
  readonly added: readonly KubernetesObject[];
  readonly pods: readonly Pod[];
  readonly issues: readonly Issue[];
}

export interface CompletionSettings {
  readonly rootNamespace: string;
  readonly injection: InjectionContext;
  /** Every pod that may have a sidecar has one; for files that say nothing of sidecars. */
  readonly assumesSidecars: boolean;
}

const serviceNameLabel = "kubernetes.io/service-name";
const tlsModeLabel = "security.istio.io/tlsMode";

/** All objects have a namespace where their kind has one. */
export function completeObjects(all: readonly KubernetesObject[], settings: CompletionSettings): CompletedObjects {
  const shapes = new Map(firstOfEach(all).map((object) => [object, wrongShape(object)]));
  const objects = [...shapes.keys()].filter((object) => shapes.get(object) === undefined);
  const addresses = new StandInAddresses(writtenAddresses(objects));
  const { completed, added, issues } = completePods(objects, addresses, settings);
  const pods = [...completed.values(), ...added] as Pod[];
  const podsByLabel = new PodsByLabel(pods);
  const sliced = new Set(
    objects.filter(isSlice).map((slice) => keyOf(slice, slice.metadata.labels?.[serviceNameLabel])),
  );
  for (const object of objects) {
    if (isEndpoints(object) && !sliced.has(keyOf(object))) added.push(...slicesOfEndpoints(object));
    if (!isService(object)) continue;
    completed.set(object, withClusterAddress(object, addresses));
    if (sliced.has(keyOf(object)) || !hasManagedSlices(object)) continue;
    added.push(...slicesOfPods(object, podsByLabel));
  }
  return {
    completed,
    added,
    pods,
    issues: [...[...shapes.values()].filter((issue) => issue !== undefined), ...issues],
  };
}

/** Of objects that are written twice the mesh reads the first. */
function firstOfEach(objects: readonly KubernetesObject[]): KubernetesObject[] {
  const first = new Map<string, KubernetesObject>();
  for (const object of objects) {
    const key = `${object.apiVersion}/${object.kind}/${keyOf(object)}`;
    if (!first.has(key)) first.set(key, object);
  }
  return [...first.values()];
}

interface CompletedPods {
  readonly completed: Map<KubernetesObject, KubernetesObject>;
  readonly added: KubernetesObject[];
  readonly issues: readonly Issue[];
}

function completePods(
  objects: readonly KubernetesObject[],
  addresses: StandInAddresses,
  { rootNamespace, injection, assumesSidecars }: CompletionSettings,
): CompletedPods {
  // What the files hold of namespaces says nothing of sidecars then.
  const namespaceLabels = labelsOfNamespaces(assumesSidecars ? [] : objects, rootNamespace);
  const issues: Issue[] = [];
  const inject = (pod: Pod): Pod => {
    const injected = injectSidecar(pod, namespaceLabels(namespaceOf(pod)), injection);
    const { namespace = "", name } = pod.metadata;
    issues.push(...injected.issues.map((issue) => ({ ...issue, object: { kind: "Pod", namespace, name } })));
    return injected.pod;
  };
  const completed = new Map<KubernetesObject, KubernetesObject>();
  for (const object of objects) {
    if (!isPod(object) || asArray(fieldAt(object, "spec", "containers")).length === 0) continue;
    const pod = object as Pod;
    completed.set(object, running(isObserved(pod) && !assumesSidecars ? pod : inject(pod), addresses));
  }
  const added = podSets(objects).flatMap((set) => {
    const template = inject(set.template);
    return set.podNames.map((_, index) => running(podOfSet(set, template, index), addresses));
  });
  return { completed, added, issues };
}

/** A pod that a cluster has written: whether it has a sidecar is to be seen. */
function isObserved(pod: Pod): boolean {
  return pod.status?.podIP !== undefined || hasProxy(pod) || pod.metadata.labels?.[tlsModeLabel] !== undefined;
}

/** Whether anything in the objects tells pods with a sidecar from others, or was written by a cluster. */
export function speakOfSidecars(objects: readonly KubernetesObject[]): boolean {
  return objects.some((object) => {
    const template = asRecord(fieldAt(object, "spec", "template", "metadata"));
    const marks = [object.metadata.labels, object.metadata.annotations, template["labels"], template["annotations"]];
    if (marks.some((map) => sidecarMarks.some((name) => name in asRecord(map)))) return true;
    return isPod(object) && (object.metadata.uid !== undefined || hasProxy(object as Pod));
  });
}

const sidecarMarks: readonly string[] = [
  "istio-injection",
  "istio.io/rev",
  "sidecar.istio.io/inject",
  "inject.istio.io/templates",
  tlsModeLabel,
];

function running(pod: Pod, addresses: StandInAddresses): Pod {
  const first = asRecord(asArray(fieldAt(pod, "status", "podIPs"))[0])["ip"];
  const written = pod.status?.podIP ?? (typeof first === "string" ? first : undefined);
  const podIP = written ?? addresses.pod(namespaceOf(pod), pod.metadata.name);
  return {
    ...pod,
    status: { phase: "Running", podIPs: [{ ip: podIP }], conditions: ready, ...pod.status, podIP } as Pod["status"] &
      object,
  };
}

const ready = [{ type: "Ready", status: "True" }];

function withClusterAddress(service: KubernetesObject, addresses: StandInAddresses): KubernetesObject {
  const spec = asRecord(service["spec"]);
  const isWritten = [spec["clusterIP"], ...asArray(spec["clusterIPs"])].some(
    (address) => address !== undefined && address !== "",
  );
  if (isWritten || spec["type"] === "ExternalName") return service;
  const clusterIP = addresses.service(namespaceOf(service), service.metadata.name);
  return { ...service, spec: { ...spec, clusterIP, clusterIPs: [clusterIP] } };
}

function slicesOfPods(service: KubernetesObject, pods: PodsByLabel): KubernetesObject[] {
  const selector = asRecord(fieldAt(service, "spec", "selector")) as Labels;
  const selected = pods.selectedBy(namespaceOf(service), { matchLabels: selector });
  return desiredSlices(service, selected).map((slice, index) => sliceObject(service, index, { ...slice }));
}

/** Endpoints that somebody wrote by hand; a cluster mirrors them into slices. */
function slicesOfEndpoints(endpoints: KubernetesObject): KubernetesObject[] {
  return asArray(endpoints["subsets"]).map((subset, index) => {
    const { addresses, notReadyAddresses, ports } = asRecord(subset);
    const endpointsOf = (list: unknown, isReady: boolean): object[] =>
      asArray(list).map((item) => {
        const { ip, hostname, nodeName, targetRef } = asRecord(item);
        return { addresses: [ip], conditions: { ready: isReady }, hostname, nodeName, targetRef };
      });
    return sliceObject(endpoints, index, {
      ports: asArray(ports),
      endpoints: [...endpointsOf(addresses, true), ...endpointsOf(notReadyAddresses, false)],
    });
  });
}

function sliceObject(owner: KubernetesObject, index: number, content: object): KubernetesObject {
  const { name, namespace = "default" } = owner.metadata;
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${name}-${index}`, namespace, labels: { [serviceNameLabel]: name } },
    addressType: "IPv4",
    ...content,
  };
}

function* writtenAddresses(objects: readonly KubernetesObject[]): Iterable<string> {
  for (const object of objects) {
    if (!isPod(object) && !isService(object)) continue;
    const address = fieldAt(object, "status", "podIP") ?? fieldAt(object, "spec", "clusterIP");
    if (typeof address === "string") yield address;
  }
}

const isPod = (object: KubernetesObject): boolean => object.kind === "Pod" && object.apiVersion === "v1";
const isService = (object: KubernetesObject): boolean => object.kind === "Service" && object.apiVersion === "v1";
const isEndpoints = (object: KubernetesObject): boolean => object.kind === "Endpoints" && object.apiVersion === "v1";
const isSlice = (object: KubernetesObject): boolean => object.kind === "EndpointSlice";

function namespaceOf(object: KubernetesObject): string {
  return object.metadata.namespace ?? "default";
}

function keyOf(object: KubernetesObject, name: string = object.metadata.name): string {
  return `${namespaceOf(object)}/${name}`;
}
