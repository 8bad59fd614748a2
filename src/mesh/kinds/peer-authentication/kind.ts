// PeerAuthentication for the rest of the mesh.
import type { Kind } from "../../objects/kind.ts";
import { decodePeerAuthentication } from "./decode.ts";

import type { PeerAuthenticationSpec } from "./spec.ts";
import { validatePeerAuthentication } from "./validate.ts";

export const peerAuthentication: Kind<PeerAuthenticationSpec> = {
  kind: "PeerAuthentication",
  decode: decodePeerAuthentication,
  validate: validatePeerAuthentication,
};
