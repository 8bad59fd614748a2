// Removes CertificateSigningRequests that are over, as Kubernetes does: an hour after they were decided, a day after they
// were made and nobody decided.

import type { Running } from "#base/lifecycle.ts";
import type { Clock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt } from "../../store/json.ts";
import { signingRequests } from "../../store/resources.ts";
import type { ObjectStore } from "../../store/store.ts";

const sweepMs = 600_000;
const decidedLifeMs = 3_600_000;
const pendingLifeMs = 24 * 3_600_000;

export function startRequestSweeper(store: ObjectStore, clock: Clock): Running {
  let cancel = (): void => {};
  const sweep = (): void => {
    for (const request of store.list(signingRequests).items) {
      if (endsAtMs(request) <= clock.now()) store.delete(signingRequests, "", request.metadata.name);
    }
    cancel = clock.after(sweepMs, sweep);
  };
  cancel = clock.after(sweepMs, sweep);
  return { stop: () => Promise.resolve(cancel()) };
}

/** An approved one without a certificate waits as long as a pending one. */
function endsAtMs(request: KubernetesObject): number {
  const conditions = asArray(fieldAt(request, "status", "conditions")).map(asRecord);
  const isSigned = fieldAt(request, "status", "certificate") !== undefined;
  const over = conditions.filter(({ type }) => isSigned || type === "Denied" || type === "Failed");
  const moments = over.map((condition) => Date.parse(String(condition["lastUpdateTime"])));
  const made = Date.parse(request.metadata.creationTimestamp ?? "");
  return Math.min(made + pendingLifeMs, ...moments.filter(Number.isFinite).map((moment) => moment + decidedLifeMs));
}
