// Whether a Gateway may lead its pods to a Secret that it names with its namespace (`kubernetes-gateway://namespace/name`):
// whoever may write Gateways in one namespace must not come by the keys of another. For Gateways of the Gateway API that
// was asked when their listeners were made.
import { type Grants, grantsOf } from "../gateway-api/grants.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { CredentialName } from "./credentials.ts";
import type { ObjectTable } from "./object-table.ts";

/** `namespace` is the one of the gateway's pods. */
export type CredentialAccess = (gateway: MeshObject<unknown>, namespace: string, asked: CredentialName) => boolean;

export function credentialAccess(objects: ObjectTable): CredentialAccess {
  let grants: Grants | undefined;
  return (gateway, namespace, { namespace: secretNamespace, name }) => {
    if (gateway.madeFrom !== undefined) return true;
    grants ??= grantsOf(objects.all("ReferenceGrant"));
    const secret = { group: "", kind: "Secret", namespace: secretNamespace, name: name.replace(/-cacert$/, "") };
    return grants({ kind: "Gateway", namespace }, secret);
  };
}
