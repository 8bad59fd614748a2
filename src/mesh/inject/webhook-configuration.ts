// The MutatingWebhookConfiguration through which an API server asks the injector: which namespaces and pods reach it.

import type { KubernetesSelector } from "../objects/fields/selector.ts";
import type { KubernetesObject } from "../objects/kubernetes-object.ts";
import { systemNamespaces } from "./should-inject.ts";

export interface WebhookOptions {
  /** Default `default`, which also answers to `istio-injection: enabled`. */
  readonly revision?: string;
  /** Namespace of the control plane. Default `istio-system`. */
  readonly namespace?: string;
  /** Base64 of the PEM bundle; filled in by the control plane when it is not known yet. */
  readonly caBundle?: string;
  /** Call a URL instead of the Service. */
  readonly url?: string;
  /** Default `/inject`. */
  readonly path?: string;
  readonly enableNamespacesByDefault?: boolean;
  readonly reinvocationPolicy?: "Never" | "IfNeeded";
  /** A revision tag: its name stands in the selectors, the webhook calls the revision. */
  readonly tag?: string;
}

const revisionLabel = "istio.io/rev";
const namespaceLabel = "istio-injection";
const podLabel = "sidecar.istio.io/inject";

type Expression = NonNullable<KubernetesSelector["matchExpressions"]>[number];

export function injectionWebhookConfiguration(options: WebhookOptions = {}): KubernetesObject {
  const { revision = "default", tag } = options;
  const name = tag ?? revision;
  const webhooks = [
    entry("rev.namespace.", options, [is(revisionLabel, name), absent(namespaceLabel)], [isNot(podLabel, "false")]),
    entry(
      "rev.object.",
      options,
      [absent(revisionLabel), absent(namespaceLabel)],
      [isNot(podLabel, "false"), is(revisionLabel, name)],
    ),
  ];
  if (name === "default") {
    webhooks.push(
      entry("namespace.", options, [is(namespaceLabel, "enabled")], [isNot(podLabel, "false")]),
      entry(
        "object.",
        options,
        [absent(namespaceLabel), absent(revisionLabel)],
        [is(podLabel, "true"), absent(revisionLabel)],
      ),
    );
    if (options.enableNamespacesByDefault === true) webhooks.push(autoEntry(options));
  }
  return {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "MutatingWebhookConfiguration",
    metadata: {
      name: configurationName(options),
      labels: {
        app: "sidecar-injector",
        "istio.io/rev": revision,
        ...(tag !== undefined && { "istio.io/tag": tag }),
      },
    },
    webhooks,
  };
}

function autoEntry(options: WebhookOptions): object {
  return entry(
    "auto.",
    options,
    [
      absent(namespaceLabel),
      absent(revisionLabel),
      { key: "kubernetes.io/metadata.name", operator: "NotIn", values: systemNamespaces },
    ],
    [absent(podLabel), absent(revisionLabel)],
  );
}

function configurationName({ revision = "default", namespace = "istio-system", tag }: WebhookOptions): string {
  if (tag !== undefined) return `istio-revision-tag-${tag}`;
  const parts = ["istio-sidecar-injector"];
  if (revision !== "default") parts.push(revision);
  if (namespace !== "istio-system") parts.push(namespace);
  return parts.join("-");
}

function entry(
  prefix: string,
  options: WebhookOptions,
  namespaceSelector: readonly Expression[],
  objectSelector: readonly Expression[],
): object {
  const { revision = "default", namespace = "istio-system", path = "/inject" } = options;
  const service = {
    name: revision === "default" ? "istiod" : `istiod-${revision}`,
    namespace,
    path,
    port: 443,
  };
  return {
    name: `${prefix}sidecar-injector.istio.io`,
    clientConfig: {
      ...(options.url === undefined ? { service } : { url: options.url }),
      ...(options.caBundle !== undefined && { caBundle: options.caBundle }),
    },
    sideEffects: "None",
    admissionReviewVersions: ["v1"],
    failurePolicy: "Fail",
    reinvocationPolicy: options.reinvocationPolicy ?? "Never",
    rules: [{ operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"] }],
    namespaceSelector: { matchExpressions: namespaceSelector },
    objectSelector: { matchExpressions: objectSelector },
  };
}

const is = (key: string, value: string): Expression => ({ key, operator: "In", values: [value] });
const isNot = (key: string, value: string): Expression => ({ key, operator: "NotIn", values: [value] });
const absent = (key: string): Expression => ({ key, operator: "DoesNotExist" });
