// Which injection webhooks reach a pod, and why: the selectors of every MutatingWebhookConfiguration of Istio's, as
// `istioctl x check-inject` reads them.
import { type KubernetesSelector, type Labels, matchesKubernetesSelector } from "#mesh/objects/fields/selector.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { renderTable } from "../../render/table.ts";

export interface WebhookMatch {
  readonly webhook: string;
  readonly revision: string;
  readonly injected: boolean;
  readonly reason: string;
}

interface Webhook {
  readonly name: string;
  readonly namespaceSelector?: KubernetesSelector;
  readonly objectSelector?: KubernetesSelector;
}

export function webhookMatches(
  configurations: readonly KubernetesObject[],
  podLabels: Labels,
  namespaceLabels: Labels,
): WebhookMatch[] {
  return configurations
    .filter((configuration) => webhooksOf(configuration).some(({ name }) => name.endsWith("istio.io")))
    .map((configuration) => ({
      webhook: configuration.metadata.name,
      revision: configuration.metadata.labels?.["istio.io/rev"] ?? "",
      ...matchOf(webhooksOf(configuration), podLabels, namespaceLabels),
    }))
    .sort((a, b) => (a.webhook < b.webhook ? -1 : 1));
}

function webhooksOf(configuration: KubernetesObject): readonly Webhook[] {
  const webhooks = configuration["webhooks"];
  return Array.isArray(webhooks) ? (webhooks as Webhook[]) : [];
}

function matchOf(
  webhooks: readonly Webhook[],
  podLabels: Labels,
  namespaceLabels: Labels,
): Pick<WebhookMatch, "injected" | "reason"> {
  for (const { namespaceSelector = {}, objectSelector = {} } of webhooks) {
    const namespaceMatches = matchesKubernetesSelector(namespaceSelector, namespaceLabels);
    const podMatches = matchesKubernetesSelector(objectSelector, podLabels);
    if (namespaceMatches && podMatches) {
      return {
        injected: true,
        reason: whyBoth(labelIn(namespaceSelector, namespaceLabels), labelIn(objectSelector, podLabels)),
      };
    }
    if (namespaceMatches) {
      const label = preventing(objectSelector, podLabels);
      if (label !== undefined) return { injected: false, reason: `Pod has ${label} label, preventing injection` };
    }
    const ofNamespace = namespaceLabels["istio-injection"];
    if (podMatches && ofNamespace !== undefined && ofNamespace !== "enabled") {
      return { injected: false, reason: `Namespace has istio-injection=${ofNamespace} label, preventing injection` };
    }
  }
  const wanted = (selector: (webhook: Webhook) => KubernetesSelector | undefined): string =>
    webhooks.flatMap((webhook) => wantedLabels(selector(webhook) ?? {})).join(", ");
  const namespaces = wanted(({ namespaceSelector }) => namespaceSelector);
  const pods = wanted(({ objectSelector }) => objectSelector);
  return { injected: false, reason: `No matching namespace labels (${namespaces}) or pod labels (${pods})` };
}

function whyBoth(namespaceLabel: string | undefined, podLabel: string | undefined): string {
  if (namespaceLabel !== undefined && podLabel !== undefined) {
    return `Namespace label ${namespaceLabel} matches, and pod label ${podLabel} matches`;
  }
  if (namespaceLabel !== undefined) return `Namespace label ${namespaceLabel} matches`;
  return podLabel === undefined ? "The webhook takes every pod" : `Pod label ${podLabel} matches`;
}

/** The label of an expression that asks for values. */
function labelIn({ matchExpressions = [], matchLabels = {} }: KubernetesSelector, labels: Labels): string | undefined {
  const asked = [
    ...matchExpressions.filter(({ operator }) => operator === "In" || operator === "NotIn").map(({ key }) => key),
    ...Object.keys(matchLabels),
  ];
  const key = asked.find((name) => labels[name] !== undefined);
  return key === undefined ? undefined : `${key}=${labels[key]}`;
}

function preventing({ matchExpressions = [] }: KubernetesSelector, labels: Labels): string | undefined {
  for (const { key, operator, values = [] } of matchExpressions) {
    const value = labels[key];
    if (value === undefined) continue;
    if (operator === "DoesNotExist" || (operator === "NotIn" && values.includes(value))) return `${key}=${value}`;
  }
  return undefined;
}

function wantedLabels({ matchExpressions = [], matchLabels = {} }: KubernetesSelector): string[] {
  return [
    ...matchExpressions
      .filter(({ operator }) => operator === "In")
      .flatMap(({ key, values = [] }) => values.map((value) => `${key}=${value}`)),
    ...Object.entries(matchLabels).map(([key, value]) => `${key}=${value}`),
  ];
}

/** What is wrong: nobody injects anything, or several do. */
export function problemOf(matches: readonly WebhookMatch[]): string | undefined {
  if (matches.length === 0) return "ERROR: no Istio injection hooks present.";
  const many = matches.filter(({ injected }) => injected).length > 1;
  return many ? "ERROR: multiple webhooks will inject, which can lead to errors" : undefined;
}

export function renderMatches(matches: readonly WebhookMatch[]): string {
  if (matches.length === 0) return "";
  const rows = matches.map(({ webhook, revision, injected, reason }) => [
    webhook,
    revision,
    injected ? "✔" : "✘",
    reason,
  ]);
  return renderTable(["WEBHOOK", "REVISION", "INJECTED", "REASON"], rows);
}
