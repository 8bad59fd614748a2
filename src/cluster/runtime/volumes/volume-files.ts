// What lies in a volume: the files of ConfigMaps, Secrets, the downward API and projected tokens.

import { normalize } from "node:path";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { mergeCertificates } from "#wire/x509/pem.ts";
import { readSelector } from "../../admission/validate/selector.ts";
import { fieldAt } from "../../store/json.ts";
import { trustBundles } from "../../store/resources.ts";
import { labelsOf, matchesLabelSelector } from "../../store/selector.ts";
import type { ObjectStore } from "../../store/store.ts";
import { configMapData, secretData } from "../environment.ts";
import { fieldValue, resourceValue } from "../field-value.ts";
import { type DownwardItem, type KeyedSource, type ProjectedSource, podSpec, type VolumeSpec } from "../pod-spec.ts";
import { WaitingError } from "../waiting-error.ts";
import type { VolumeFile } from "./atomic-folder.ts";

export interface VolumeContext {
  readonly store: Pick<ObjectStore, "get" | "list">;
  /** The token for the source: the one from before as long as it is good. */
  readonly token: (source: TokenSource) => VolumeToken;
  readonly pod: KubernetesObject;
  readonly podAddress: string;
}

export type TokenSource = NonNullable<ProjectedSource["serviceAccountToken"]>;

type TrustBundleSource = NonNullable<ProjectedSource["clusterTrustBundle"]>;

export interface VolumeToken {
  readonly token: string;
  readonly renewAtMs: number;
}

export interface VolumeContent {
  readonly files: ReadonlyMap<string, VolumeFile>;
  /** When a token in it has to be replaced. */
  readonly renewAtMs: number | undefined;
}

const defaultFileMode = 0o644;

/** Undefined for an emptyDir. Throws a WaitingError when an object is missing that is not optional. */
export function volumeContent(volume: VolumeSpec, context: VolumeContext): VolumeContent | undefined {
  const { configMap, secret, downwardAPI, projected } = volume;
  const builder = new ContentBuilder(volume.name, context);
  if (configMap !== undefined) {
    builder.keyed("configmap", configMap.name ?? "", configMap, configMap.defaultMode);
  } else if (secret !== undefined) {
    builder.keyed("secret", secret.secretName ?? "", secret, secret.defaultMode);
  } else if (downwardAPI !== undefined) {
    builder.downward(downwardAPI.items ?? [], downwardAPI.defaultMode);
  } else if (projected !== undefined) {
    for (const source of projected.sources ?? []) builder.projected(source, projected.defaultMode);
  } else {
    return undefined;
  }
  return { files: builder.files, renewAtMs: builder.renewAtMs };
}

/** The certificates of the bundles that are meant. A signer's without a selector are none, as in Kubernetes. */
function findTrustBundles(store: VolumeContext["store"], source: TrustBundleSource): string[] {
  const { name, signerName, labelSelector } = source;
  const textOf = (bundle: KubernetesObject): string => String(fieldAt(bundle, "spec", "trustBundle") ?? "");
  if (name !== undefined) {
    const bundle = store.get(trustBundles, "", name);
    return bundle === undefined ? [] : [textOf(bundle)];
  }
  if (labelSelector === undefined) return [];
  const selector = readSelector(labelSelector);
  return store
    .list(trustBundles)
    .items.filter((bundle) => fieldAt(bundle, "spec", "signerName") === signerName)
    .filter((bundle) => matchesLabelSelector(selector, labelsOf(bundle)))
    .map(textOf);
}

class ContentBuilder {
  readonly files = new Map<string, VolumeFile>();
  renewAtMs: number | undefined;
  readonly #volume: string;
  readonly #context: VolumeContext;

  constructor(volume: string, context: VolumeContext) {
    this.#volume = volume;
    this.#context = context;
  }

  projected(source: ProjectedSource, mode: number | undefined): void {
    if (source.configMap !== undefined) this.keyed("configmap", source.configMap.name ?? "", source.configMap, mode);
    if (source.secret !== undefined) this.keyed("secret", source.secret.name ?? "", source.secret, mode);
    if (source.downwardAPI !== undefined) this.downward(source.downwardAPI.items ?? [], mode);
    if (source.clusterTrustBundle !== undefined) this.#trustBundle(source.clusterTrustBundle, mode);
    if (source.serviceAccountToken !== undefined) this.#token(source.serviceAccountToken, mode);
  }

  keyed(kind: "configmap" | "secret", name: string, source: KeyedSource, mode = defaultFileMode): void {
    const { store, pod } = this.#context;
    const namespace = pod.metadata.namespace ?? "";
    const data = kind === "secret" ? secretData(store, namespace, name) : configMapData(store, namespace, name);
    if (data === undefined) {
      if (source.optional === true) return;
      throw this.#fail(`${kind} "${name}" not found`);
    }
    if (source.items === undefined) {
      for (const [key, content] of data) this.#put(key, content, mode);
      return;
    }
    for (const item of source.items) {
      const content = data.get(item.key);
      if (content !== undefined) this.#put(item.path, content, item.mode ?? mode);
      else if (source.optional !== true) throw this.#fail(`${kind} "${name}" has no key "${item.key}"`);
    }
  }

  downward(items: readonly DownwardItem[], mode = defaultFileMode): void {
    const { pod, podAddress } = this.#context;
    const first = podSpec(pod).containers[0];
    for (const item of items) {
      const value =
        item.fieldRef === undefined
          ? item.resourceFieldRef && first && resourceValue(pod, first, item.resourceFieldRef)
          : fieldValue(pod, item.fieldRef.fieldPath, podAddress);
      if (value === undefined) throw this.#fail(`there is no field for ${item.path}`);
      this.#put(item.path, Buffer.from(value), item.mode ?? mode);
    }
  }

  #trustBundle(source: TrustBundleSource, mode = defaultFileMode): void {
    const found = findTrustBundles(this.#context.store, source);
    if (found.length > 0) return this.#put(source.path, Buffer.from(mergeCertificates(found)), mode);
    if (source.optional === true) return this.#put(source.path, Buffer.alloc(0), mode);
    throw this.#fail(`clusterTrustBundle "${source.name ?? source.signerName ?? ""}" not found`);
  }

  #token(source: TokenSource, mode = defaultFileMode): void {
    const { token, renewAtMs } = this.#context.token(source);
    this.#put(source.path, Buffer.from(token), mode);
    this.renewAtMs = Math.min(this.renewAtMs ?? Number.POSITIVE_INFINITY, renewAtMs);
  }

  #put(path: string, content: Buffer, mode: number): void {
    const clean = normalize(path);
    if (clean.startsWith("/") || clean.startsWith("..") || clean === ".")
      throw this.#fail(`path ${path} leads out of it`);
    this.files.set(clean, { content, mode });
  }

  #fail(message: string): WaitingError {
    return new WaitingError("FailedMount", `volume "${this.#volume}": ${message}`);
  }
}
