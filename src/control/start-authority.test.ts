// A CA that is plugged in while the self-signed root is about to be renewed takes over all the same.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { type AuthorityMaterial, createSelfSignedMaterial } from "./ca/material.ts";
import { KubernetesClient } from "./sources/kubernetes/client.ts";
import { startFakeApiServer } from "./sources/kubernetes/testing/fake-api-server.ts";
import { meshYaml, startTestControlPlane } from "./testing/test-control-plane.ts";

const systemSecrets = "/api/v1/namespaces/istio-system/secrets";

test("what is plugged in takes over although the self-signed root is renewed meanwhile", async (t) => {
  const api = await startFakeApiServer([systemSecrets, "/api/v1/configmaps", "/api/v1/namespaces"]);
  const client = new KubernetesClient({ socketPath: api.socketPath });
  const encode = (text: string): string => Buffer.from(text).toString("base64");
  const secret = (name: string, { caCertificate, caKey }: AuthorityMaterial): KubernetesObject => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: "istio-system" },
    data: { "ca-cert.pem": encode(caCertificate), "ca-key.pem": encode(caKey) },
  });
  api.put(systemSecrets, secret("istio-ca-secret", createSelfSignedMaterial("first", Date.now(), 6000)));
  const { control } = await startTestControlPlane(meshYaml, {
    client,
    rootRenewal: { ttlMs: 6000, checkIntervalMs: 50, gracePercent: 100, hasJitter: false },
  });
  t.after(async () => {
    await control.stop();
    client.close();
    await api.stop();
  });
  const own = createSelfSignedMaterial("corp", Date.now());
  api.put(systemSecrets, secret("cacerts", own));
  for (const deadline = Date.now() + 15_000; control.authority.material.caKey !== own.caKey; ) {
    assert.ok(Date.now() < deadline, "the plugged-in CA never took over");
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
});
