import assert from "node:assert/strict";
import { test } from "node:test";
import { redacted, withoutSecrets } from "./redact.ts";

test("keys, passwords and ticket keys are shown as redacted, wherever they stand, and file names are kept", () => {
  const shown = withoutSecrets({
    transport_socket: {
      typed_config: {
        common_tls_context: {
          tls_certificates: [
            {
              certificate_chain: { inline_string: "PEM" },
              private_key: { inline_string: "KEY" },
              password: { filename: "/p" },
            },
          ],
        },
        session_ticket_keys: { keys: [{ inline_bytes: "S0VZ" }] },
      },
    },
  });
  assert.deepEqual(shown, {
    transport_socket: {
      typed_config: {
        common_tls_context: {
          tls_certificates: [
            {
              certificate_chain: { inline_string: "PEM" },
              private_key: { inline_bytes: redacted },
              password: { filename: "/p" },
            },
          ],
        },
        session_ticket_keys: { keys: [{ inline_bytes: redacted }] },
      },
    },
  });
});
