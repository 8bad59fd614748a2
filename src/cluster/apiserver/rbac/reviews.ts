// The reviews of authentication.k8s.io and authorization.k8s.io: questions that are posted and answered at once.

import { apiError } from "../../store/errors.ts";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../../store/json.ts";
import type { ObjectStore } from "../../store/store.ts";
import type { TokenAuthority, UserInfo } from "../../tokens/token-authority.ts";
import { mayAccess, mayVisit, rulesOf } from "./rules.ts";

export interface ReviewContext {
  readonly store: ObjectStore;
  readonly tokens: TokenAuthority;
  readonly user: UserInfo;
}

/** The posted review with its status. */
export function answerReview(context: ReviewContext, kind: string, review: JsonRecord): JsonRecord {
  const spec = asRecord(review["spec"]);
  return { ...review, metadata: asRecord(review["metadata"]), status: statusOf(context, kind, spec) };
}

function statusOf(context: ReviewContext, kind: string, spec: JsonRecord): JsonRecord {
  switch (kind) {
    case "TokenReview":
      return tokenReview(context.tokens, spec);
    case "SelfSubjectReview":
      return { userInfo: context.user };
    case "SelfSubjectAccessReview":
      return accessReview(context.store, context.user, spec);
    case "SelfSubjectRulesReview":
      return rulesReview(context, String(spec["namespace"] ?? ""));
    default:
      return accessReview(context.store, subject(spec), spec);
  }
}

function tokenReview(tokens: TokenAuthority, spec: JsonRecord): JsonRecord {
  const token = spec["token"];
  if (typeof token !== "string" || token === "") throw apiError("BAD_REQUEST", "spec.token: Required value");
  const audiences = asArray(spec["audiences"]).map(String);
  const verdict = tokens.review(token, audiences.length === 0 ? undefined : audiences);
  if (!verdict.authenticated) return { user: {}, error: verdict.error };
  return { authenticated: true, user: verdict.user, audiences: verdict.audiences };
}

function accessReview(store: ObjectStore, user: UserInfo, spec: JsonRecord): JsonRecord {
  const attributes = asRecord(spec["resourceAttributes"]);
  const text = (field: string): string => String(attributes[field] ?? "");
  const isResource = spec["resourceAttributes"] !== undefined;
  const resource = text("subresource") === "" ? text("resource") : `${text("resource")}/${text("subresource")}`;
  const isAllowed = isResource
    ? mayAccess(store, user, {
        verb: text("verb"),
        group: text("group"),
        resource,
        namespace: text("namespace"),
        name: text("name"),
      })
    : mayVisit(
        store,
        user,
        String(fieldAt(spec, "nonResourceAttributes", "verb") ?? ""),
        String(fieldAt(spec, "nonResourceAttributes", "path") ?? ""),
      );
  return { allowed: isAllowed };
}

function rulesReview(context: ReviewContext, namespace: string): JsonRecord {
  const rules = rulesOf(context.store, context.user, namespace);
  return {
    incomplete: false,
    resourceRules: rules.filter((rule) => rule["resources"] !== undefined),
    nonResourceRules: rules.filter((rule) => rule["nonResourceURLs"] !== undefined),
  };
}

function subject(spec: JsonRecord): UserInfo {
  const groups = asArray(spec["groups"]).map(String);
  return { username: String(spec["user"] ?? ""), uid: String(spec["uid"] ?? ""), groups, extra: {} };
}
