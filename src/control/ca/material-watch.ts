// Follows the CA's material where it is replaced: Secret `cacerts` by operators, Secret `istio-ca-secret` by the replica
// that renews the self-signed root, or a mounted folder. Bad material is reported and the old one stays.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "#base/error.ts";
import { DirectoryWatcher } from "#base/files/directory-watcher.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import { catalogKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";
import { Reflector } from "../sources/kubernetes/reflector.ts";
import { pluggedInSecretName, readMaterialSecret, readSecretText, selfSignedSecretName } from "./cluster-material.ts";
import { type AuthorityMaterial, readMaterialFolder, revocationFile } from "./material.ts";

export interface MaterialWatchOptions {
  readonly offer: (material: AuthorityMaterial, place: string) => void;
  /** Called before, with the revocation lists that are beside plugged-in material; empty text where there are none. */
  readonly offerRevocations?: (lists: string, place: string) => void;
  /** Called besides the log. */
  readonly onInvalid?: (place: string, reason: string) => void;
  readonly log: Logger;
  readonly clock: Clock;
}

export interface MaterialSecretWatch extends Running {
  /** The Secret whose material counts now: what is plugged in comes before what is self-signed. */
  readonly secretName: string;
}

export function watchMaterialSecrets(
  client: KubernetesClient,
  namespace: string,
  initial: string,
  options: MaterialWatchOptions,
): MaterialSecretWatch {
  let secretName = initial;
  const take = (object: KubernetesObject): void => {
    const { name } = object.metadata;
    const isPluggedIn = name === pluggedInSecretName;
    if (!isPluggedIn && (name !== selfSignedSecretName || secretName !== selfSignedSecretName)) return;
    const lists = (): string => readSecretText(object, revocationFile) ?? "";
    const offerRevocations = isPluggedIn ? options.offerRevocations : undefined;
    const read = (): AuthorityMaterial | undefined => readMaterialSecret(object);
    const taken = replace(`Secret ${namespace}/${name}`, { read, lists }, { ...options, offerRevocations });
    if (taken) secretName = name;
  };
  const reflectors = [pluggedInSecretName, selfSignedSecretName].map(
    (name) =>
      new Reflector({
        client,
        kind: catalogKind("v1", "Secret"),
        selection: { namespace, fieldSelector: `metadata.name=${name}` },
        // Its removal changes nothing: certificates that were given out still lead to its root.
        handlers: { replace: (objects) => objects.forEach(take), apply: take, remove: () => {} },
        log: options.log,
        clock: options.clock,
      }),
  );
  for (const reflector of reflectors) {
    reflector.start().catch((error: unknown) => {
      options.log.error("the CA's Secret is not followed", { error: describeError(error) });
    });
  }
  return {
    get secretName() {
      return secretName;
    },
    stop: async () => {
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
    },
  };
}

/** A swap of the folder's files comes as several events: they are read together after a moment. */
const settleMs = 200;

export function watchMaterialFolder(folder: string, options: MaterialWatchOptions): Running {
  options.offerRevocations?.(folderReading(folder).lists(), folder);
  const watcher = new DirectoryWatcher({
    onChange: () => replace(folder, folderReading(folder), options),
    onProblem: (_, error) =>
      options.log.warn("the CA's folder cannot be followed", { folder, error: describeError(error) }),
    clock: options.clock,
    settleMs,
  });
  watcher.follow(new Set([folder]));
  return watcher;
}

interface Reading {
  readonly read: () => AuthorityMaterial | undefined;
  readonly lists: () => string;
}

function folderReading(folder: string): Reading {
  const file = join(folder, revocationFile);
  return {
    read: () => readMaterialFolder(folder),
    lists: () => (existsSync(file) ? readFileSync(file, "utf8") : ""),
  };
}

type ReplaceOptions = Pick<MaterialWatchOptions, "offer" | "log" | "onInvalid"> & {
  readonly offerRevocations?: MaterialWatchOptions["offerRevocations"] | undefined;
};

/** Tells whether there was material that can be used. */
function replace(
  place: string,
  { read, lists }: Reading,
  { offer, offerRevocations, log, onInvalid }: ReplaceOptions,
): boolean {
  try {
    const material = read();
    if (material === undefined) return false;
    offerRevocations?.(lists(), place);
    offer(material, place);
    return true;
  } catch (error) {
    const reason = describeError(error);
    log.error("the CA's new material cannot be used; the old one stays", { place, error: reason });
    onInvalid?.(place, reason);
    return false;
  }
}
