// Runs a request through the mutating webhooks one after the other, and through the validating ones all at once.

import type { Agent } from "node:https";
import { describeError, OutriggerError } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { apiError, apiErrors } from "../../store/errors.ts";
import { asArray, asRecord, isRecord, type JsonRecord } from "../../store/json.ts";
import { applyJsonPatch } from "../../store/json-patch.ts";
import type { ObjectStore } from "../../store/store.ts";
import type { Attributes } from "../attributes.ts";
import { callWebhook } from "./call.ts";
import { type MatchedWebhook, matchingWebhooks, type Webhook } from "./webhook.ts";

export interface WebhookRunner {
  readonly store: ObjectStore;
  readonly agent: Agent;
  readonly log: Logger;
}

/** The object as the webhooks left it. Throws what a webhook refused with, or INTERNAL when one that must answer did not. */
export async function runMutatingWebhooks(runner: WebhookRunner, attributes: Attributes): Promise<KubernetesObject> {
  let object = objectOf(attributes);
  for (const matched of matchingWebhooks(runner.store, "mutating", attributes)) {
    const response = await ask(runner, matched, { ...attributes, object });
    if (response !== undefined) object = patched(object, response, matched.webhook);
  }
  return object;
}

export async function runValidatingWebhooks(runner: WebhookRunner, attributes: Attributes): Promise<void> {
  const matched = matchingWebhooks(runner.store, "validating", attributes);
  await Promise.all(matched.map((webhook) => ask(runner, webhook, attributes)));
}

function objectOf(attributes: Attributes): KubernetesObject {
  if (attributes.object === undefined) throw apiError("INTERNAL", "a mutating webhook needs an object");
  return attributes.object;
}

/** The response of a webhook that allows; undefined when it failed and may be ignored. */
async function ask(
  runner: WebhookRunner,
  matched: MatchedWebhook,
  attributes: Attributes,
): Promise<JsonRecord | undefined> {
  const { webhook } = matched;
  if (attributes.dryRun === true && webhook.hasSideEffects) {
    throw apiError("BAD_REQUEST", `admission webhook "${webhook.name}" does not support dry run`);
  }
  let response: JsonRecord;
  try {
    response = await callWebhook(runner.store, runner.agent, matched, attributes);
  } catch (error) {
    const message = `failed calling webhook "${webhook.name}": ${describeError(error)}`;
    if (!webhook.ignoresFailure) throw apiError("INTERNAL", `Internal error occurred: ${message}`, error);
    runner.log.warn(message, { configuration: webhook.configuration });
    return undefined;
  }
  for (const warning of asArray(response["warnings"])) attributes.onWarning?.(String(warning));
  if (response["allowed"] === true) return response;
  throw denial(webhook, asRecord(response["status"]));
}

function denial(webhook: Webhook, status: JsonRecord): OutriggerError {
  const reason = status["message"] ?? status["reason"];
  const message = `admission webhook "${webhook.name}" denied the request`;
  const code = Object.entries(apiErrors).find(([, [httpStatus]]) => httpStatus === status["code"])?.[0] ?? "FORBIDDEN";
  return new OutriggerError(code, reason ? `${message}: ${String(reason)}` : `${message} without explanation`);
}

function patched(object: KubernetesObject, response: JsonRecord, webhook: Webhook): KubernetesObject {
  if (typeof response["patch"] !== "string" || response["patch"] === "") return object;
  if (response["patchType"] !== "JSONPatch") {
    throw apiError("INTERNAL", `webhook "${webhook.name}" answered with an unknown patch type`);
  }
  const operations: unknown = JSON.parse(Buffer.from(response["patch"], "base64").toString("utf8"));
  const result = applyJsonPatch(object, operations);
  if (!isRecord(result) || !isRecord(result["metadata"])) {
    throw apiError("INTERNAL", `webhook "${webhook.name}" left no object`);
  }
  // What the object is, is not the webhook's to change.
  const { name, namespace, ...metadata } = object.metadata;
  const identity = { name, ...(namespace === undefined ? {} : { namespace }) };
  return {
    ...result,
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: { ...metadata, ...result["metadata"], ...identity },
  };
}
