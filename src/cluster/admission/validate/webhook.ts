// What a webhook configuration must have so that it can be called. CEL conditions are not evaluated: they are refused
// rather than ignored.

import { asArray, asRecord, isRecord, type JsonRecord } from "../../store/json.ts";
import { oneOf, whole } from "./pod.ts";
import type { Problems } from "./problems.ts";
import { validateSelector } from "./selector.ts";

export function validateWebhooks(object: JsonRecord, _stored: JsonRecord | undefined, problems: Problems): void {
  const webhooks = object["webhooks"];
  if (webhooks !== undefined && !Array.isArray(webhooks))
    return problems.invalid("webhooks", webhooks, "must be a list");
  const names = new Set<unknown>();
  for (const [index, item] of asArray(webhooks).entries()) {
    const webhook = asRecord(item);
    const path = `webhooks[${index}]`;
    const name = webhook["name"];
    if (typeof name !== "string" || name === "") problems.required(`${path}.name`);
    if (names.has(name)) problems.invalid(`${path}.name`, name, "another webhook has this name");
    names.add(name);
    oneOf(webhook["failurePolicy"], ["Fail", "Ignore"], `${path}.failurePolicy`, problems);
    whole(webhook["timeoutSeconds"], 1, 30, `${path}.timeoutSeconds`, problems);
    validateSelector(webhook["namespaceSelector"], `${path}.namespaceSelector`, problems);
    validateSelector(webhook["objectSelector"], `${path}.objectSelector`, problems);
    if (!asArray(webhook["admissionReviewVersions"]).includes("v1")) {
      problems.invalid(`${path}.admissionReviewVersions`, webhook["admissionReviewVersions"], "must include v1");
    }
    if (asArray(webhook["matchConditions"]).length > 0) {
      problems.forbidden(`${path}.matchConditions`, "match conditions are not supported");
    }
    validateClient(asRecord(webhook["clientConfig"]), `${path}.clientConfig`, problems);
  }
}

function validateClient(client: JsonRecord, path: string, problems: Problems): void {
  const { url, service } = client;
  if ((url === undefined) === (service === undefined)) problems.required(`${path}: exactly one of url or service`);
  if (url !== undefined && !(typeof url === "string" && URL.canParse(url) && url.startsWith("https://"))) {
    problems.invalid(`${path}.url`, url, "must be an https URL");
  }
  if (service === undefined) return;
  if (!isRecord(service) || typeof service["name"] !== "string" || typeof service["namespace"] !== "string") {
    problems.required(`${path}.service.name and namespace`);
  }
}
