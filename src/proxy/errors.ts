// The codes of the proxy's failed operations: what they mean and what the operator can do. What it refuses of its
// configuration are issues, and what it refuses of traffic are local replies.
import type { ErrorTable } from "#base/error.ts";

export const proxyErrors: ErrorTable = {
  BOOTSTRAP_UNREADABLE: {
    meaning: "The bootstrap file cannot be read.",
    action: "Check its path and its permissions.",
  },
  BOOTSTRAP_INVALID: {
    meaning: "The bootstrap file is not an Envoy bootstrap, or asks for what this proxy cannot do.",
    action: "The message names each field.",
  },
  PROXY_CONFIG_SOURCE: {
    meaning: "The proxy was started without a control plane's address and without a bootstrap file.",
    action: "Give it one of the two.",
  },
  LISTENER_BIND: {
    meaning: "A listener's address cannot be listened on.",
    action: "Stop the process that holds the port, or take a port above 1023.",
  },
  WASM_LOAD: {
    meaning: "The code of a Wasm plugin is not there, or is no module that this proxy runs.",
    action: "The message says which code and why; the plugin's failure policy holds until its configuration changes.",
  },
  ADMIN_BIND: {
    meaning: "The admin port cannot be listened on.",
    action: "Stop the process that holds it, or set proxyAdminPort.",
  },
};
