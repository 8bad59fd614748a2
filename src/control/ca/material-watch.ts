// Follows the CA's material where operators replace it: Secret `cacerts`, or a mounted folder. New material is used at
// once; bad material is reported and the old one stays.
import { describeError } from "#base/error.ts";
import { DirectoryWatcher } from "#base/files/directory-watcher.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import { type CatalogEntry, findKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";
import { Reflector } from "../sources/kubernetes/reflector.ts";
import type { CertificateAuthority } from "./authority.ts";
import { pluggedInSecretName, readMaterialSecret } from "./cluster-material.ts";
import { type AuthorityMaterial, readMaterialFolder } from "./material.ts";

export interface MaterialWatchOptions {
  readonly authority: CertificateAuthority;
  readonly log: Logger;
  readonly clock: Clock;
}

export function watchMaterialSecret(
  client: KubernetesClient,
  namespace: string,
  options: MaterialWatchOptions,
): Running {
  const take = (object: KubernetesObject): void => {
    if (object.metadata.name !== pluggedInSecretName) return;
    replace(`Secret ${namespace}/${pluggedInSecretName}`, () => readMaterialSecret(object), options);
  };
  const reflector = new Reflector({
    client,
    kind: findKind("v1", "Secret") as CatalogEntry,
    selection: { namespace, fieldSelector: `metadata.name=${pluggedInSecretName}` },
    // Its removal changes nothing: certificates that were given out still lead to its root.
    handlers: { replace: (objects) => objects.forEach(take), apply: take, remove: () => {} },
    log: options.log,
    clock: options.clock,
  });
  reflector.start().catch((error: unknown) => {
    options.log.error("the CA's Secret is not followed", { error: describeError(error) });
  });
  return reflector;
}

/** A swap of the folder's files comes as several events: they are read together after a moment. */
const settleMs = 200;

export function watchMaterialFolder(folder: string, options: MaterialWatchOptions): Running {
  const watcher = new DirectoryWatcher({
    onChange: () => replace(folder, () => readMaterialFolder(folder), options),
    onProblem: (_, error) =>
      options.log.warn("the CA's folder cannot be followed", { folder, error: describeError(error) }),
    clock: options.clock,
    settleMs,
  });
  watcher.follow(new Set([folder]));
  return watcher;
}

function replace(
  place: string,
  read: () => AuthorityMaterial | undefined,
  { authority, log }: MaterialWatchOptions,
): void {
  try {
    const material = read();
    if (material === undefined) return;
    const before = authority.rootCertificates;
    if (authority.replace(material)) log.info("the CA uses new material", { place });
    if (authority.rootCertificates !== before) log.info("the CA's root changed", { place });
  } catch (error) {
    log.error("the CA's new material cannot be used; the old one stays", { place, error: describeError(error) });
  }
}
