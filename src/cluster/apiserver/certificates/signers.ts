// Who may do what with the name of a signer: approve, sign, attest. RBAC names it as resource `signers`, by its whole
// name or as `domain/*`.

import { apiError } from "../../store/errors.ts";
import type { ObjectStore } from "../../store/store.ts";
import type { UserInfo } from "../../tokens/token-authority.ts";
import { mayAccess } from "../rbac/rules.ts";

type SignerVerb = "approve" | "sign" | "attest";

/** Throws FORBIDDEN. */
export function checkSigner(store: ObjectStore, user: UserInfo, verb: SignerVerb, signerName: string): void {
  const domain = signerName.slice(0, signerName.indexOf("/"));
  const request = { verb, group: "certificates.k8s.io", resource: "signers", namespace: "" };
  if ([signerName, `${domain}/*`].some((name) => mayAccess(store, user, { ...request, name }))) return;
  throw apiError(
    "FORBIDDEN",
    `user "${user.username}" is not permitted to ${verb} requests with signerName "${signerName}"`,
  );
}
