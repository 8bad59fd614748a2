import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { OutriggerError } from "#base/error.ts";
import type { LogFields, Logger } from "#base/log/log.ts";
import { MetricRegistry } from "#base/metrics/registry.ts";
import { systemClock } from "#base/time/clock.ts";
import {
  type IstioCertificateRequest,
  IstioCertificateRequestSchema,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
} from "#wire/gen/istio/certificate-service_pb.ts";
import { ReloadableServerCredentials } from "#wire/grpc/server-tls.ts";
import { unaryMethod } from "#wire/grpc/service-definition.ts";
import { parseCertificate } from "#wire/x509/certificate.ts";
import { buildCertificateRequest } from "#wire/x509/certificate-request.ts";
import { GrpcServer } from "../xds/grpc-server.ts";
import { CertificateAuthority } from "./authority.ts";
import { certificateAudit } from "./certificate-audit.ts";
import { createCertificateHandlers } from "./certificate-service.ts";
import { createSelfSignedMaterial } from "./material.ts";
import type { NodeAuthorization, PodFacts } from "./node-authorization.ts";
import { RateLimit } from "./rate-limit.ts";
import type { TokenVerifier } from "./token-review.ts";

const method = unaryMethod(
  "/istio.v1.auth.IstioCertificateService/CreateCertificate",
  IstioCertificateRequestSchema,
  IstioCertificateResponseSchema,
);
const serverName = "istiod.istio-system.svc";
const tokens: TokenVerifier = {
  verify: async (token) =>
    token === "good"
      ? { identity: { namespace: "default", serviceAccount: "reviews", podName: "" } }
      : token === "node"
        ? { identity: { namespace: "istio-system", serviceAccount: "ztunnel", podName: "ztunnel-1", podUid: "u1" } }
        : { refused: `the API server does not accept the token` },
};

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Setup {
  readonly authority: CertificateAuthority;
  readonly port: number;
  readonly metrics: MetricRegistry;
  readonly lines: { message: string; fields: LogFields | undefined }[];
  readonly tls: ReloadableServerCredentials;
  call(options: CallOptions): Promise<IstioCertificateResponse>;
}

interface CallOptions {
  readonly token?: string;
  readonly csr?: string;
  readonly ttlSeconds?: number;
  readonly metadata?: Record<string, string>;
  readonly clientCertificate?: { chain: string; key: string };
}

/** Serial numbers. */
const revoked = new Set<string>();
let signerFails = false;

async function setUp(burst = 100, nodeAuthorization?: NodeAuthorization): Promise<Setup> {
  const authority = new CertificateAuthority(createSelfSignedMaterial("cluster.local", Date.now()), systemClock);
  const metrics = new MetricRegistry();
  const lines: Setup["lines"] = [];
  const record = (message: string, fields?: LogFields): void => {
    lines.push({ message, fields });
  };
  const log: Logger = { error: record, warn: record, info: record, debug: record };
  const tls = new ReloadableServerCredentials({
    ...authority.issueServing([serverName]),
    clientRoots: authority.rootCertificates,
  });
  const notHere = (): void => {};
  const server = new GrpcServer({
    host: "127.0.0.1",
    port: 0,
    credentials: tls,
    ads: { StreamAggregatedResources: notHere, DeltaAggregatedResources: notHere },
    certificates: createCertificateHandlers({
      sign: (csr, spiffeId, ttlMs) => {
        if (signerFails) throw new OutriggerError("CA_SIGNER_FAILED", "the signer is silent");
        return authority.signWorkload(csr, spiffeId, ttlMs);
      },
      authentication: {
        tokens,
        trustDomain: "cluster.local",
        audiences: ["istio-ca"],
        now: Date.now,
        isRevoked: ({ serialNumber }) => revoked.has(serialNumber),
      },
      rateLimit: new RateLimit({ burst, perSecond: 0.001 }, systemClock),
      failureLimit: new RateLimit({ burst: 5, perSecond: 0.001 }, systemClock),
      ...(nodeAuthorization !== undefined && { nodeAuthorization }),
      audit: certificateAudit(log),
      metrics,
    }),
  });
  const { port } = await server.listen();
  cleanups.push(() => server.stop());
  revoked.clear();
  signerFails = false;
  const call = (options: CallOptions): Promise<IstioCertificateResponse> =>
    callService(port, authority.rootCertificates, options);
  return { authority, port, metrics, lines, tls, call };
}

function callService(port: number, roots: string, options: CallOptions): Promise<IstioCertificateResponse> {
  const { clientCertificate: own } = options;
  const channel = credentials.createSsl(
    Buffer.from(roots),
    own === undefined ? null : Buffer.from(own.key),
    own === undefined ? null : Buffer.from(own.chain),
  );
  const client = new Client(`127.0.0.1:${port}`, channel, { "grpc.ssl_target_name_override": serverName });
  cleanups.push(() => client.close());
  const metadata = new Metadata();
  if (options.token !== undefined) metadata.set("authorization", `Bearer ${options.token}`);
  const request: IstioCertificateRequest = create(IstioCertificateRequestSchema, {
    csr: options.csr ?? newRequest().csr,
    validityDuration: BigInt(options.ttlSeconds ?? 0),
    ...(options.metadata !== undefined && { metadata: options.metadata }),
  });
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadata,
      (error: ServiceError | null, response?: IstioCertificateResponse) =>
        error === null && response !== undefined ? resolve(response) : reject(error),
    );
  });
}

function newRequest(): { csr: string; key: string } {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    csr: buildCertificateRequest(privateKey, { uris: ["spiffe://cluster.local/ns/kube-system/sa/admin"] }),
    key: privateKey.export({ format: "pem", type: "pkcs8" }) as string,
  };
}

describe("the certificate service", () => {
  test("gives a caller with a good token the certificate of its own identity", async () => {
    const { call, metrics, lines, authority } = await setUp();
    const response = await call({ token: "good", ttlSeconds: 10 });
    const leaf = parseCertificate(response.certChain[0] ?? "");
    assert.deepEqual(leaf.subjectAltNames.uris, ["spiffe://cluster.local/ns/default/sa/reviews"]);
    assert.equal(response.certChain.at(-1), authority.rootCertificates);
    assert.ok(leaf.notAfterMs - Date.now() <= 10_000);
    assert.match(metrics.expose(), /citadel_server_success_cert_issuance_count 1/);
    const audit = lines.find((line) => line.message === "certificate issued");
    assert.equal(audit?.fields?.["serial"], leaf.serialNumber);
    assert.ok(!JSON.stringify(lines).includes("good"), "the token is never logged");
  });

  test("a caller whose certificate was revoked gets no other by it", async () => {
    const { call } = await setUp();
    const { csr, key } = newRequest();
    const chain = (await call({ token: "good", csr })).certChain.join("");
    revoked.add(parseCertificate(chain).serialNumber);
    await assert.rejects(call({ clientCertificate: { chain, key } }), /the client certificate was revoked/);
  });

  test("renews for a caller with a client certificate of ours", async () => {
    const { call } = await setUp();
    const { csr, key } = newRequest();
    const chain = (await call({ token: "good", csr })).certChain.join("");
    const renewed = await call({ clientCertificate: { chain, key } });
    assert.deepEqual(parseCertificate(renewed.certChain[0] ?? "").subjectAltNames.uris, [
      "spiffe://cluster.local/ns/default/sa/reviews",
    ]);
  });

  test("refuses callers without identity: no token, a wrong one, a stranger's certificate", async () => {
    const { call, metrics } = await setUp();
    await assert.rejects(call({}), { code: status.UNAUTHENTICATED });
    await assert.rejects(call({ token: "bad" }), {
      code: status.UNAUTHENTICATED,
      details: /does not accept the token/,
    });
    const stranger = new CertificateAuthority(createSelfSignedMaterial("cluster.local", Date.now()), systemClock);
    const { csr, key } = newRequest();
    const { chain } = stranger.signWorkload(csr, "spiffe://cluster.local/ns/default/sa/reviews", 0);
    await assert.rejects(call({ clientCertificate: { chain: chain.join(""), key } }), { code: status.UNAUTHENTICATED });
    assert.match(metrics.expose(), /citadel_server_authentication_failure_count 3/);
  });

  test("refuses bad requests, impersonation, and lifetimes above the limit", async () => {
    const { call } = await setUp();
    await assert.rejects(call({ token: "good", csr: "garbage" }), { code: status.INVALID_ARGUMENT });
    await assert.rejects(call({ token: "good", ttlSeconds: 91 * 86_400 }), { code: status.INVALID_ARGUMENT });
    const impersonate = { ImpersonatedIdentity: "spiffe://cluster.local/ns/a/sa/b" };
    await assert.rejects(call({ token: "good", metadata: impersonate }), { code: status.UNAUTHENTICATED });
  });

  test("an agent of a node gets the certificates of what runs there, and of nothing else", async () => {
    const ztunnel = { uid: "u1", serviceAccount: "ztunnel", nodeName: "one" };
    let agent: PodFacts = ztunnel;
    const { call, lines } = await setUp(100, {
      trustedAccounts: new Set(["istio-system/ztunnel"]),
      pods: {
        pod: (namespace, name) => (namespace === "istio-system" && name === "ztunnel-1" ? agent : undefined),
        runsOn: (node, namespace, account) => node === "one" && namespace === "default" && account === "reviews",
      },
    });
    const ask = (account: string, token = "node"): Promise<IstioCertificateResponse> =>
      call({ token, metadata: { ImpersonatedIdentity: account } });
    const reviews = "spiffe://cluster.local/ns/default/sa/reviews";
    const { certChain } = await ask(reviews);
    assert.deepEqual(parseCertificate(certChain[0] ?? "").subjectAltNames.uris, [reviews]);
    const issued = lines.find(({ message }) => message === "certificate issued")?.fields;
    assert.equal(issued?.["identity"], "spiffe://cluster.local/ns/istio-system/sa/ztunnel");
    assert.equal(issued?.["impersonated"], reviews);
    const refusals: [() => void, string, string, RegExp][] = [
      [() => {}, reviews.replace("reviews", "ratings"), "node", /no pod of default\/ratings is on node one/],
      [() => {}, reviews.replace("cluster.local", "elsewhere"), "node", /trust domain elsewhere is not ours/],
      [() => {}, "reviews", "node", /not one of a workload/],
      [() => {}, reviews, "good", /default\/reviews is not among CA_TRUSTED_NODE_ACCOUNTS/],
      [() => (agent = { ...ztunnel, uid: "u2" }), reviews, "node", /another one than the token was made for/],
      [() => (agent = { ...ztunnel, serviceAccount: "x" }), reviews, "node", /has another service account/],
      [() => (agent = { ...ztunnel, nodeName: "" }), reviews, "node", /is on no node/],
      [() => (agent = { ...ztunnel, nodeName: "two" }), reviews, "node", /is on node two/],
    ];
    for (const [change, account, token, reason] of refusals) {
      change();
      lines.length = 0;
      await assert.rejects(ask(account, token), { code: status.UNAUTHENTICATED, details: /may not ask for this/ });
      assert.match(String(lines[0]?.fields?.["reason"]), reason);
    }
  });

  test("every answer leaves one line of audit: who, from where, what, or why not; never a secret", async () => {
    const { call, lines } = await setUp();
    const { csr, key } = newRequest();
    const chain = (await call({ token: "good", csr, ttlSeconds: 60 })).certChain;
    await call({ clientCertificate: { chain: chain.join(""), key } });
    await assert.rejects(call({ token: "bad" }));
    await assert.rejects(call({ token: "good", csr: "garbage" }));
    const [issued, renewed, stranger, garbage, ...rest] = lines.map(({ message, fields }) => ({ message, ...fields }));
    assert.deepEqual(rest, []);
    const identity = "spiffe://cluster.local/ns/default/sa/reviews";
    const { peer, notBefore, notAfter, ...others } = issued as Record<string, string>;
    assert.match(peer ?? "", /^127\.0\.0\.1:\d+$/);
    assert.ok(Date.parse(notAfter ?? "") - Date.parse(notBefore ?? "") >= 60_000);
    const { serialNumber } = parseCertificate(chain[0] ?? "");
    assert.deepEqual(others, {
      message: "certificate issued",
      identity,
      impersonated: undefined,
      by: "token",
      serial: serialNumber,
    });
    assert.equal((renewed as { by?: string } | undefined)?.by, "certificate");
    assert.partialDeepStrictEqual(stranger, { message: "certificate refused", code: "UNAUTHENTICATED" });
    assert.partialDeepStrictEqual(garbage, { message: "certificate refused", code: "INVALID_ARGUMENT", identity });
    assert.doesNotMatch(JSON.stringify(lines), /BEGIN|good|"bad"/);
  });

  test("an address whose callers are not authenticated is not asked about for ever", async () => {
    const { call } = await setUp();
    for (let count = 0; count < 5; count++) {
      await assert.rejects(call({ token: "bad" }), { code: status.UNAUTHENTICATED });
    }
    await assert.rejects(call({ token: "bad" }), { code: status.RESOURCE_EXHAUSTED });
  });

  test("a request that is too long is refused before it is read", async () => {
    const { call } = await setUp();
    const csr = `${newRequest().csr}${" ".repeat(40_000)}`;
    await assert.rejects(call({ token: "good", csr }), {
      code: status.INVALID_ARGUMENT,
      details: /larger than 32768 bytes/,
    });
  });

  test("counts requests by what became of them", async () => {
    const { call, metrics, authority } = await setUp();
    await call({ token: "good" });
    await assert.rejects(call({ token: "good", csr: "garbage" }));
    await assert.rejects(call({ token: "good", ttlSeconds: 91 * 86_400 }));
    await assert.rejects(call({ token: "bad" }));
    const { certificateChain: chain, privateKey: key } = authority.issueServing(["nobody.example"]);
    await assert.rejects(call({ clientCertificate: { chain, key } }), { code: status.UNAUTHENTICATED });
    signerFails = true;
    await assert.rejects(call({ token: "good" }), { code: status.INTERNAL });
    const counted = Object.fromEntries(
      [...metrics.expose().matchAll(/^citadel_server_(\w+) (\d+)$/gm)].map(([, name, value]) => [name, Number(value)]),
    );
    assert.deepEqual(counted, {
      csr_count: 6,
      success_cert_issuance_count: 1,
      csr_parsing_err_count: 2,
      csr_sign_err_count: 1,
      authentication_failure_count: 2,
      id_extraction_err_count: 1,
    });
  });

  test("limits how often one identity may ask", async () => {
    const { call } = await setUp(2);
    await call({ token: "good" });
    await call({ token: "good" });
    await assert.rejects(call({ token: "good" }), { code: status.RESOURCE_EXHAUSTED });
  });

  test("serves a replaced certificate without a restart", async () => {
    const { authority, tls, port } = await setUp();
    const old = authority.rootCertificates;
    authority.replace(createSelfSignedMaterial("cluster.local", Date.now()));
    tls.update({ ...authority.issueServing([serverName]), clientRoots: authority.rootCertificates });
    await callService(port, authority.rootCertificates, { token: "good" });
    await assert.rejects(callService(port, old, { token: "good" }), { code: status.UNAVAILABLE });
  });

  test("is trusted by OpenSSL for the control plane's name, over TLS 1.3 and h2", { skip: !hasOpenssl() }, async () => {
    const { authority, port } = await setUp();
    const output = await openssl(port, authority.rootCertificates);
    assert.match(output, /Verify return code: 0 \(ok\)/);
    assert.match(output, /ALPN protocol: h2/);
    assert.match(output, /TLSv1.3/);
  });
});

function hasOpenssl(): boolean {
  return spawnSync("openssl", ["version"]).status === 0;
}

async function openssl(port: number, roots: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-s-client-"));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "roots.pem");
  writeFileSync(file, roots);
  const names = ["-servername", serverName, "-verify_hostname", serverName, "-alpn", "h2"];
  const child = spawn("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...names, "-CAfile", file]);
  let output = "";
  return new Promise((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes("Verify return code")) child.stdin.end();
    });
    child.on("close", () => resolve(output));
  });
}
