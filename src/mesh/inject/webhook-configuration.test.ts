import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type KubernetesSelector, matchesKubernetesSelector } from "../objects/fields/selector.ts";
import { injectionWebhookConfiguration, type WebhookOptions } from "./webhook-configuration.ts";

interface Webhook {
  readonly name: string;
  readonly namespaceSelector: KubernetesSelector;
  readonly objectSelector: KubernetesSelector;
}

type Labels = Record<string, string>;

/** The entries that a pod's creation reaches. */
function reached(namespace: Labels, pod: Labels, options: WebhookOptions = {}): string[] {
  const webhooks = injectionWebhookConfiguration(options)["webhooks"] as readonly Webhook[];
  return webhooks
    .filter(
      (webhook) =>
        matchesKubernetesSelector(webhook.namespaceSelector, namespace) &&
        matchesKubernetesSelector(webhook.objectSelector, pod),
    )
    .map((webhook) => webhook.name.replace(".sidecar-injector.istio.io", ""));
}

const inject = "sidecar.istio.io/inject";

describe("the injection webhook", () => {
  const rows: readonly [string, Labels, Labels, string[]][] = [
    ["namespace enabled", { "istio-injection": "enabled" }, {}, ["namespace"]],
    ["namespace enabled, pod false", { "istio-injection": "enabled" }, { [inject]: "false" }, []],
    ["namespace disabled blocks even pod true", { "istio-injection": "disabled" }, { [inject]: "true" }, []],
    ["namespace by revision", { "istio.io/rev": "default" }, {}, ["rev.namespace"]],
    ["namespace of another revision", { "istio.io/rev": "canary" }, {}, []],
    ["istio-injection wins over rev", { "istio-injection": "enabled", "istio.io/rev": "canary" }, {}, ["namespace"]],
    ["pod true in a namespace without labels", {}, { [inject]: "true" }, ["object"]],
    ["pod of this revision", {}, { "istio.io/rev": "default" }, ["rev.object"]],
    ["nothing asks for it", {}, {}, []],
  ];
  for (const [name, namespace, pod, expected] of rows) {
    test(name, () => assert.deepEqual(reached(namespace, pod), expected));
  }

  test("namespaces by default leaves system namespaces out", () => {
    const options = { enableNamespacesByDefault: true };
    assert.deepEqual(reached({ "kubernetes.io/metadata.name": "shop" }, {}, options), ["auto"]);
    assert.deepEqual(reached({ "kubernetes.io/metadata.name": "kube-system" }, {}, options), []);
  });

  test("a revision has its own names and only its own entries", () => {
    const configuration = injectionWebhookConfiguration({ revision: "canary", caBundle: "Q0E=" });
    assert.equal(configuration.metadata.name, "istio-sidecar-injector-canary");
    const [first] = configuration["webhooks"] as readonly { clientConfig: unknown }[];
    assert.deepEqual(first?.clientConfig, {
      service: { name: "istiod-canary", namespace: "istio-system", path: "/inject", port: 443 },
      caBundle: "Q0E=",
    });
    assert.deepEqual(reached({ "istio-injection": "enabled" }, {}, { revision: "canary" }), []);
    assert.deepEqual(reached({ "istio.io/rev": "canary" }, {}, { revision: "canary" }), ["rev.namespace"]);
  });

  test("a tag stands in the selectors and calls its revision", () => {
    const options = { revision: "canary", tag: "prod" };
    assert.equal(injectionWebhookConfiguration(options).metadata.name, "istio-revision-tag-prod");
    assert.deepEqual(reached({ "istio.io/rev": "prod" }, {}, options), ["rev.namespace"]);
  });
});
