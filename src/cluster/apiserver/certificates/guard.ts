// What the API does to writes of certificates.k8s.io besides admission: a request is its sender's, whatever it says;
// only who may approve approves, only who may sign writes certificates, and only who may attest publishes a signer's roots.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { splitCertificates } from "#wire/x509/pem.ts";
import { apiError } from "../../store/errors.ts";
import { asArray, asRecord, fieldAt, type JsonRecord, jsonEqual } from "../../store/json.ts";
import { formatResource, signingRequests, trustBundles } from "../../store/resources.ts";
import type { ResourceCall } from "../call.ts";
import { checkSigner } from "./signers.ts";

const decisions: readonly unknown[] = ["Approved", "Denied"];

/** The object as it may be written in place of the stored one. Throws FORBIDDEN and INVALID. */
export function guarded(call: ResourceCall, next: KubernetesObject, stored?: KubernetesObject): KubernetesObject {
  switch (formatResource(call.entry)) {
    case formatResource(signingRequests):
      return guardedRequest(call, next, stored);
    case formatResource(trustBundles):
      checkBundle(call, next);
      return next;
    default:
      return next;
  }
}

function checkBundle({ context, exchange }: ResourceCall, bundle: KubernetesObject): void {
  const signerName = fieldAt(bundle, "spec", "signerName");
  if (typeof signerName === "string" && signerName !== "") {
    checkSigner(context.store, exchange.user, "attest", signerName);
  }
}

function guardedRequest(
  call: ResourceCall,
  next: KubernetesObject,
  stored: KubernetesObject | undefined,
): KubernetesObject {
  if (stored === undefined) return { ...next, spec: specOf(call, asRecord(next["spec"])) };
  const status = asRecord(next["status"]);
  switch (call.path.subresource) {
    case "approval":
      return { ...stored, status: approved(call, stored, status) };
    case "status":
      return { ...stored, status: signed(call, stored, status) };
    default:
      return next;
  }
}

/** Who asks is who sent the request. */
function specOf({ exchange }: ResourceCall, spec: JsonRecord): JsonRecord {
  const { username, uid, groups, extra } = exchange.user;
  const { username: _, uid: __, groups: ___, extra: ____, ...rest } = spec;
  return {
    ...rest,
    username,
    ...(uid !== "" && { uid }),
    groups,
    ...(Object.keys(extra).length > 0 && { extra }),
  };
}

/** Only conditions come by this way, and those of the signer stay. */
function approved(call: ResourceCall, stored: KubernetesObject, status: JsonRecord): JsonRecord {
  const { context, exchange } = call;
  const before = conditionsOf(stored["status"]);
  const wanted = conditionsOf(status).filter(({ type }) => decisions.includes(type));
  const kept = before.filter(({ type }) => !decisions.includes(type));
  for (const { type, status: value } of wanted) {
    if (value !== "True") throw invalid(stored, `status.conditions[${String(type)}].status must be True`);
  }
  if (new Set(wanted.map(({ type }) => type)).size > 1) {
    throw invalid(stored, "status.conditions: Approved and Denied conditions are mutually exclusive");
  }
  const gone = before.find(({ type }) => decisions.includes(type) && !wanted.some((other) => other["type"] === type));
  if (gone !== undefined) throw invalid(stored, `status.conditions: ${String(gone["type"])} may not be removed`);
  const isChange = !jsonEqual(types(wanted), types(before.filter(({ type }) => decisions.includes(type))));
  if (isChange) checkSigner(context.store, exchange.user, "approve", signerOf(stored));
  return { ...asRecord(stored["status"]), conditions: [...kept, ...stamped(call, wanted, before)] };
}

/** Decisions stay as they are, and a certificate that is there too. */
function signed(call: ResourceCall, stored: KubernetesObject, status: JsonRecord): JsonRecord {
  const { context, exchange } = call;
  const before = asRecord(stored["status"]);
  const had = before["certificate"];
  const certificate = status["certificate"];
  if (had !== undefined && had !== certificate) throw invalid(stored, "status.certificate: field is immutable");
  const failures = conditionsOf(status).filter(({ type }) => !decisions.includes(type));
  const known = conditionsOf(before);
  const isChange = had !== certificate || !jsonEqual(types(failures), types(known.filter(isNoDecision)));
  if (isChange) checkSigner(context.store, exchange.user, "sign", signerOf(stored));
  if (certificate !== undefined && splitCertificates(decoded(certificate)).length === 0) {
    throw invalid(stored, "status.certificate: must be PEM certificates, as base64");
  }
  return {
    ...before,
    ...(certificate !== undefined && { certificate }),
    conditions: [...known.filter((condition) => !isNoDecision(condition)), ...stamped(call, failures, known)],
  };
}

function isNoDecision({ type }: JsonRecord): boolean {
  return !decisions.includes(type);
}

function stamped(
  { context }: ResourceCall,
  wanted: readonly JsonRecord[],
  before: readonly JsonRecord[],
): JsonRecord[] {
  const now = `${new Date(context.clock.now()).toISOString().slice(0, 19)}Z`;
  return wanted.map((condition) => {
    const known = before.find(({ type }) => type === condition["type"]);
    return { lastUpdateTime: now, lastTransitionTime: known?.["lastTransitionTime"] ?? now, ...condition };
  });
}

function conditionsOf(status: unknown): JsonRecord[] {
  return asArray(asRecord(status)["conditions"]).map(asRecord);
}

function types(conditions: readonly JsonRecord[]): unknown[] {
  return conditions.map(({ type }) => type);
}

function signerOf(request: KubernetesObject): string {
  return String(fieldAt(request, "spec", "signerName"));
}

function decoded(value: unknown): string {
  return typeof value === "string" ? Buffer.from(value, "base64").toString("utf8") : "";
}

function invalid(request: KubernetesObject, message: string): Error {
  const name = request.metadata.name;
  return apiError("INVALID", `CertificateSigningRequest.certificates.k8s.io "${name}" is invalid: ${message}`);
}
