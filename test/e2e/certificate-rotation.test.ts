// Certificates that live ten seconds, renewed under load for a minute: no request fails.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SteadyLoad } from "../support/load.ts";
import { eventually, TestMesh } from "../support/mesh.ts";

const meshConfig = `apiVersion: v1
kind: ConfigMap
metadata:
  name: istio
  namespace: istio-system
data:
  mesh: |
    accessLogFile: /dev/stdout
    rootNamespace: istio-system
    trustDomain: cluster.local
    defaultConfig:
      discoveryAddress: istiod.istio-system.svc:15012
      proxyMetadata:
        SECRET_TTL: 10s
`;

test("rolling every certificate for a minute under load fails no request", { timeout: 600_000 }, async () => {
  const mesh = await TestMesh.start({ copy: ["examples/bookinfo"], files: { "mesh-config.yaml": meshConfig } });
  try {
    const serials = new Set<string>();
    const load = new SteadyLoad(`${mesh.gateway}/productpage`);
    const end = Date.now() + 60_000;
    await eventually(
      "a minute of load",
      async () => {
        const secret = await mesh.run("proxy-config", "secret", "productpage-v1");
        const serial = /^default\s.*\s([0-9a-f]{16,})\s/m.exec(secret.stdout)?.[1];
        if (serial !== undefined) serials.add(serial);
        return Date.now() > end ? true : undefined;
      },
      120_000,
    );
    const report = await load.stop();
    assert.deepEqual(report.failures, []);
    assert.ok(report.requests > 100);
    assert.ok(serials.size >= 5, `saw ${serials.size} certificates`);
  } finally {
    await mesh.stop();
  }
});
