// PILOT_JWT_ENABLE_REMOTE_JWKS on the wire: a gateway under the real control plane, an issuer that counts who asks it, and
// tokens of its key.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { LogRegistry } from "#base/log/log.ts";
import { freePort } from "#base/net/testing/free-port.ts";
import type { ControlPlaneOptions } from "#control/options.ts";
import { endpointSlice, startTestControlPlane } from "#control/testing/test-control-plane.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { startProxy } from "../../../start.ts";

const pair = await generateKeyPair("ES256");
const keySet = JSON.stringify({ keys: [{ ...(await exportJWK(pair.publicKey)), kid: "one" }] });
const token = await new SignJWT({ iss: "issuer", sub: "ann" })
  .setProtectedHeader({ alg: "ES256", kid: "one" })
  .setExpirationTime("10m")
  .sign(pair.privateKey);

interface Mesh {
  /** Asks with the token, or without. */
  readonly ask: (authorization?: string) => Promise<{ readonly status: number; readonly text: string }>;
  /** Host headers of those who asked the issuer. */
  readonly askers: string[];
  readonly issuer: { isUp: boolean };
  readonly issues: () => string[];
}

async function start(t: TestContext, keyFetching: ControlPlaneOptions["keyFetching"], jwksUri?: string): Promise<Mesh> {
  const askers: string[] = [];
  const issuer = { isUp: true };
  const server = createServer((request, response) => {
    if (request.url !== "/keys") return response.end("app");
    askers.push(request.headers.host ?? "");
    return issuer.isUp ? response.end(keySet) : response.writeHead(503).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const gatewayPort = await freePort();
  const service = (name: string, namespace: string, rest: string): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec: {clusterIP: 10.96.0.${name.length}, ${rest}}
---`;
  const uri = jwksUri ?? "http://reviews.default.svc.cluster.local:9080/keys";
  const plane = await startTestControlPlane(
    `${service("gw", "istio-system", `selector: {istio: gw}, ports: [{name: http, port: ${gatewayPort}, targetPort: ${gatewayPort}}]`)}
${service("reviews", "default", `selector: {app: reviews}, ports: [{name: http, port: 9080, targetPort: ${port}}]`)}
${endpointSlice("reviews", ["127.0.0.1"], port)}---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway, namespace: default}
spec:
  selector: {istio: gw}
  servers: [{port: {number: ${gatewayPort}, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all, namespace: default}
spec: {hosts: ["*"], gateways: [gateway], http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: istio-system}
spec: {jwtRules: [{issuer: issuer, jwksUri: "${uri.replace("PORT", String(port))}"}]}
`,
    { isKeyAddressAllowed: () => true, ...(keyFetching !== undefined && { keyFetching }) },
  );
  const proxy = await startProxy({
    node: {
      id: "router~127.0.0.1~gw-1.istio-system~istio-system.svc.cluster.local",
      cluster: "gw",
      locality: { region: "", zone: "", subZone: "" },
      metadata: { NAMESPACE: "istio-system", LABELS: { istio: "gw" } },
    },
    role: "router",
    version: "1.31.0",
    ads: {
      address: `127.0.0.1:${plane.control.addresses.tls?.port}`,
      tls: { rootCertificates: () => plane.control.rootCertificates, serverName: "istiod.istio-system.svc" },
      token: async () => "istio-system/gateway",
    },
    secrets: new SecretStore(),
    log: new LogRegistry({ level: "none" }),
    servers: {},
    explainToClients: true,
  });
  t.after(async () => {
    await proxy.stop();
    await plane.control.stop();
    server.closeAllConnections();
    server.close();
  });
  const ask: Mesh["ask"] = async (authorization) => {
    const response = await fetch(`http://127.0.0.1:${gatewayPort}/`, {
      headers: authorization === undefined ? {} : { authorization },
    });
    return { status: response.status, text: await response.text() };
  };
  return { ask, askers, issuer, issues: () => plane.control.snapshot()?.issues.map(({ message }) => message) ?? [] };
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await condition().catch(() => false))) assert.ok(Date.now() < deadline, `never: ${what}`);
}

const bearer = `Bearer ${token}`;

for (const mode of ["hybrid", "envoy"] as const) {
  test(`${mode}: the proxy fetches keys through the cluster of the service that jwksUri names`, async (t) => {
    const { ask, askers } = await start(t, mode);
    await until("an answer", async () => (await ask()).status === 200);
    assert.deepEqual(askers, [], "nobody asks before a token comes");
    assert.equal((await ask(bearer)).status, 200);
    assert.equal((await ask(bearer)).status, 200);
    assert.deepEqual(askers, ["reviews.default.svc.cluster.local:9080"]);
    assert.equal((await ask("Bearer a.b.c")).status, 401);
  });
}

test("istiod, the default: the control plane fetches, and the proxy never asks", async (t) => {
  const { ask, askers } = await start(t, undefined, "http://127.0.0.1:PORT/keys");
  await until("the keys", async () => (await ask(bearer)).status === 200);
  assert.equal(askers.length, 1);
});

test("hybrid: keys that no service of the mesh has come from the control plane", async (t) => {
  const { ask, askers } = await start(t, "hybrid", "http://127.0.0.1:PORT/keys");
  await until("the keys", async () => (await ask(bearer)).status === 200);
  assert.equal(askers.length, 1);
});

test("envoy: without a service for the address every token is refused, the rest is served, and an issue says so", async (t) => {
  const { ask, askers, issues } = await start(t, "envoy", "http://127.0.0.1:PORT/keys");
  await until("an answer", async () => (await ask()).status === 200);
  const refused = await ask(bearer);
  assert.equal(refused.status, 401);
  assert.match(refused.text, /Jwks remote fetch is failed/);
  assert.match(refused.text, /http:\/\/127\.0\.0\.1:\d+\/keys/);
  assert.equal((await ask()).status, 200);
  assert.deepEqual(askers, []);
  assert.match(issues().join("\n"), /themselves \(PILOT_JWT_ENABLE_REMOTE_JWKS=envoy\), and no service of the mesh is/);
});

test("envoy: an issuer that gives no keys refuses its tokens with the address, and takes no listener down", async (t) => {
  const { ask, issuer } = await start(t, "envoy");
  issuer.isUp = false;
  await until("an answer", async () => (await ask()).status === 200);
  const refused = await ask(bearer);
  assert.equal(refused.status, 401);
  assert.match(refused.text, /http:\/\/reviews\.default\.svc\.cluster\.local:9080\/keys .*503/);
  assert.equal((await ask()).status, 200);
});
