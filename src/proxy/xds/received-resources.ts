// What the control plane has said so far, decoded: resources by name, and names that it says do not exist. A refused
// resource leaves the one before in place. Nothing here runs yet.

import type { Any } from "@bufbuild/protobuf/wkt";
import { type Issue, Severity } from "#base/issue.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import type { SecretStore } from "#wire/tls/secrets.ts";
import type { DeltaUpdate, Refusals } from "#wire/xds/delta-state.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import type { ClusterConfig, EndpointSet } from "../config/cluster.ts";
import type { ExtensionConfig } from "../config/extension.ts";
import type { RouteConfig } from "../config/http.ts";
import type { ListenerConfig } from "../config/listener.ts";
import { type Decoded, nackText, Problems } from "../config/problems.ts";
import { decodeAny } from "./decode-any.ts";
import { decodeSecret } from "./decode-secret.ts";
import { EqualParts } from "./equal-parts.ts";
import { chainsOf, type discoveriesOfListener } from "./references.ts";
import { ResourceTable } from "./resource-table.ts";

/** From so many resources of one update on their bytes are worth compressing. */
const leastPacked = 50;

type Discoveries = ReturnType<typeof discoveriesOfListener>;

interface ReceivedResourcesOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly secrets: Pick<SecretStore, "setCertificate" | "setTrustedRoots" | "remove">;
}

export class ReceivedResources {
  readonly clusters: ResourceTable<ClusterConfig> = new ResourceTable();
  readonly endpoints: ResourceTable<EndpointSet> = new ResourceTable();
  readonly listeners: ResourceTable<ListenerConfig> = new ResourceTable();
  readonly routes: ResourceTable<RouteConfig> = new ResourceTable();
  readonly extensions: ResourceTable<ExtensionConfig> = new ResourceTable();
  /** Names that were answered with "does not exist". */
  readonly absentEndpoints: Set<string> = new Set();
  readonly absentRoutes: Set<string> = new Set();
  /** Extensions that were answered with "does not exist", or with what had to be refused: their default counts. */
  readonly absentExtensions: Set<string> = new Set();
  /** Secrets that were answered, with what is there or that nothing is. */
  readonly answeredSecrets: Set<string> = new Set();
  readonly #options: ReceivedResourcesOptions;

  constructor(options: ReceivedResourcesOptions) {
    this.#options = options;
  }

  /** Takes what is valid; answers which are refused. `discoveries`: what filters of the listeners ask ECDS for. */
  store(update: DeltaUpdate, discoveries: () => readonly Discoveries[]): Refusals {
    switch (update.typeUrl) {
      case typeUrl.cluster:
        return this.#storeInto(this.clusters, update, sharing(decodeAny.cluster));
      case typeUrl.endpoint:
        for (const { name } of update.added) this.absentEndpoints.delete(name);
        for (const name of update.removed) this.absentEndpoints.add(name);
        return this.#storeInto(this.endpoints, update, sharing(decodeAny.endpoint));
      case typeUrl.listener:
        return this.#storeInto(this.listeners, update, sharingRoutes);
      case typeUrl.route:
        for (const { name } of update.added) this.absentRoutes.delete(name);
        for (const name of update.removed) this.absentRoutes.add(name);
        return this.#storeInto(this.routes, update, sharing(decodeAny.route));
      case typeUrl.extensionConfig:
        return this.#storeExtensions(update, discoveries());
      case typeUrl.secret:
        return this.#storeSecrets(update);
      default:
        return new Map(update.added.map(({ name }) => [name, `${update.typeUrl} was not asked for`]));
    }
  }

  #storeExtensions(update: DeltaUpdate, wanted: readonly Discoveries[]): Refusals {
    const refusals = this.#storeInto(this.extensions, update, (any, name) => {
      const decoded = decodeAny.extension(any, name);
      const typeName = decoded.value?.typeName ?? "";
      const refusing = wanted
        .flatMap((byName) => byName.get(name) ?? [])
        .find(({ typeNames }) => typeName !== "" && !typeNames.has(typeName));
      if (refusing === undefined) return decoded;
      const problems = new Problems("extension", name);
      problems.invalid("typed_config", `${typeName} is not what is asked for: ${[...refusing.typeNames].join(", ")}`);
      return problems.done<ExtensionConfig>(null);
    });
    for (const { name } of update.added) {
      if (refusals.has(name)) this.absentExtensions.add(name);
      else this.absentExtensions.delete(name);
    }
    for (const name of update.removed) this.absentExtensions.add(name);
    return refusals;
  }

  #storeSecrets(update: DeltaUpdate): Refusals {
    const { secrets } = this.#options;
    const refusals = new Map<string, string>();
    for (const { name, resource } of update.added) {
      this.answeredSecrets.add(name);
      const decoded = decodeSecret(resource, name);
      if (typeof decoded === "string") {
        refusals.set(name, decoded);
        this.#options.log.warn(`refused ${decoded}`);
      } else if (decoded.type === "certificate") secrets.setCertificate(name, decoded.certificate);
      else secrets.setTrustedRoots(name, decoded.pem, decoded.revocationList);
    }
    for (const name of update.removed) {
      this.answeredSecrets.add(name);
      secrets.remove(name);
    }
    return refusals;
  }

  #storeInto<T>(
    table: ResourceTable<T>,
    update: DeltaUpdate,
    decode: (any: Any, name: string) => Decoded<T>,
  ): Refusals {
    const refusals = new Map<string, string>();
    const accepted: string[] = [];
    const lastUpdatedMs = this.#options.clock.now();
    for (const { name, version, resource: any } of update.added) {
      const held = table.get(name);
      if (held !== undefined && equalBytes(held.any.value, any.value)) {
        table.confirm(name, version);
        continue;
      }
      const { value, issues } = decode(any, name);
      if (value === null) {
        const reason = nackText(issues);
        refusals.set(name, reason);
        table.refuse({ name, version, reason, lastAttemptMs: lastUpdatedMs });
        this.#options.log.warn(`refused ${reason}`);
        continue;
      }
      this.#logWarnings(issues);
      table.set({ name, version, any, value, lastUpdatedMs });
      accepted.push(name);
    }
    if (accepted.length >= leastPacked) table.pack(accepted);
    for (const name of update.removed) table.delete(name);
    table.version = update.version;
    table.lastUpdatedMs = lastUpdatedMs;
    if (refusals.size === 0) table.acceptedUpdates++;
    else table.refusedUpdates++;
    return refusals;
  }

  #logWarnings(issues: readonly Issue[]): void {
    for (const issue of issues) {
      if (issue.severity !== Severity.Warning) continue;
      this.#options.log.debug(`${issue.object?.kind} ${issue.object?.name}: ${issue.path}: ${issue.message}`);
    }
  }
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || (a.length === b.length && Buffer.compare(a, b) === 0);
}

/** As routes that come by themselves; the rest of a listener is known by its identity. */
function sharingRoutes(any: Any, name: string): Decoded<ListenerConfig> {
  const decoded = decodeAny.listener(any, name);
  if (decoded.value === null) return decoded;
  const parts = new EqualParts();
  for (const chain of chainsOf(decoded.value)) {
    for (const { http } of chain.filters) parts.share(http?.routeConfig ?? null);
  }
  return decoded;
}

/** The resources of one update share what is equal in them; after it nothing of that is kept but the resources. */
function sharing<T>(decode: (any: Any, name: string) => Decoded<T>): (any: Any, name: string) => Decoded<T> {
  const parts = new EqualParts();
  return (any, name) => {
    const decoded = decode(any, name);
    return { ...decoded, value: parts.share(decoded.value) };
  };
}
