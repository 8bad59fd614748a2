// The codes of the control plane's failed operations: what they mean and what the operator can do.
import type { ErrorTable } from "#base/error.ts";

export const controlErrors: ErrorTable = {
  API_UNREACHABLE: {
    meaning: "The Kubernetes API server gave no answer.",
    action: "Check its address, the network between, and that it runs.",
  },
  API_UNAUTHORIZED: {
    meaning: "The API server does not accept the credentials.",
    action: "Check the service account's token, and that it has not expired.",
  },
  API_FORBIDDEN: {
    meaning: "The API server knows the caller and does not allow the operation.",
    action: "Grant the verb on the resource to the caller's role.",
  },
  API_NOT_FOUND: { meaning: "The object, or the whole kind, does not exist.", action: "Check its name and namespace." },
  API_ALREADY_EXISTS: { meaning: "An object of that name exists.", action: "Update it, or choose another name." },
  API_CONFLICT: {
    meaning: "Someone else changed the object in between.",
    action: "Read it again and repeat the change.",
  },
  API_GONE: { meaning: "The resource version is too old to watch from.", action: "List again; the watch does that." },
  API_INVALID: { meaning: "The API server refused the object.", action: "Correct the fields that the message names." },
  API_ERROR: { meaning: "The API server answered with another error.", action: "Look at its log." },
  CA_MATERIAL_INVALID: {
    meaning: "The certificate authority's own certificate or key cannot be used.",
    action: "Check that key, certificate, chain and root belong together and have not expired.",
  },
  CA_EXPIRED: {
    meaning: "The certificate authority's own certificate has ended; nothing can be signed with it.",
    action: "Put a new one into Secret cacerts; a self-signed root renews itself.",
  },
  CA_REQUEST_NAMES: {
    meaning: "A certificate request for a signer of the Kubernetes CSR API asks for another name than its sender's.",
    action: "The workload's agent must ask for its own SPIFFE id only; check its trust domain and service account.",
  },
  CA_SIGNER_FAILED: {
    meaning: "The signer of the Kubernetes CSR API gave no certificate that can be used.",
    action:
      "The message says why; check the signer, the control plane's permission to approve for it, and its roots in meshConfig.caCertificates.",
  },
  CA_TTL_TOO_LONG: {
    meaning: "A certificate was asked for with a longer lifetime than is allowed.",
    action: "Ask for less, or raise the limit.",
  },
  JWKS_UNREACHABLE: {
    meaning:
      "The keys of a token issuer could not be fetched; its tokens are refused, or judged by the keys from before.",
    action: "Check the address in the RequestAuthentication, and that the control plane reaches it without a sidecar.",
  },
  BIND_FAILED: {
    meaning: "A port of the control plane could not be opened.",
    action: "Stop the process that holds it, or choose another port.",
  },
};
