// Issues and reviews service-account tokens as Kubernetes does: bound to the account and, for projected volumes, to the
// pod; worth nothing once either is gone.

import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomUUID } from "node:crypto";
import { type Clock, systemClock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { apiError } from "../store/errors.ts";
import { asArray, fieldAt, type JsonRecord } from "../store/json.ts";
import { pods, serviceAccounts } from "../store/resources.ts";
import type { ObjectStore } from "../store/store.ts";
import { clusterKey } from "./cluster-key.ts";
import { type SigningKey, signJwt, verifyJwt } from "./jwt.ts";

/** Issuer of the tokens, and the audience of those that are for the API server. */
export const clusterIssuer = "https://kubernetes.default.svc.cluster.local";

interface TokenRequest {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Default: the API server. */
  readonly audiences?: readonly string[];
  /** Default 3600, at most 86400. */
  readonly expirationSeconds?: number;
  /** The token dies with this pod. */
  readonly boundPod?: { readonly name: string; readonly uid: string };
}

interface IssuedToken {
  readonly token: string;
  /** RFC 3339. */
  readonly expirationTimestamp: string;
  readonly expiresAtMs: number;
}

export interface UserInfo {
  readonly username: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

type TokenVerdict =
  | { readonly authenticated: true; readonly user: UserInfo; readonly audiences: readonly string[] }
  | { readonly authenticated: false; readonly error: string };

export interface TokenAuthority {
  /** Throws NOT_FOUND when the account or pod does not exist, CONFLICT when the pod's uid is another. */
  issue(request: TokenRequest): IssuedToken;
  /** Tells whose token it is, if it is valid now for one of the audiences (default: the API server). */
  review(token: string, audiences?: readonly string[]): TokenVerdict;
  /** The public keys as JWKS. */
  jwks(): { readonly keys: readonly JsonRecord[] };
}

const maxExpirationSeconds = 86_400;

/** Opens the authority with the cluster's key, which is kept in the store. */
export function openTokenAuthority(options: { readonly store: ObjectStore; readonly clock?: Clock }): TokenAuthority {
  const { store, clock = systemClock } = options;
  const { key, jwk } = signingKey(store);
  return {
    issue: (request) => issue(store, key, request, clock.now()),
    review: (token, audiences = [clusterIssuer]) => review(store, key, token, audiences, clock.now()),
    jwks: () => ({ keys: [{ ...jwk, kid: key.id, alg: "ES256", use: "sig" }] }),
  };
}

function signingKey(store: ObjectStore): { key: SigningKey; jwk: JsonRecord } {
  const content = clusterKey(store, "service-account-signing-key", () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    return { "tls.key": privateKey.export({ type: "pkcs8", format: "pem" }) };
  });
  const privateKey = createPrivateKey(content["tls.key"] ?? "");
  const publicKey = createPublicKey(privateKey);
  const jwk = { ...publicKey.export({ format: "jwk" }) };
  // RFC 7638: the thumbprint over the required members, in this order.
  const thumbprint = JSON.stringify({ crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y });
  const id = createHash("sha256").update(thumbprint).digest("base64url");
  return { key: { id, privateKey, publicKey }, jwk };
}

function issue(store: ObjectStore, key: SigningKey, request: TokenRequest, nowMs: number): IssuedToken {
  const { namespace, serviceAccount, boundPod } = request;
  const account = store.get(serviceAccounts, namespace, serviceAccount);
  if (account === undefined) throw apiError("NOT_FOUND", `serviceaccounts "${serviceAccount}" not found`);
  if (boundPod !== undefined) checkBoundPod(store, request, boundPod);
  const seconds = Math.min(Math.max(1, request.expirationSeconds ?? 3600), maxExpirationSeconds);
  const issuedAt = Math.floor(nowMs / 1000);
  const expiresAt = issuedAt + seconds;
  const token = signJwt(
    {
      aud: request.audiences?.length ? request.audiences : [clusterIssuer],
      exp: expiresAt,
      iat: issuedAt,
      iss: clusterIssuer,
      jti: randomUUID(),
      "kubernetes.io": {
        namespace,
        ...(boundPod === undefined ? {} : { pod: { name: boundPod.name, uid: boundPod.uid } }),
        serviceaccount: { name: serviceAccount, uid: account.metadata.uid },
      },
      nbf: issuedAt,
      sub: `system:serviceaccount:${namespace}:${serviceAccount}`,
    },
    key,
  );
  const expiresAtMs = expiresAt * 1000;
  return { token, expiresAtMs, expirationTimestamp: new Date(expiresAtMs).toISOString().replace(".000", "") };
}

function checkBoundPod(store: ObjectStore, request: TokenRequest, bound: { name: string; uid: string }): void {
  const pod = store.get(pods, request.namespace, bound.name);
  if (pod === undefined) throw apiError("NOT_FOUND", `pods "${bound.name}" not found`);
  if (pod.metadata.uid !== bound.uid) {
    throw apiError("CONFLICT", `the uid of pod ${bound.name} is ${pod.metadata.uid}, not ${bound.uid}`);
  }
  if ((fieldAt(pod, "spec", "serviceAccountName") ?? "default") !== request.serviceAccount) {
    throw apiError("FORBIDDEN", `pod ${bound.name} does not run as service account ${request.serviceAccount}`);
  }
}

function review(
  store: ObjectStore,
  key: SigningKey,
  token: string,
  audiences: readonly string[],
  nowMs: number,
): TokenVerdict {
  const refuse = (error: string): TokenVerdict => ({ authenticated: false, error });
  const claims = verifyJwt(token, key);
  if (claims === undefined || claims["iss"] !== clusterIssuer)
    return refuse("the token was not issued by this cluster");
  const now = nowMs / 1000;
  if (!(Number(claims["exp"]) > now)) return refuse("the token has expired");
  if (!(Number(claims["nbf"]) <= now + 1)) return refuse("the token is not valid yet");
  const common = asArray(claims["aud"])
    .map(String)
    .filter((audience) => audiences.includes(audience));
  if (common.length === 0) return refuse(`the token is not for the audience ${audiences.join(", ")}`);
  const bound = boundObjects(store, claims);
  if (typeof bound === "string") return refuse(bound);
  return { authenticated: true, user: userOf(bound.account, bound.pod, String(claims["jti"])), audiences: common };
}

/** The account and pod that the claims name, if they still are the same ones; else what is wrong. */
function boundObjects(
  store: ObjectStore,
  claims: JsonRecord,
): { account: KubernetesObject; pod: KubernetesObject | undefined } | string {
  const binding = claims["kubernetes.io"];
  const namespace = String(fieldAt(binding, "namespace") ?? "");
  const accountName = String(fieldAt(binding, "serviceaccount", "name") ?? "");
  const account = store.get(serviceAccounts, namespace, accountName);
  if (account === undefined || account.metadata.uid !== fieldAt(binding, "serviceaccount", "uid")) {
    return `service account ${namespace}/${accountName} does not exist any more`;
  }
  if (fieldAt(binding, "pod") === undefined) return { account, pod: undefined };
  const podName = String(fieldAt(binding, "pod", "name") ?? "");
  const pod = store.get(pods, namespace, podName);
  if (pod === undefined || pod.metadata.uid !== fieldAt(binding, "pod", "uid")) {
    return `pod ${namespace}/${podName} does not exist any more`;
  }
  return { account, pod };
}

function userOf(account: KubernetesObject, pod: KubernetesObject | undefined, tokenId: string): UserInfo {
  const namespace = account.metadata.namespace ?? "";
  return {
    username: `system:serviceaccount:${namespace}:${account.metadata.name}`,
    uid: account.metadata.uid ?? "",
    groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
    extra: {
      "authentication.kubernetes.io/credential-id": [`JTI=${tokenId}`],
      ...(pod === undefined
        ? {}
        : {
            "authentication.kubernetes.io/pod-name": [pod.metadata.name],
            "authentication.kubernetes.io/pod-uid": [pod.metadata.uid ?? ""],
          }),
    },
  };
}
