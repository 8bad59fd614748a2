// The codes of the agent's failed operations: what they mean and what the operator can do.
import type { ErrorTable } from "#base/error.ts";

export const agentErrors: ErrorTable = {
  CAPTURE_FAILED: {
    meaning: "The kernel or the iptables tools refused the capture rules.",
    action: "The init container needs NET_ADMIN and NET_RAW in the pod's network namespace, and the iptables package.",
  },
  CAPTURE_NOT_WORKING: {
    meaning: "The rules are there, but a test connection did not arrive at the proxy's port.",
    action: "Look for another program that rewrites the pod's rules, or let istio-init write them.",
  },
  WASM_MODULE: {
    meaning: "A Wasm module cannot be fetched, is not what its checksum says, or is no module.",
    action: "Check url and sha256 of the WasmPlugin; the pod of the proxy has to reach the address without a sidecar.",
  },
  CA_UNREACHABLE: {
    meaning: "The certificate service did not answer.",
    action: "Check CA_ADDR, the control plane's Service and network policies.",
  },
  CA_REFUSED: {
    meaning: "The certificate service answered and refused the request.",
    action: "The message says why; most often the token's audience or the service account is wrong.",
  },
  CA_ANSWER_INVALID: {
    meaning: "The certificate service's answer is no usable chain for the key that was sent.",
    action: "Check that CA_ADDR is a server of Istio's certificate service.",
  },
  IDENTITY_FILES: {
    meaning: "The token or the root certificate that the pod mounts cannot be read.",
    action: "Check the volumes istio-token and istiod-ca-cert of the pod.",
  },
  SDS_LISTEN: {
    meaning: "The agent's Unix socket for secrets cannot be opened.",
    action: "Check that the volume workload-socket is mounted and that the proxy's user may write to it.",
  },
  SDS_UNREACHABLE: {
    meaning: "Another identity provider's socket for secrets is there, and gives no certificate.",
    action: "Look at the provider's agent (SPIRE, say) on this node, and whether the workload is registered with it.",
  },
  AGENT_NOT_READY: {
    meaning: "The proxy did not become ready in the time that `pilot-agent wait` gives it.",
    action: "The message says what it waits for; most often the control plane cannot be reached.",
  },
  PROBE_LISTEN: {
    meaning: "The agent's status port cannot be opened.",
    action: "Choose another with annotation status.sidecar.istio.io/port.",
  },
};
