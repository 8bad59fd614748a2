// A proxy under the real control plane, in the test's own process and certified by it, with objects from YAML text.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import type { TestContext } from "node:test";
import { CertificateClient } from "#agent/identity/certificate-client.ts";
import { LogRegistry } from "#base/log/log.ts";
import { freePort } from "#base/net/testing/free-port.ts";
import { startTestControlPlane, type TestControlPlane } from "#control/testing/test-control-plane.ts";
import { SecretStore, type TlsCertificate } from "#wire/tls/secrets.ts";
import { parseCertificate } from "#wire/x509/certificate.ts";
import { buildCertificateRequest } from "#wire/x509/certificate-request.ts";
import { startProxy } from "../start.ts";

/** The mesh's settings as an object. */
export const meshConfig = (text: string): string => `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
${text.replaceAll(/^/gm, "    ")}
---`;

export async function plane(t: TestContext, yaml: string): Promise<TestControlPlane> {
  const started = await startTestControlPlane(yaml);
  t.after(() => started.control.stop());
  return started;
}

/** What the control plane certifies for a service account: `namespace/account`. */
export async function certify({ control }: TestControlPlane, account: string): Promise<TlsCertificate> {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const client = new CertificateClient({
    address: `127.0.0.1:${control.addresses.tls?.port}`,
    serverName: "istiod.istio-system.svc",
    clusterId: "Kubernetes",
    timeoutMs: 5000,
  });
  try {
    const chain = await client.sign({
      csr: buildCertificateRequest(privateKey),
      ttlSeconds: 3600,
      token: account,
      roots: control.rootCertificates,
    });
    const { notBeforeMs, notAfterMs, serialNumber, subjectAltNames } = parseCertificate(chain[0] ?? "");
    return {
      certificateChain: chain.join(""),
      privateKey: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
      notBeforeMs,
      notAfterMs,
      serialNumber,
      spiffeId: subjectAltNames.uris[0],
    };
  } finally {
    client.close();
  }
}

export interface ProxyWish {
  readonly id: string;
  readonly token: string;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export async function proxyOf(
  t: TestContext,
  { control }: TestControlPlane,
  wish: ProxyWish,
  own?: TlsCertificate,
): Promise<void> {
  const secrets = new SecretStore();
  if (own !== undefined) {
    secrets.setCertificate("default", own);
    secrets.setTrustedRoots("ROOTCA", control.rootCertificates);
  }
  const proxy = await startProxy({
    node: {
      id: wish.id,
      cluster: "c",
      locality: { region: "", zone: "", subZone: "" },
      metadata: wish.metadata as never,
    },
    role: wish.id.startsWith("router") ? "router" : "sidecar",
    version: "1.31.0",
    ads: {
      address: `127.0.0.1:${control.addresses.tls?.port}`,
      tls: { rootCertificates: () => control.rootCertificates, serverName: "istiod.istio-system.svc" },
      token: async () => wish.token,
    },
    secrets,
    log: new LogRegistry({ level: "none" }),
    servers: {},
  });
  t.after(() => proxy.stop());
  const deadline = Date.now() + 15_000;
  while (!proxy.ready()) {
    assert.ok(Date.now() < deadline, "the proxy is not ready");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export interface Ingress {
  /** `HTTP` or `TCP`. */
  readonly protocol: string;
  /** Of the application. */
  readonly port: number;
}

/**
 * A sidecar without capture: its Sidecar resource binds a port on 127.0.0.1 for each ingress. The workload is `app` of
 * namespace `default`, with service account and label of that name.
 */
export async function meshedSidecar(
  t: TestContext,
  yaml: string,
  ingress: readonly Ingress[],
): Promise<{ readonly started: TestControlPlane; readonly ports: readonly number[] }> {
  const ports: number[] = [];
  for (const _ of ingress) ports.push(await freePort());
  const entries = ingress.map(
    ({ protocol, port }, index) => `
  - port: {number: ${ports[index]}, protocol: ${protocol}, name: port-${index}}
    bind: 127.0.0.1
    defaultEndpoint: 127.0.0.1:${port}`,
  );
  const started = await plane(
    t,
    `${yaml}
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: app, namespace: default}
spec:
  ingress:${entries.join("")}
`,
  );
  const wish = {
    id: "sidecar~127.0.0.1~app-1.default~default.svc.cluster.local",
    token: "default/app",
    metadata: { NAMESPACE: "default", SERVICE_ACCOUNT: "app", LABELS: { app: "app" }, INTERCEPTION_MODE: "NONE" },
  };
  await proxyOf(t, started, wish, await certify(started, "default/app"));
  return { started, ports };
}
