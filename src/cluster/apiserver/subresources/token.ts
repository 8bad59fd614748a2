// TokenRequest: a token for a service account, on request.

import { apiError } from "../../store/errors.ts";
import { asArray, asRecord, fieldAt } from "../../store/json.ts";
import { named, type ResourceCall } from "../call.ts";
import { readRecord, sendJson } from "../exchange.ts";

const minExpirationSeconds = 600;

export async function requestToken(call: ResourceCall): Promise<void> {
  const { context, exchange, path } = call;
  const account = named(call);
  const request = await readRecord(exchange.request);
  const spec = asRecord(request["spec"]);
  const expirationSeconds = Number(spec["expirationSeconds"] ?? 3600);
  if (!Number.isInteger(expirationSeconds) || expirationSeconds < minExpirationSeconds) {
    throw apiError("INVALID", `spec.expirationSeconds: Invalid value: must be at least ${minExpirationSeconds}`);
  }
  const bound = spec["boundObjectRef"];
  if (bound !== undefined && fieldAt(bound, "kind") !== "Pod") {
    throw apiError("INVALID", "spec.boundObjectRef.kind: Unsupported value: only Pod is supported");
  }
  const name = String(fieldAt(bound, "name") ?? "");
  const pod = bound === undefined ? undefined : { name, uid: podUid(call, name, fieldAt(bound, "uid")) };
  const audiences = asArray(spec["audiences"]).map(String);
  const issued = context.tokens.issue({
    namespace: path.namespace,
    serviceAccount: account.metadata.name,
    expirationSeconds,
    ...(audiences.length === 0 ? {} : { audiences }),
    ...(pod === undefined ? {} : { boundPod: pod }),
  });
  sendJson(exchange.response, 201, {
    kind: "TokenRequest",
    apiVersion: "authentication.k8s.io/v1",
    metadata: { name: account.metadata.name, namespace: path.namespace },
    spec: { ...spec, expirationSeconds },
    status: { token: issued.token, expirationTimestamp: issued.expirationTimestamp },
  });
}

function podUid(call: ResourceCall, name: string, uid: unknown): string {
  if (typeof uid === "string" && uid !== "") return uid;
  const pod = call.context.store.get({ group: "", plural: "pods" }, call.path.namespace, name);
  if (pod?.metadata.uid === undefined) throw apiError("NOT_FOUND", `pods "${name}" not found`);
  return pod.metadata.uid;
}
