// Carries the CA's root to where it is needed: ConfigMap `istio-ca-root-cert` in every namespace (or a
// ClusterTrustBundle), and the caBundle of the admission webhooks; and its revocation lists to ConfigMap `istio-ca-crl`.
// Level-triggered: it compares what is there with what should be, so a restart, a second
// replica or a user's deletion is nothing special.
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { Logger } from "#base/log/log.ts";
import { Backoff } from "#base/time/backoff.ts";
import type { Clock } from "#base/time/clock.ts";
import { type CatalogEntry, catalogKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { KubernetesClient } from "../sources/kubernetes/client.ts";
import { Reflector } from "../sources/kubernetes/reflector.ts";
import type { CertificateAuthority } from "./authority.ts";
import { NamespaceText } from "./namespace-text.ts";
import type { RevocationLists } from "./revocation-lists.ts";
import { TrustBundle } from "./trust-bundle.ts";

export interface RootDistributionOptions {
  readonly client: KubernetesClient;
  readonly authority: CertificateAuthority;
  /** Names of MutatingWebhookConfigurations and ValidatingWebhookConfigurations whose caBundle is ours. */
  readonly mutatingWebhooks: readonly string[];
  readonly validatingWebhooks: readonly string[];
  /** Absent where no lists are given out. */
  readonly revocations?: Pick<RevocationLists, "pem" | "onChange">;
  /** Roots are a ClusterTrustBundle in place of ConfigMaps (ENABLE_CLUSTER_TRUST_BUNDLE_API). */
  readonly usesTrustBundle?: boolean;
  readonly log: Logger;
  readonly clock: Clock;
}

const namespaces = catalogKind("v1", "Namespace");
const configMaps = catalogKind("v1", "ConfigMap");
const mutating = catalogKind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration");
const validating = catalogKind("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration");

export class RootDistribution implements Running {
  readonly #options: RootDistributionOptions;
  readonly #reflectors: Reflector[];
  readonly #namespaces = new Set<string>();
  readonly #texts: readonly NamespaceText[];
  readonly #bundle: TrustBundle | undefined;
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
    const { client, clock, authority, revocations, usesTrustBundle = false } = options;
    const roots = (): string => authority.rootCertificates;
    const rootText = { configMap: "istio-ca-root-cert", key: "root-cert.pem", what: "root certificates", text: roots };
    this.#bundle = usesTrustBundle ? new TrustBundle(client, roots) : undefined;
    this.#texts = [
      ...(usesTrustBundle ? [] : [rootText]),
      ...(revocations === undefined
        ? []
        : [{ configMap: "istio-ca-crl", key: "ca-crl.pem", what: "revocation lists", text: () => revocations.pem }]),
    ].map((text) => new NamespaceText({ client, clock, ...text }));
    this.#reflectors = [
      this.#watchNamespaces(),
      ...this.#texts.map((text) => this.#watch(configMaps, text, text.fieldSelector)),
      ...(this.#bundle === undefined ? [] : [this.#watch(this.#bundle.kind, this.#bundle, this.#bundle.fieldSelector)]),
      ...this.#watchWebhooks(),
    ];
    this.#unsubscribe = authority.onChange(() => this.#reconcile());
    revocations?.onChange(() => this.#reconcile());
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
        for (const text of this.#texts) text.forget(object.metadata.name);
      },
    });
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
      let failed = await this.#writeTexts();
      const bundle = this.#bundle;
      if (bundle?.isDue === true && !(await this.#try("the ClusterTrustBundle", () => bundle.write()))) failed++;
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

  /** How many could not be written. */
  async #writeTexts(): Promise<number> {
    let failed = 0;
    for (const text of this.#texts) {
      for (const namespace of this.#namespaces) {
        if (!text.isDue(namespace)) continue;
        const isContested = text.isContested(namespace);
        if (isContested) {
          this.#options.log.warn(`somebody else writes other ${text.what}; they are written again later`, {
            namespace,
          });
        }
        if (isContested || !(await this.#try(`namespace ${namespace}`, () => text.write(namespace)))) failed++;
      }
    }
    return failed;
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
      this.#options.log.warn("what the CA gives out could not be written", { place, error: describeError(error) });
      return false;
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
