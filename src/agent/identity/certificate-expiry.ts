// Istio's gauge of how long the certificates of this proxy live.
import type { MetricRegistry } from "#base/metrics/registry.ts";
import type { Clock } from "#base/time/clock.ts";
import type { SecretStore } from "#wire/tls/secrets.ts";

/** The returned function ends it. */
export function exposeCertificateExpiry(metrics: MetricRegistry, secrets: SecretStore, clock: Clock): () => void {
  const expiry = metrics.gauge("istio_agent_cert_expiry_seconds", "Seconds until the certificate expires.", [
    "resource_name",
  ]);
  return metrics.onCollect(() => {
    expiry.clear();
    for (const name of secrets.certificateNames()) {
      const certificate = secrets.certificate(name);
      if (certificate !== undefined) expiry.labels(name).set((certificate.notAfterMs - clock.now()) / 1000);
    }
  });
}
