// The volumes of one pod as folders on the node: made before the first container, refreshed when a ConfigMap or Secret
// changes or a token comes to its end, gone with the pod.

import { createHash } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { ObjectStore } from "../../store/store.ts";
import type { TokenAuthority } from "../../tokens/token-authority.ts";
import { podSpec } from "../pod-spec.ts";
import { type VolumeFile, writeAtomicFolder } from "./atomic-folder.ts";
import { type TokenSource, type VolumeToken, volumeContent } from "./volume-files.ts";

export interface PodVolumesOptions {
  readonly folder: string;
  readonly pod: KubernetesObject;
  readonly podAddress: string;
  readonly store: Pick<ObjectStore, "get" | "list">;
  readonly tokens: Pick<TokenAuthority, "issue">;
  readonly clock: Clock;
  readonly log: Logger;
}

const retryMs = 10_000;
const shortestRenewalMs = 100;

export class PodVolumes {
  #options: PodVolumesOptions;
  readonly #fingerprintByVolume = new Map<string, string>();
  readonly #tokens = new Map<string, VolumeToken>();
  #version = 0;
  #cancelRenewal: (() => void) | undefined;

  constructor(options: PodVolumesOptions) {
    this.#options = options;
  }

  /** The folder of a volume, for `mount --bind`. */
  path(volume: string): string {
    return join(this.#options.folder, volume);
  }

  /** Makes all volumes. Throws a WaitingError when something is missing that they need. */
  create(): void {
    const group = podSpec(this.#options.pod).securityContext?.fsGroup;
    for (const volume of podSpec(this.#options.pod).volumes ?? []) {
      const path = this.path(volume.name);
      mkdirSync(path, { recursive: true, mode: 0o755 });
      if (volume.emptyDir === undefined) continue;
      chmodSync(path, 0o777);
      if (group === undefined) continue;
      chownSync(path, 0, group);
      chmodSync(path, 0o2777);
    }
    this.#write();
  }

  /** The pod's labels or annotations have changed, which files of the downward API show. */
  update(pod: KubernetesObject): void {
    this.#options = { ...this.#options, pod };
    this.refresh();
  }

  /** Brings the content up to date with the store; what has failed is tried again later. */
  refresh(): void {
    try {
      this.#write();
    } catch (error) {
      const { pod, clock, log } = this.#options;
      log.warn(
        `${pod.metadata.namespace}/${pod.metadata.name}: keeps its volumes as they were: ${describeError(error)}`,
      );
      this.#cancelRenewal?.();
      this.#cancelRenewal = clock.after(retryMs, () => this.refresh());
    }
  }

  remove(): void {
    this.#cancelRenewal?.();
    rmSync(this.#options.folder, { recursive: true, force: true });
  }

  #token(source: TokenSource, nowMs: number): VolumeToken {
    const { pod, tokens } = this.#options;
    const key = `${source.audience ?? ""} ${source.expirationSeconds ?? ""}`;
    const known = this.#tokens.get(key);
    if (known !== undefined && nowMs < known.renewAtMs) return known;
    const issued = tokens.issue({
      namespace: pod.metadata.namespace ?? "",
      serviceAccount: podSpec(pod).serviceAccountName ?? "default",
      expirationSeconds: source.expirationSeconds ?? 3600,
      boundPod: { name: pod.metadata.name, uid: pod.metadata.uid ?? "" },
      ...(source.audience === undefined || source.audience === "" ? {} : { audiences: [source.audience] }),
    });
    // As the kubelet: after 80 % of its life.
    const fresh = { token: issued.token, renewAtMs: nowMs + (issued.expiresAtMs - nowMs) * 0.8 };
    this.#tokens.set(key, fresh);
    return fresh;
  }

  #write(): void {
    const { pod, clock } = this.#options;
    const spec = podSpec(pod);
    const nowMs = clock.now();
    const token = (source: TokenSource): VolumeToken => this.#token(source, nowMs);
    let renewAtMs = Number.POSITIVE_INFINITY;
    for (const volume of spec.volumes ?? []) {
      const content = volumeContent(volume, { ...this.#options, token });
      if (content === undefined) continue;
      renewAtMs = Math.min(renewAtMs, content.renewAtMs ?? Number.POSITIVE_INFINITY);
      const fingerprint = fingerprintOf(content.files);
      if (this.#fingerprintByVolume.get(volume.name) === fingerprint) continue;
      writeAtomicFolder(this.path(volume.name), content.files, ++this.#version, spec.securityContext?.fsGroup);
      this.#fingerprintByVolume.set(volume.name, fingerprint);
    }
    this.#cancelRenewal?.();
    if (renewAtMs === Number.POSITIVE_INFINITY) return;
    this.#cancelRenewal = clock.after(Math.max(shortestRenewalMs, renewAtMs - nowMs), () => this.refresh());
  }
}

function fingerprintOf(files: ReadonlyMap<string, VolumeFile>): string {
  const hash = createHash("sha256");
  for (const [path, { mode, content }] of files) hash.update(`${path}\0${mode}\0${content.length}\0`).update(content);
  return hash.digest("hex");
}
