// Webhooks of the stored configurations, and which of them a request concerns.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, type JsonRecord } from "../../store/json.ts";
import { mutatingWebhooks, namespaces, validatingWebhooks } from "../../store/resources.ts";
import { labelsOf, matchesLabelSelector } from "../../store/selector.ts";
import type { ObjectStore } from "../../store/store.ts";
import type { Attributes } from "../attributes.ts";
import { readSelector } from "../validate/selector.ts";

export interface Webhook {
  readonly name: string;
  /** Tells configurations apart in logs. */
  readonly configuration: string;
  readonly url: string | undefined;
  readonly service: WebhookService | undefined;
  readonly caBundle: string | undefined;
  readonly timeoutMs: number;
  readonly ignoresFailure: boolean;
  readonly hasSideEffects: boolean;
  readonly isExact: boolean;
  readonly rules: readonly JsonRecord[];
  readonly namespaceSelector: unknown;
  readonly objectSelector: unknown;
}

export interface WebhookService {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  readonly path: string;
}

/** A webhook to call, and the version in which it wants the object. */
export interface MatchedWebhook {
  readonly webhook: Webhook;
  readonly version: string;
}

/** The webhooks that the request concerns, in the order in which they are called. */
export function matchingWebhooks(
  store: ObjectStore,
  type: "mutating" | "validating",
  attributes: Attributes,
): readonly MatchedWebhook[] {
  // A broken webhook must never keep anybody from repairing it.
  if (attributes.entry.group === "admissionregistration.k8s.io") return [];
  const resource = type === "mutating" ? mutatingWebhooks : validatingWebhooks;
  const matched: MatchedWebhook[] = [];
  for (const configuration of store.list(resource).items) {
    for (const webhook of webhooksOf(configuration)) {
      const version = matchedVersion(webhook, attributes);
      if (version === undefined || !matchesSelectors(store, webhook, attributes)) continue;
      matched.push({ webhook, version });
    }
  }
  return matched;
}

const parsedByConfiguration = new WeakMap<KubernetesObject, readonly Webhook[]>();

function webhooksOf(configuration: KubernetesObject): readonly Webhook[] {
  let webhooks = parsedByConfiguration.get(configuration);
  if (webhooks === undefined) {
    webhooks = asArray(configuration["webhooks"]).map((item) => parse(configuration.metadata.name, asRecord(item)));
    parsedByConfiguration.set(configuration, webhooks);
  }
  return webhooks;
}

function parse(configuration: string, item: JsonRecord): Webhook {
  const client = asRecord(item["clientConfig"]);
  const service = asRecord(client["service"]);
  const caBundle = typeof client["caBundle"] === "string" ? Buffer.from(client["caBundle"], "base64").toString() : "";
  return {
    name: String(item["name"]),
    configuration,
    url: typeof client["url"] === "string" ? client["url"] : undefined,
    service:
      client["service"] === undefined
        ? undefined
        : {
            namespace: String(service["namespace"]),
            name: String(service["name"]),
            port: Number(service["port"] ?? 443),
            path: typeof service["path"] === "string" ? service["path"] : "/",
          },
    caBundle: caBundle.includes("BEGIN CERTIFICATE") ? caBundle : undefined,
    timeoutMs: Number(item["timeoutSeconds"] ?? 10) * 1000,
    ignoresFailure: item["failurePolicy"] === "Ignore",
    hasSideEffects: item["sideEffects"] !== "None" && item["sideEffects"] !== "NoneOnDryRun",
    isExact: item["matchPolicy"] === "Exact",
    rules: asArray(item["rules"]).map(asRecord),
    namespaceSelector: item["namespaceSelector"],
    objectSelector: item["objectSelector"],
  };
}

function matchedVersion(webhook: Webhook, attributes: Attributes): string | undefined {
  const { entry, operation } = attributes;
  const requested = attributes.version ?? entry.versions[0] ?? "";
  const versions = webhook.isExact ? [requested] : [requested, ...entry.versions];
  for (const rule of webhook.rules) {
    const isConcerned =
      includesOrAny(rule["operations"], operation) &&
      includesOrAny(rule["apiGroups"], entry.group) &&
      matchesScope(rule["scope"], entry.namespaced) &&
      asArray(rule["resources"]).some((resource) => matchesResource(String(resource), attributes));
    if (!isConcerned) continue;
    const version = versions.find((candidate) => includesOrAny(rule["apiVersions"], candidate));
    if (version !== undefined) return version;
  }
  return undefined;
}

function includesOrAny(list: unknown, value: string): boolean {
  return asArray(list).some((item) => item === "*" || item === value);
}

function matchesScope(scope: unknown, isNamespaced: boolean): boolean {
  return scope === undefined || scope === "*" || (scope === "Namespaced") === isNamespaced;
}

function matchesResource(pattern: string, { entry, subresource }: Attributes): boolean {
  const [resource = "", sub] = pattern.split("/");
  const isResource = resource === "*" || resource === entry.plural;
  return isResource && (sub === undefined ? subresource === undefined : sub === "*" || sub === subresource);
}

function matchesSelectors(store: ObjectStore, webhook: Webhook, attributes: Attributes): boolean {
  const candidates = [attributes.object, attributes.oldObject].filter((object) => object !== undefined);
  const selector = readSelector(webhook.objectSelector);
  if (!candidates.some((object) => matchesLabelSelector(selector, labelsOf(object)))) return false;
  const namespaceSelector = readSelector(webhook.namespaceSelector);
  if (attributes.entry.kind === "Namespace") {
    return matchesLabelSelector(namespaceSelector, candidates[0] === undefined ? {} : labelsOf(candidates[0]));
  }
  if (!attributes.entry.namespaced) return true;
  const namespace = store.get(namespaces, "", attributes.namespace);
  return matchesLabelSelector(namespaceSelector, namespace === undefined ? {} : labelsOf(namespace));
}
