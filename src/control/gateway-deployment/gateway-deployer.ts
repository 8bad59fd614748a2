// Makes what the Gateway API needs in the cluster: the objects that run each Gateway, by server-side apply, and the
// GatewayClasses of this mesh. Level-triggered, under leader election: what a user deletes or changes is put right, what
// a user adds stays. What belongs to a Gateway that is deleted goes with it, by its owner reference.
import { describeError, hasCode } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { Backoff } from "#base/time/backoff.ts";
import type { Clock } from "#base/time/clock.ts";
import { type CatalogEntry, catalogKind } from "#mesh/catalog.ts";
import type { GatewayDeployments } from "#mesh/gateway-api/deployments.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";
import { Reflector } from "../sources/kubernetes/reflector.ts";
import { gatewayObjects, managedBy, managedLabel } from "./gateway-objects.ts";

export interface GatewayDeployerOptions {
  readonly client: KubernetesClient;
  readonly revision: string;
  readonly log: Logger;
  readonly clock: Clock;
}

const fieldManager = "istio.io/gateway-controller";
const madeKinds = [
  catalogKind("v1", "ServiceAccount"),
  catalogKind("apps/v1", "Deployment"),
  catalogKind("v1", "Service"),
  catalogKind("autoscaling/v2", "HorizontalPodAutoscaler"),
  catalogKind("policy/v1", "PodDisruptionBudget"),
];

/** Kinds of which a Gateway may want none any more. */
const removable: ReadonlySet<string> = new Set(["HorizontalPodAutoscaler", "PodDisruptionBudget"]);

export class GatewayDeployer implements Running {
  readonly #options: GatewayDeployerOptions;
  /** What is there of what was made. */
  readonly #stored = new Map<string, KubernetesObject>();
  /** What was applied last, and what came of it. */
  readonly #applied = new Map<string, { readonly content: string; readonly version: string }>();
  readonly #backoff = new Backoff({ initialMs: 200, maxMs: 30_000 });
  #reflectors: Reflector[] = [];
  #wanted: GatewayDeployments = { gateways: [], missingClasses: [] };
  #isLeader = false;
  #isSynced = false;
  #working: Promise<void> | undefined;
  #again = false;
  #cancelRetry: () => void = () => {};

  constructor(options: GatewayDeployerOptions) {
    this.#options = options;
  }

  /** Makes these the Gateways that are to run. */
  want(wanted: GatewayDeployments): void {
    this.#wanted = wanted;
    this.#reconcile();
  }

  lead(): void {
    this.#isLeader = true;
    this.#reflectors = madeKinds.map((made) => this.#watch(made));
    const { log } = this.#options;
    Promise.all(this.#reflectors.map((reflector) => reflector.start())).then(
      () => {
        this.#isSynced = true;
        this.#reconcile();
      },
      (error: unknown) => log.error("gateways are not deployed", { error: describeError(error) }),
    );
  }

  async follow(): Promise<void> {
    this.#isLeader = false;
    this.#isSynced = false;
    this.#cancelRetry();
    const reflectors = this.#reflectors;
    this.#reflectors = [];
    await Promise.all(reflectors.map((reflector) => reflector.stop()));
    await this.#working;
    this.#stored.clear();
    this.#applied.clear();
  }

  stop(): Promise<void> {
    return this.follow();
  }

  #watch(made: CatalogEntry): Reflector {
    const { client, log, clock } = this.#options;
    return new Reflector({
      client,
      kind: made,
      selection: { labelSelector: `${managedLabel}=${managedBy}` },
      log,
      clock,
      handlers: {
        replace: (objects) => {
          for (const [key, object] of this.#stored) if (object.kind === made.kind) this.#stored.delete(key);
          for (const object of objects) this.#stored.set(keyOf(object), object);
          this.#reconcile();
        },
        apply: (object) => {
          this.#stored.set(keyOf(object), object);
          this.#reconcile();
        },
        remove: (object) => {
          this.#stored.delete(keyOf(object));
          this.#reconcile();
        },
      },
    });
  }

  #reconcile(): void {
    if (!this.#isLeader || !this.#isSynced) return;
    this.#again = true;
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  async #work(): Promise<void> {
    while (this.#again && this.#isLeader) {
      this.#again = false;
      let failed = 0;
      for (const object of this.#objects()) {
        if (this.#isLeader && this.#differs(object) && !(await this.#apply(object))) failed++;
      }
      for (const object of this.#leftOver()) {
        if (this.#isLeader && !(await this.#remove(object))) failed++;
      }
      if (failed === 0) this.#backoff.reset();
      else {
        this.#cancelRetry();
        this.#cancelRetry = this.#options.clock.after(this.#backoff.next(), () => this.#reconcile());
      }
    }
  }

  #objects(): KubernetesObject[] {
    const { gateways, missingClasses } = this.#wanted;
    const classes = missingClasses.map(({ name, controllerName, description }) => ({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "GatewayClass",
      metadata: { name },
      spec: { controllerName, description },
    }));
    return [...classes, ...gateways.flatMap((gateway) => gatewayObjects(gateway, this.#options.revision))];
  }

  /** A change of a status or of a field of somebody else's is none of ours; ours are put right. */
  #differs(object: KubernetesObject): boolean {
    const key = keyOf(object);
    const applied = this.#applied.get(key);
    if (applied === undefined || applied.content !== JSON.stringify(object)) return true;
    // The snapshot tells when a class is there.
    if (object.kind === "GatewayClass") return false;
    const stored = this.#stored.get(key);
    return stored === undefined || versionOf(stored) !== applied.version;
  }

  /** What was made for a Gateway that runs, and is not asked for any more. */
  #leftOver(): KubernetesObject[] {
    const wanted = new Set(this.#objects().map(keyOf));
    const gateways = new Set(this.#wanted.gateways.map(({ uid }) => uid));
    return [...this.#stored].flatMap(([key, object]) => {
      const isOurs = object.metadata.ownerReferences?.some(({ uid }) => gateways.has(uid)) === true;
      return isOurs && removable.has(object.kind) && !wanted.has(key) ? [object] : [];
    });
  }

  async #remove(object: KubernetesObject): Promise<boolean> {
    const { client, log } = this.#options;
    const key = keyOf(object);
    try {
      await client.delete(catalogKind(object.apiVersion, object.kind), object.metadata);
      this.#stored.delete(key);
      this.#applied.delete(key);
      return true;
    } catch (error) {
      log.warn("an object of a gateway could not be removed; trying again", {
        object: key,
        error: describeError(error),
      });
      return false;
    }
  }

  async #apply(object: KubernetesObject): Promise<boolean> {
    const { client, log } = this.#options;
    const key = keyOf(object);
    try {
      const made = await client.apply(object, { fieldManager });
      this.#applied.set(key, { content: JSON.stringify(object), version: versionOf(made) });
      if (object.kind !== "GatewayClass") this.#stored.set(key, made);
      return true;
    } catch (error) {
      // The namespace is gone, or the cluster does not have the Gateway API.
      if (hasCode(error, "API_NOT_FOUND")) return true;
      log.warn("an object of a gateway could not be made; trying again", { object: key, error: describeError(error) });
      return false;
    }
  }
}

/** All but the status, and what the server notes of writes. */
function versionOf(object: KubernetesObject): string {
  const { uid, labels, annotations, ownerReferences } = object.metadata;
  return JSON.stringify([uid, labels, annotations, ownerReferences, object["spec"]]);
}

function keyOf(object: KubernetesObject): string {
  return `${object.kind} ${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}
