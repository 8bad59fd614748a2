// Signs approved CertificateSigningRequests. Kubernetes' own signers use the cluster's CA, as in kube-controller-manager;
// any other signer is a Secret of type kubernetes.io/tls with the annotation `outrigger.dev/signer-name`, where on
// Kubernetes cert-manager or the like would be. A request of a signer that nobody has waits, as there.

import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { clusterAuthority } from "../../apiserver/certificate/cluster-ca.ts";
import { asArray, asRecord, fieldAt } from "../../store/json.ts";
import { secrets, signingRequests } from "../../store/resources.ts";
import { keyOf, runController, splitKey } from "../controller.ts";
import type { ControllerContext } from "../options.ts";
import { type Issued, issueCertificate, type SigningKey } from "./issue.ts";
import { refuseOwnSigner } from "./own-signers.ts";

const signerAnnotation = "outrigger.dev/signer-name";

export function startSigner(context: ControllerContext): Running {
  const { store } = context;
  const waiting = (): readonly string[] => store.list(signingRequests).items.filter(isDue).map(keyOf);
  return runController(context, {
    name: "signer",
    triggers: [
      { resource: signingRequests, keys: (request) => [keyOf(request)] },
      { resource: secrets, keys: (secret) => (signerOf(secret) === undefined ? [] : waiting()) },
    ],
    reconcile: (key) => {
      const request = store.get(signingRequests, ...splitKey(key));
      if (request !== undefined && isDue(request)) sign(context, request);
    },
  });
}

/** Approved, and neither denied, failed nor signed. */
function isDue(request: KubernetesObject): boolean {
  const types = asArray(fieldAt(request, "status", "conditions")).map((condition) => fieldAt(condition, "type"));
  const isDecided = types.includes("Denied") || types.includes("Failed");
  return types.includes("Approved") && !isDecided && fieldAt(request, "status", "certificate") === undefined;
}

function sign(context: ControllerContext, request: KubernetesObject): void {
  const { store, clock } = context;
  const issued = issue(context, request);
  if (issued === undefined) return;
  const status = asRecord(request["status"]);
  if ("pem" in issued) {
    const certificate = Buffer.from(issued.pem).toString("base64");
    store.updateStatus(signingRequests, { ...request, status: { ...status, certificate } });
    return;
  }
  const now = `${new Date(clock.now()).toISOString().slice(0, 19)}Z`;
  const failed = {
    type: "Failed",
    status: "True",
    reason: "SignerValidationFailure",
    message: issued.refused,
    lastUpdateTime: now,
    lastTransitionTime: now,
  };
  const conditions = [...asArray(status["conditions"]), failed];
  store.updateStatus(signingRequests, { ...request, status: { ...status, conditions } });
}

/** Undefined where no signer of that name is here. */
function issue({ store, clock, log }: ControllerContext, request: KubernetesObject): Issued | undefined {
  const spec = asRecord(request["spec"]);
  const signerName = String(spec["signerName"]);
  const seconds = spec["expirationSeconds"];
  const wanted = {
    request: Buffer.from(String(spec["request"]), "base64").toString("utf8"),
    usages: asArray(spec["usages"]).map(String),
    expirationSeconds: typeof seconds === "number" ? seconds : undefined,
  };
  try {
    if (signerName.startsWith("kubernetes.io/")) {
      const refused = refuseOwnSigner(signerName, wanted);
      if (refused === undefined) return issueCertificate(clusterAuthority(store, clock.now()), wanted, clock.now());
      return refused === "" ? undefined : { refused };
    }
    const secret = store.list(secrets).items.find((candidate) => signerOf(candidate) === signerName);
    return secret === undefined ? undefined : issueCertificate(keyOfSecret(secret), wanted, clock.now());
  } catch (error) {
    log.warn(`signer: ${signerName}: ${describeError(error)}`);
    return { refused: `the key or certificate of signer ${signerName} cannot be used: ${describeError(error)}` };
  }
}

function signerOf(secret: KubernetesObject): string | undefined {
  return secret["type"] === "kubernetes.io/tls" ? secret.metadata.annotations?.[signerAnnotation] : undefined;
}

function keyOfSecret(secret: KubernetesObject): SigningKey {
  const text = (key: string): string =>
    Buffer.from(String(fieldAt(secret, "data", key) ?? ""), "base64").toString("utf8");
  return { certificate: text("tls.crt"), privateKey: text("tls.key") };
}
