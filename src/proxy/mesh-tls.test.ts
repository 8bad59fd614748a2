// TLS settings of the mesh on the wire: a sidecar and a gateway under the real control plane, certified by it, and openssl
// as client and as server.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { freePort } from "#base/net/testing/free-port.ts";
import { systemClock } from "#base/time/clock.ts";
import { CertificateAuthority } from "#control/ca/authority.ts";
import { createSelfSignedMaterial } from "#control/ca/material.ts";
import type { TestControlPlane } from "#control/testing/test-control-plane.ts";
import type { TlsCertificate } from "#wire/tls/secrets.ts";
import { buildCertificateRequest } from "#wire/x509/certificate-request.ts";
import { certify, meshConfig, meshedSidecar, plane, proxyOf } from "./testing/meshed-proxy.ts";

/** What `openssl s_client` tells and gets, with a request sent when the handshake is done. */
function client(port: number, args: string, identity?: TlsCertificate): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-tls-"));
  const files: string[] = [];
  if (identity !== undefined) {
    writeFileSync(join(folder, "cert"), identity.certificateChain);
    writeFileSync(join(folder, "key"), identity.privateKey, { mode: 0o600 });
    files.push("-cert", join(folder, "cert"), "-cert_chain", join(folder, "cert"), "-key", join(folder, "key"));
  }
  return new Promise((resolve) => {
    const words = [
      "s_client",
      "-connect",
      `127.0.0.1:${port}`,
      "-ign_eof",
      ...files,
      ...args.split(" ").filter(Boolean),
    ];
    const child = execFile("openssl", words, { timeout: 8000 }, (_error, stdout, stderr) => {
      rmSync(folder, { recursive: true });
      resolve(stdout + stderr);
    });
    child.stdin?.on("error", () => {
      // It ended before it had read everything.
    });
    child.stdin?.end("GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n");
  });
}

interface Served {
  readonly started: TestControlPlane;
  readonly port: number;
}

const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---`;

async function sidecar(t: TestContext, mesh: string, more = ""): Promise<Served> {
  const app = createServer((request, response) => response.end(`xfcc ${request.headers["x-forwarded-client-cert"]}`));
  await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    app.closeAllConnections();
    app.close();
  });
  const ingress = { protocol: "HTTP", port: (app.address() as AddressInfo).port };
  const { started, ports } = await meshedSidecar(t, meshConfig(mesh) + strict + more, [ingress]);
  return { started, port: ports[0] ?? 0 };
}

test("meshMTLS: minProtocolVersion and cipherSuites are what a sidecar speaks", async (t) => {
  const { started, port } = await sidecar(t, "meshMTLS: {cipherSuites: [ECDHE-ECDSA-AES128-GCM-SHA256]}");
  const caller = await certify(started, "default/caller");
  const ask = (args: string): Promise<string> => client(port, `-alpn istio ${args}`, caller);
  assert.match(await ask("-tls1_2"), /Cipher is ECDHE-ECDSA-AES128-GCM-SHA256[\s\S]*HTTP\/1\.1 200 OK/);
  assert.match(await ask("-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384"), /Cipher is \(NONE\)/);
  assert.match(await ask("-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305"), /Cipher is \(NONE\)/);
  assert.match(await ask("-tls1_3"), /TLSv1\.3[\s\S]*HTTP\/1\.1 200 OK/);
  const newer = await sidecar(t, "meshMTLS: {minProtocolVersion: TLSV1_3}");
  const other = await certify(newer.started, "default/caller");
  assert.match(await client(newer.port, "-alpn istio -tls1_2", other), /Cipher is \(NONE\)/);
  assert.match(await client(newer.port, "-alpn istio -tls1_3", other), /HTTP\/1\.1 200 OK/);
});

test("trustDomain and trustDomainAliases: certificates, peers and policies speak of the mesh's own", async (t) => {
  const policy = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: callers, namespace: default}
spec: {rules: [{from: [{source: {principals: [mesh.example/ns/default/sa/caller]}}]}]}
---`;
  const { started, port } = await sidecar(t, "trustDomain: mesh.example\ntrustDomainAliases: [old.example]", policy);
  const caller = await certify(started, "default/caller");
  assert.equal(caller.spiffeId, "spiffe://mesh.example/ns/default/sa/caller");
  const ask = (identity?: TlsCertificate): Promise<string> => client(port, "-alpn istio", identity);
  const answer = await ask(caller);
  assert.match(answer, /HTTP\/1\.1 200 OK/);
  assert.match(
    answer,
    /By=spiffe:\/\/mesh\.example\/ns\/default\/sa\/app;.*URI=spiffe:\/\/mesh\.example\/ns\/default\/sa\/caller/,
  );
  assert.match(await ask(await certify(started, "default/other")), /HTTP\/1\.1 403/);
  const as = (spiffeId: string): TlsCertificate => signed(started, spiffeId);
  assert.match(await ask(as("spiffe://old.example/ns/default/sa/caller")), /HTTP\/1\.1 200 OK/, "an alias");
  assert.match(await ask(as("spiffe://old.example/ns/default/sa/other")), /HTTP\/1\.1 403/);
  for (const foreign of [
    "spiffe://cluster.local/ns/default/sa/caller",
    "spiffe://mesh.example.evil/ns/default/sa/caller",
  ]) {
    assert.doesNotMatch(await ask(as(foreign)), /HTTP\/1\.1/, foreign);
  }
  assert.doesNotMatch(await ask(), /HTTP\/1\.1/);
});

/** A certificate of the mesh's CA for whatever identity. */
function signed({ control }: TestControlPlane, spiffeId: string): TlsCertificate {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { chain, notAfterMs, serialNumber } = control.authority.signWorkload(
    buildCertificateRequest(privateKey),
    spiffeId,
    3_600_000,
  );
  return {
    certificateChain: chain.join(""),
    privateKey: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    notBeforeMs: Date.now(),
    notAfterMs,
    serialNumber,
    spiffeId,
  };
}

const webServer = new CertificateAuthority(createSelfSignedMaterial("web", Date.now()), systemClock).issueServing([
  "server.example",
]);
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const tlsDefaults = "tlsDefaults: {cipherSuites: [ECDHE-ECDSA-AES128-GCM-SHA256], ecdhCurves: [P-256]}";

/** A gateway that ends TLS on one port and, on another, leads to a server that speaks TLS itself. */
async function gateway(t: TestContext, mesh: string, serverPort: number): Promise<{ secure: number; plain: number }> {
  const [secure, plain] = [await freePort(), await freePort()];
  const { certificateChain: chain, privateKey: key } = webServer;
  const started = await plane(
    t,
    `${meshConfig(mesh)}
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: istio-system}
spec:
  clusterIP: 10.96.0.2
  selector: {istio: gw}
  ports: [{name: https, port: ${secure}, targetPort: ${secure}}, {name: http, port: ${plain}, targetPort: ${plain}}]
---
apiVersion: v1
kind: Secret
metadata: {name: web, namespace: istio-system}
data: {tls.crt: ${base64(chain)}, tls.key: ${base64(key)}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway, namespace: istio-system}
spec:
  selector: {istio: gw}
  servers:
  - {port: {number: ${secure}, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: web}}
  - {port: {number: ${plain}, name: http, protocol: HTTP}, hosts: ["*"]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: server, namespace: istio-system}
spec:
  hosts: [server.example]
  ports: [{number: 443, name: http, protocol: HTTP, targetPort: ${serverPort}}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: server, namespace: istio-system}
spec: {host: server.example, trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all, namespace: istio-system}
spec: {hosts: ["*"], gateways: [gateway], http: [{route: [{destination: {host: server.example}}]}]}
`,
  );
  await proxyOf(t, started, {
    id: "router~127.0.0.1~gw-1.istio-system~istio-system.svc.cluster.local",
    token: "istio-system/gw",
    metadata: { NAMESPACE: "istio-system", LABELS: { istio: "gw" } },
  });
  return { secure, plain };
}

/** `openssl s_server -www` answers each request with what the client's hello offered. */
async function opensslServer(t: TestContext, args: string): Promise<number> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "outrigger-tls-"));
  const { certificateChain: chain, privateKey: key } = webServer;
  writeFileSync(join(folder, "cert"), chain);
  writeFileSync(join(folder, "key"), key, { mode: 0o600 });
  const words = [
    "s_server",
    "-accept",
    `127.0.0.1:${port}`,
    "-www",
    "-cert",
    join(folder, "cert"),
    "-key",
    join(folder, "key"),
  ];
  const child = spawn("openssl", [...words, ...args.split(" ").filter(Boolean)], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  t.after(() => {
    child.kill();
    rmSync(folder, { recursive: true });
  });
  await new Promise<void>((resolve, reject) => {
    child.once("exit", () => reject(new Error("openssl s_server has ended")));
    child.stdout.on("data", (chunk: Buffer) => {
      if (chunk.includes("ACCEPT")) resolve();
    });
  });
  return port;
}

test("tlsDefaults: ciphers and curves of a gateway's servers", async (t) => {
  const { secure } = await gateway(t, tlsDefaults, 1);
  const ask = (args: string): Promise<string> => client(secure, args);
  const done = await ask("-tls1_2");
  assert.match(done, /Cipher is ECDHE-ECDSA-AES128-GCM-SHA256/);
  assert.match(done, /Server Temp Key: ECDH, (prime256v1|P-256)|group: secp256r1/);
  assert.match(await ask("-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384"), /Cipher is \(NONE\)/);
  assert.match(await ask("-tls1_2 -groups P-384"), /Cipher is \(NONE\)/);
  assert.match(await ask("-tls1_3 -groups X25519:P-384"), /Cipher is \(NONE\)/);
  assert.match(await ask("-tls1_3 -groups P-256"), /Cipher is TLS_/);
});

test("tlsDefaults: ciphers and curves that are offered to servers outside of the mesh", async (t) => {
  const offered = async (mesh: string, args: string): Promise<{ status: number; text: string }> => {
    const { plain } = await gateway(t, mesh, await opensslServer(t, args));
    const response = await fetch(`http://127.0.0.1:${plain}/`);
    return { status: response.status, text: await response.text() };
  };
  const some = await offered(tlsDefaults, "-tls1_2");
  assert.equal(some.status, 200, some.text);
  assert.match(some.text, /Cipher is ECDHE-ECDSA-AES128-GCM-SHA256/);
  assert.match(some.text, /Supported groups: (prime256v1|secp256r1)\n/);
  assert.equal((await offered(tlsDefaults, "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384")).status, 503);
  assert.equal(
    (await offered("accessLogFile: /dev/null", "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384")).status,
    200,
  );
});
