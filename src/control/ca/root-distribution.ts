// Carries the CA's root to where it is needed: ConfigMap `istio-ca-root-cert` in every namespace, and the caBundle of
// the admission webhooks. Level-triggered: it compares what is there with what should be, so a restart, a second
// replica or a user's deletion is nothing special.
import { describeError, hasCode } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { Backoff } from "#base/time/backoff.ts";
import type { Clock } from "#base/time/clock.ts";
import { type CatalogEntry, catalogKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { KubernetesClient, ObjectKey } from "../sources/kubernetes/client.ts";
import { Reflector } from "../sources/kubernetes/reflector.ts";
import type { CertificateAuthority } from "./authority.ts";

export interface RootDistributionOptions {
  readonly client: KubernetesClient;
  readonly authority: CertificateAuthority;
  /** Names of MutatingWebhookConfigurations and ValidatingWebhookConfigurations whose caBundle is ours. */
  readonly mutatingWebhooks: readonly string[];
  readonly validatingWebhooks: readonly string[];
  readonly log: Logger;
  readonly clock: Clock;
}

const rootConfigMapName = "istio-ca-root-cert";
const rootKey = "root-cert.pem";
const contestedForMs = 2000;

const namespaces = catalogKind("v1", "Namespace");
const configMaps = catalogKind("v1", "ConfigMap");
const mutating = catalogKind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration");
const validating = catalogKind("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration");

export class RootDistribution implements Running {
  readonly #options: RootDistributionOptions;
  readonly #reflectors: Reflector[];
  readonly #namespaces = new Set<string>();
  readonly #rootByNamespace = new Map<string, string>();
  /** What was written last, and when. */
  readonly #written = new Map<string, { readonly root: string; readonly atMs: number }>();
  readonly #webhooks = new Map<string, { kind: CatalogEntry; object: KubernetesObject }>();
  readonly #backoff = new Backoff({ initialMs: 100, maxMs: 10_000 });
  readonly #unsubscribe: () => void;
  #working: Promise<void> | undefined;
  #again = false;
  #synced = false;
  #stopped = false;
  #cancelRetry: () => void = () => {};
  #waiting: (() => void)[] = [];

  constructor(options: RootDistributionOptions) {
    this.#options = options;
    this.#reflectors = [this.#watchNamespaces(), this.#watchRoots(), ...this.#watchWebhooks()];
    this.#unsubscribe = options.authority.onChange(() => this.#reconcile());
  }

  /** Resolves when everything has been looked at once; goes on in the background. */
  async start(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.start()));
    this.#synced = true;
    this.#reconcile();
    await this.#working;
  }

  /** Resolves when the roots of now are in every namespace and webhook; not at all while one of them refuses them. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#synced) this.#reconcile();
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe();
    this.#cancelRetry();
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()));
    await this.#working;
  }

  #watchNamespaces(): Reflector {
    const apply = (object: KubernetesObject): void => {
      // A namespace that is going away refuses new objects.
      const isTerminating = object.metadata.deletionTimestamp !== undefined;
      if (isTerminating) this.#namespaces.delete(object.metadata.name);
      else this.#namespaces.add(object.metadata.name);
    };
    return this.#watch(namespaces, {
      replace: (objects) => {
        this.#namespaces.clear();
        for (const object of objects) apply(object);
      },
      apply,
      remove: (object) => {
        this.#namespaces.delete(object.metadata.name);
        this.#written.delete(object.metadata.name);
      },
    });
  }

  #watchRoots(): Reflector {
    const apply = (object: KubernetesObject): void => {
      if (object.metadata.name !== rootConfigMapName) return;
      const data = object["data"] as Readonly<Record<string, unknown>> | undefined;
      this.#rootByNamespace.set(object.metadata.namespace ?? "", String(data?.[rootKey] ?? ""));
    };
    return this.#watch(
      configMaps,
      {
        replace: (objects) => {
          this.#rootByNamespace.clear();
          for (const object of objects) apply(object);
        },
        apply,
        remove: (object) => {
          if (object.metadata.name === rootConfigMapName) this.#rootByNamespace.delete(object.metadata.namespace ?? "");
        },
      },
      `metadata.name=${rootConfigMapName}`,
    );
  }

  #watchWebhooks(): Reflector[] {
    return [
      [mutating, this.#options.mutatingWebhooks] as const,
      [validating, this.#options.validatingWebhooks] as const,
    ].flatMap(([kind, names]) => (names.length === 0 ? [] : [this.#watchWebhookKind(kind, new Set(names))]));
  }

  #watchWebhookKind(kind: CatalogEntry, names: ReadonlySet<string>): Reflector {
    const keyOf = (object: KubernetesObject): string => `${kind.kind}/${object.metadata.name}`;
    const apply = (object: KubernetesObject): void => {
      if (names.has(object.metadata.name)) this.#webhooks.set(keyOf(object), { kind, object });
    };
    return this.#watch(kind, {
      replace: (objects) => {
        for (const [key, entry] of this.#webhooks) if (entry.kind === kind) this.#webhooks.delete(key);
        for (const object of objects) apply(object);
      },
      apply,
      remove: (object) => this.#webhooks.delete(keyOf(object)),
    });
  }

  #watch(
    kind: CatalogEntry,
    handlers: {
      replace(objects: readonly KubernetesObject[]): void;
      apply(object: KubernetesObject): void;
      remove(object: KubernetesObject): void;
    },
    fieldSelector?: string,
  ): Reflector {
    const { client, log, clock } = this.#options;
    const then = (): void => {
      if (this.#synced) this.#reconcile();
    };
    return new Reflector({
      client,
      kind,
      log,
      clock,
      ...(fieldSelector !== undefined && { selection: { fieldSelector } }),
      handlers: {
        replace: (objects) => {
          handlers.replace(objects);
          then();
        },
        apply: (object) => {
          handlers.apply(object);
          then();
        },
        remove: (object) => {
          handlers.remove(object);
          then();
        },
      },
    });
  }

  #reconcile(): void {
    if (this.#stopped) return;
    this.#again = true;
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  async #work(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false;
      let failed = 0;
      for (const namespace of this.#namespaces) {
        if (this.#rootByNamespace.get(namespace) === this.#options.authority.rootCertificates) continue;
        if (this.#isContested(namespace)) {
          failed++;
          continue;
        }
        if (!(await this.#try(`namespace ${namespace}`, () => this.#writeRoot(namespace)))) failed++;
      }
      for (const { kind, object } of this.#webhooks.values()) {
        const caBundle = Buffer.from(this.#options.authority.rootCertificates).toString("base64");
        const patch = webhookPatch(object, caBundle);
        if (patch === undefined) continue;
        const write = async (): Promise<void> => {
          await this.#options.client.patch(kind, { name: object.metadata.name }, patch, { type: "json" });
        };
        if (!(await this.#try(`${kind.kind} ${object.metadata.name}`, write))) failed++;
      }
      if (failed > 0) this.#retryLater();
      else {
        this.#backoff.reset();
        if (!this.#again) for (const resolve of this.#waiting.splice(0)) resolve();
      }
    }
  }

  /** Somebody has just replaced what we wrote (a replica that is a step behind): who answers at once never ends. */
  #isContested(namespace: string): boolean {
    const { authority, clock, log } = this.#options;
    const written = this.#written.get(namespace);
    if (!this.#rootByNamespace.has(namespace)) return false;
    if (written?.root !== authority.rootCertificates || clock.now() - written.atMs > contestedForMs) return false;
    log.warn("somebody else writes other root certificates; they are written again later", { namespace });
    return true;
  }

  #retryLater(): void {
    this.#cancelRetry();
    this.#cancelRetry = this.#options.clock.after(this.#backoff.next(), () => this.#reconcile());
  }

  async #try(place: string, write: () => Promise<void>): Promise<boolean> {
    try {
      await write();
      return true;
    } catch (error) {
      if (this.#stopped) return true;
      this.#options.log.warn("the root certificate could not be written", { place, error: describeError(error) });
      return false;
    }
  }

  async #writeRoot(namespace: string): Promise<void> {
    const { client, authority } = this.#options;
    const key: ObjectKey = { name: rootConfigMapName, namespace };
    const root = authority.rootCertificates;
    try {
      await client.patch(configMaps, key, { data: { [rootKey]: root } });
    } catch (error) {
      if (!hasCode(error, "API_NOT_FOUND")) throw error;
      await this.#createRoot(key, root);
    }
    this.#rootByNamespace.set(namespace, root);
    this.#written.set(namespace, { root, atMs: this.#options.clock.now() });
  }

  async #createRoot(key: ObjectKey, root: string): Promise<void> {
    try {
      await this.#options.client.create(configMaps, {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { ...key, labels: { "istio.io/config": "true" } },
        data: { [rootKey]: root },
      });
    } catch (error) {
      // Gone with its namespace, or written by another replica: both are looked at again when their event comes.
      if (!hasCode(error, "API_NOT_FOUND") && !hasCode(error, "API_ALREADY_EXISTS")) throw error;
    }
  }
}

/**
 * A JSON patch that sets the bundle in every webhook that lacks it; undefined when all have it. Validation begins with
 * failures ignored, so that an installation can come up, and is closed once somebody answers, as Istio does it.
 */
function webhookPatch(object: KubernetesObject, caBundle: string): unknown[] | undefined {
  const webhooks = object["webhooks"];
  if (!Array.isArray(webhooks)) return undefined;
  const isValidating = object.kind === validating.kind;
  const operations = (webhooks as { clientConfig?: { caBundle?: string }; failurePolicy?: string }[]).flatMap(
    ({ clientConfig, failurePolicy }, index) => {
      if (clientConfig === undefined) return [];
      const at = `/webhooks/${index}`;
      return [
        ...(clientConfig.caBundle === caBundle
          ? []
          : [{ op: "add", path: `${at}/clientConfig/caBundle`, value: caBundle }]),
        ...(isValidating && failurePolicy === "Ignore"
          ? [{ op: "replace", path: `${at}/failurePolicy`, value: "Fail" }]
          : []),
      ];
    },
  );
  return operations.length === 0 ? undefined : operations;
}
