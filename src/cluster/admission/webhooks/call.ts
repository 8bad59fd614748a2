// Sends one AdmissionReview (admission.k8s.io/v1) to a webhook over TLS that is verified with its CA bundle.

import { randomUUID } from "node:crypto";
import { Agent, request } from "node:https";
import { isIP } from "node:net";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { apiError } from "../../store/errors.ts";
import { asRecord, type JsonRecord } from "../../store/json.ts";
import type { ObjectStore } from "../../store/store.ts";
import type { Attributes } from "../attributes.ts";
import { endpointOf } from "./address.ts";
import type { MatchedWebhook, Webhook } from "./webhook.ts";

const maxResponseBytes = 8 * 1024 * 1024;

/** Connections to webhooks are kept for a while; Node keeps those with different CAs apart. */
export function webhookAgent(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 64, maxFreeSockets: 8, timeout: 30_000, minVersion: "TLSv1.2" });
}

/** The `response` of the review. Throws when the webhook cannot be reached or answers something else. */
export async function callWebhook(
  store: ObjectStore,
  agent: Agent,
  matched: MatchedWebhook,
  attributes: Attributes,
): Promise<JsonRecord> {
  const { webhook } = matched;
  const uid = randomUUID();
  const body = Buffer.from(JSON.stringify(admissionReview(uid, matched, attributes)));
  const target = targetOf(store, webhook);
  const answer = asRecord(JSON.parse(await post(agent, webhook, target, body)));
  const response = asRecord(answer["response"]);
  if (response["uid"] !== uid) throw apiError("INTERNAL", "the answer's uid is not the request's");
  return response;
}

interface Target {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly serverName: string;
  /** As people know it, for messages. */
  readonly shown: string;
}

function targetOf(store: ObjectStore, webhook: Webhook): Target {
  if (webhook.service !== undefined) {
    const { name, namespace, port, path } = webhook.service;
    const serverName = `${name}.${namespace}.svc`;
    const shown = `https://${serverName}:${port}${path}`;
    return { ...endpointOf(store, webhook.service), path, serverName, shown };
  }
  const url = new URL(webhook.url ?? "");
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const shown = `${url.origin}${url.pathname}`;
  return { host, port: Number(url.port || 443), path: `${url.pathname}${url.search}`, serverName: host, shown };
}

async function post(agent: Agent, webhook: Webhook, target: Target, body: Buffer): Promise<string> {
  try {
    return await postOnce(agent, webhook, target, body);
  } catch (error) {
    // The webhook may close a kept connection at the moment in which it is used again: that is no failure of it.
    if (error instanceof StaleConnection) return postOnce(agent, webhook, target, body);
    throw error;
  }
}

class StaleConnection extends Error {}

function postOnce(agent: Agent, webhook: Webhook, target: Target, body: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string, cause?: unknown): void =>
      reject(apiError("INTERNAL", `failed to call webhook: Post "${target.shown}": ${reason}`, cause));
    const outgoing = request({
      agent,
      host: target.host,
      port: target.port,
      path: target.path,
      method: "POST",
      ...(isIP(target.serverName) === 0 ? { servername: target.serverName } : {}),
      ...(webhook.caBundle === undefined ? {} : { ca: webhook.caBundle }),
      headers: { host: target.serverName, "content-type": "application/json", "content-length": body.length },
      signal: AbortSignal.timeout(webhook.timeoutMs),
    });
    outgoing.on("error", (error) => {
      if (outgoing.reusedSocket && "code" in error && error.code === "ECONNRESET") reject(new StaleConnection());
      else if (error.name === "TimeoutError" || error.name === "AbortError") fail("context deadline exceeded");
      else fail(error.message, error);
    });
    outgoing.on("response", (incoming) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      incoming.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > maxResponseBytes) outgoing.destroy(new Error("the answer is too large"));
        else chunks.push(chunk);
      });
      incoming.on("error", (error) => fail(error.message, error));
      incoming.on("end", () => {
        if (incoming.statusCode === 200) resolve(Buffer.concat(chunks).toString("utf8"));
        else fail(`status ${incoming.statusCode}: ${Buffer.concat(chunks).toString("utf8").slice(0, 200)}`);
      });
    });
    outgoing.end(body);
  });
}

function admissionReview(uid: string, { version }: MatchedWebhook, attributes: Attributes): JsonRecord {
  const { entry, user, operation, namespace, name, subresource } = attributes;
  const kind = { group: entry.group, version, kind: entry.kind };
  const resource = { group: entry.group, version, resource: entry.plural };
  const requestVersion = attributes.version ?? version;
  const apiVersion = entry.group === "" ? version : `${entry.group}/${version}`;
  const inVersion = (object: KubernetesObject | undefined): unknown =>
    object === undefined ? null : { ...object, apiVersion };
  return {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: {
      uid,
      kind,
      resource,
      ...(subresource === undefined ? {} : { subResource: subresource }),
      requestKind: { ...kind, version: requestVersion },
      requestResource: { ...resource, version: requestVersion },
      ...(name === "" ? {} : { name }),
      ...(namespace === "" ? {} : { namespace }),
      operation,
      userInfo: { username: user.username, uid: user.uid, groups: user.groups, extra: user.extra },
      object: inVersion(attributes.object),
      oldObject: inVersion(attributes.oldObject),
      dryRun: attributes.dryRun ?? false,
      options: { kind: `${operation[0]}${operation.slice(1).toLowerCase()}Options`, apiVersion: "meta.k8s.io/v1" },
    },
  };
}
