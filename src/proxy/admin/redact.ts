// Takes secrets out of a configuration that is shown: what Envoy's messages mark as sensitive, wherever it stands.
import type { JsonValue } from "@bufbuild/protobuf";

/** Base64 of "[redacted]", as Envoy writes it. */
export const redacted = "W3JlZGFjdGVkXQ==";

/** Fields of TlsCertificate and TlsSessionTicketKeys that hold data sources. */
const sensitive: ReadonlySet<string> = new Set(["private_key", "password", "pkcs12", "session_ticket_keys"]);

export function withoutSecrets(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, sensitive.has(key) ? redact(item) : withoutSecrets(item)]),
  );
}

/** Keeps the shape and the names of files. */
function redact(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(redact);
  if (typeof value !== "object" || value === null) return "[redacted]";
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => {
      if (key === "inline_bytes" || key === "inline_string") return ["inline_bytes", redacted];
      return [key, typeof item === "object" ? redact(item) : item];
    }),
  );
}
