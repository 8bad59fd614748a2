// Fields of mesh configuration that istiod 1.31 does not heed either: what holds instead, for who expects something else.

/** Undefined for other fields; empty where what the field says holds anyhow. */
export function withoutEffect(name: string, value: unknown): string | undefined {
  switch (name) {
    case "verifyCertificateAtClient":
      return value === false
        ? "has no effect: a server's certificate is verified, by the platform's authorities where a DestinationRule names none; insecureSkipVerify of the rule switches it off"
        : "";
    case "ca":
      return "has no effect, as in Istio: requests are not forwarded. Plug the CA in (Secret cacerts), or use a signer of the Kubernetes CSR API (EXTERNAL_CA)";
    default:
      return undefined;
  }
}
