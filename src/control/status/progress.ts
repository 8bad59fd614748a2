// How far the proxies of this control plane are with each object of the user: how many of them were given something that
// was made from it, how many of those accepted what it is now, and who rejected it with which words. The provenance in
// the resources says which object a resource was made from.
import { layersOf } from "#base/layered-map.ts";
import { objectKey } from "#mesh/objects/mesh-object.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import type { EncodedResource, ResourcesByName } from "../push/encoded-resource.ts";
import { type ProxyConnection, shortTypeNames } from "../xds/connection.ts";
import { type TypeState, unsettledNames } from "../xds/type-state.ts";

export interface ProxyRejection {
  /** `<pod>.<namespace>` */
  readonly proxy: string;
  /** `cds`, `lds`, ... */
  readonly type: string;
  readonly resource: string;
  /** The proxy's words. */
  readonly message: string;
}

export interface Progress {
  /** Proxies that were given something made from the object. */
  readonly proxies: number;
  /** Those of them that accepted it as it is now. */
  readonly current: number;
  /** A few of those that rejected it; they keep what they had. */
  readonly rejections: readonly ProxyRejection[];
}

export const noProgress: Progress = { proxies: 0, current: 0, rejections: [] };

export const maxRejections = 10;
const shownTypes = [typeUrl.cluster, typeUrl.endpoint, typeUrl.listener, typeUrl.route, typeUrl.extensionConfig];

interface Tally {
  proxies: number;
  current: number;
  rejections: ProxyRejection[];
}

/** By object key. */
export function progressOf(
  connections: Iterable<ProxyConnection>,
  snapshot: MeshSnapshot,
): ReadonlyMap<string, Progress> {
  const tallies = new Map<string, Tally>();
  for (const connection of connections) {
    const concerned = new Set<string>();
    const behind = new Set<string>();
    const sidecar = sidecarKey(connection, snapshot);
    if (sidecar !== undefined) concerned.add(sidecar);
    for (const url of shownTypes) {
      const resources = connection.session.resources.byType.get(url);
      const state = connection.types.get(url);
      if (resources === undefined || state === undefined) continue;
      const indexes = layersOf(resources).map(resourcesByOrigin);
      for (const index of indexes) {
        for (const [key, made] of index) if (isGiven(url, state, made)) concerned.add(key);
      }
      collectBehind(state, resources, indexes, behind);
      if (sidecar !== undefined && unsettledNames(state, resources).length > 0) behind.add(sidecar);
      for (const [key, rejection] of rejectionsIn(connection, state, resources)) {
        const tally = tallyOf(tallies, key);
        if (tally.rejections.length < maxRejections) tally.rejections.push(rejection);
      }
    }
    for (const key of concerned) {
      const tally = tallyOf(tallies, key);
      tally.proxies++;
      if (!behind.has(key)) tally.current++;
    }
  }
  return tallies;
}

/** Extensions go to who asks for them; the other types are asked for as far as they are needed. */
function isGiven(url: string, state: TypeState, made: readonly EncodedResource[]): boolean {
  return url !== typeUrl.extensionConfig || made.some(({ name }) => state.subscribed.has(name));
}

/** A Sidecar decides what is made, and leaves no trace in most of it. */
function sidecarKey({ node }: ProxyConnection, snapshot: MeshSnapshot): string | undefined {
  if (node.type === "router") return undefined;
  const { sidecar } = snapshot.scope(node);
  return sidecar === undefined ? undefined : objectKey(sidecar);
}

function tallyOf(tallies: Map<string, Tally>, key: string): Tally {
  let tally = tallies.get(key);
  if (tally === undefined) {
    tally = { proxies: 0, current: 0, rejections: [] };
    tallies.set(key, tally);
  }
  return tally;
}

function collectBehind(
  state: TypeState,
  resources: ResourcesByName,
  indexes: readonly OriginIndex[],
  behind: Set<string>,
): void {
  const names = new Set(unsettledNames(state, resources));
  if (names.size === 0) return;
  for (const [key, made] of indexes.flatMap((index) => [...index])) {
    if (made.some((resource) => names.has(resource.name))) behind.add(key);
  }
}

function* rejectionsIn(
  connection: ProxyConnection,
  state: TypeState,
  resources: ResourcesByName,
): Generator<[string, ProxyRejection]> {
  const { node } = connection;
  const type = shortTypeNames[state.typeUrl] ?? state.typeUrl;
  for (const [name, { message }] of state.rejected) {
    for (const key of resources.get(name)?.origins ?? []) {
      yield [key, { proxy: `${node.name}.${node.namespace}`, type, resource: name, message }];
    }
  }
}

type OriginIndex = ReadonlyMap<string, readonly EncodedResource[]>;

const originIndexes = new WeakMap<ResourcesByName, OriginIndex>();

/** Of one layer, which many proxies may share. */
function resourcesByOrigin(resources: ResourcesByName): OriginIndex {
  let index = originIndexes.get(resources);
  if (index === undefined) {
    const made = new Map<string, EncodedResource[]>();
    for (const resource of resources.values()) {
      for (const key of resource.origins) {
        const list = made.get(key);
        if (list === undefined) made.set(key, [resource]);
        else list.push(resource);
      }
    }
    index = made;
    originIndexes.set(resources, index);
  }
  return index;
}

interface AcceptedVersion {
  /** `cds`, `lds`, ... */
  readonly type: string;
  readonly resource: string;
  readonly version: string;
  /** False while the answer is awaited, and after a rejection. */
  readonly accepted: boolean;
}

/** What a proxy was given that was made from an object. */
export function acceptedVersions(connection: ProxyConnection, key: string): AcceptedVersion[] {
  return shownTypes.flatMap((url) => {
    const resources = connection.session.resources.byType.get(url);
    const state = connection.types.get(url);
    if (resources === undefined || state === undefined) return [];
    const unsettled = new Set(unsettledNames(state, resources));
    const made = layersOf(resources).flatMap((layer) => resourcesByOrigin(layer).get(key) ?? []);
    return made.map(({ name, version }) => ({
      type: shortTypeNames[url] ?? url,
      resource: name,
      version,
      accepted: !unsettled.has(name),
    }));
  });
}
