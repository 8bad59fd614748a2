import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import { type Logger, silentLogger } from "#base/log/log.ts";
import { MetricRegistry } from "#base/metrics/registry.ts";
import { ManualClock } from "#base/time/clock.ts";
import {
  type IstioCertificateRequest,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
} from "#wire/gen/istio/certificate-service_pb.ts";
import { createCertificateMethod } from "#wire/grpc/certificate-method.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { parseCertificateRequest } from "#wire/x509/certificate-request.ts";
import { type Issuer, issueAuthority, issueLeaf, readIssuer } from "#wire/x509/issue-certificate.ts";
import { revocationListOf } from "#wire/x509/testing/revocation.ts";
import { certificateName, type Identity, type IdentityOptions, rootsName, startIdentity } from "./start-identity.ts";

const spiffeId = "spiffe://cluster.local/ns/default/sa/reviews";
const hourMs = 3600_000;

interface Authority {
  readonly pem: string;
  readonly issuer: Issuer;
}

function makeAuthority(name: string): Authority {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = issueAuthority(privateKey, {
    publicKeyInfo: publicKey.export({ format: "der", type: "spki" }),
    subject: { organization: name },
    notBeforeMs: Date.now() - hourMs,
    notAfterMs: Date.now() + 1000 * hourMs,
  });
  return { pem, issuer: readIssuer(pem, privateKey.export({ format: "pem", type: "pkcs8" }).toString()) };
}

function leafFor(authority: Authority, publicKey: KeyObject, names: object, notAfterMs: number): string {
  return issueLeaf(authority.issuer, {
    publicKeyInfo: publicKey.export({ format: "der", type: "spki" }),
    names,
    notBeforeMs: Date.now() - 120_000,
    notAfterMs,
  });
}

type Sign = (
  call: ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>,
) => readonly string[] | { code: number; details: string };

async function startService(authority: Authority, sign: Sign): Promise<{ port: number; server: Server }> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const server = new Server();
  const leaf = leafFor(authority, publicKey, { dnsNames: ["istiod.istio-system.svc"] }, Date.now() + hourMs);
  server.addService(
    { CreateCertificate: createCertificateMethod },
    {
      CreateCertificate: (
        call: ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>,
        callback: sendUnaryData<IstioCertificateResponse>,
      ) => {
        const answer = sign(call);
        if ("code" in answer) callback(answer);
        else callback(null, create(IstioCertificateResponseSchema, { certChain: [...answer] }));
      },
    },
  );
  const key = Buffer.from(privateKey.export({ format: "pem", type: "pkcs8" }));
  const credentials = ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(leaf), private_key: key }]);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error === null ? resolve(bound) : reject(error))),
  );
  return { port, server };
}

describe("identity", () => {
  let directory: string;
  let authority: Authority;
  let clock: ManualClock;
  let secrets: SecretStore;
  let metrics: MetricRegistry;
  const cleanups: (() => void | Promise<void>)[] = [];
  const messages: string[] = [];
  let onMessage: (message: string) => void = () => {};
  const logger: Logger = {
    ...silentLogger,
    warn: (message) => {
      messages.push(message);
      onMessage(message);
    },
    error: (message) => messages.push(message),
  };

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "outrigger-identity-"));
    authority = makeAuthority("first");
    writeFileSync(join(directory, "root-cert.pem"), authority.pem);
    writeFileSync(join(directory, "istio-token"), "token-1\n");
    clock = new ManualClock(Date.now());
    secrets = new SecretStore();
    metrics = new MetricRegistry();
    messages.length = 0;
    onMessage = () => {};
  });

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    rmSync(directory, { recursive: true, force: true });
  });

  async function serve(sign: Sign, signer: Authority = authority): Promise<number> {
    const { port, server } = await startService(signer, sign);
    cleanups.push(() => server.forceShutdown());
    return port;
  }

  async function begin(port: number, options: Partial<IdentityOptions> = {}): Promise<Identity> {
    const identity = await startIdentity({
      caAddress: `127.0.0.1:${port}`,
      caServerName: "istiod.istio-system.svc",
      rootsPath: join(directory, "root-cert.pem"),
      tokenPath: join(directory, "istio-token"),
      clusterId: "Kubernetes",
      spiffeId,
      ttlMs: 24 * hourMs,
      secrets,
      logger,
      metrics,
      clock,
      random: () => 0.5,
      requestTimeoutMs: 2_000,
      ...options,
    });
    cleanups.push(() => identity.stop());
    return identity;
  }

  const signFor =
    (lifetimeMs: number, signer: () => Authority = () => authority): Sign =>
    (call) => {
      const request = parseCertificateRequest(call.request.csr);
      return [leafFor(signer(), request.publicKey, { uris: [spiffeId] }, clock.now() + lifetimeMs), signer().pem];
    };

  test("the certified key and the roots reach the secret store", async () => {
    let seen: { token: unknown; ttl: bigint } | undefined;
    const port = await serve((call) => {
      seen = { token: call.metadata.get("authorization")[0], ttl: call.request.validityDuration };
      return signFor(24 * hourMs)(call);
    });
    const identity = await begin(port);
    await identity.ready;
    const certificate = secrets.certificate(certificateName);
    assert.ok(certificate);
    assert.deepEqual(seen, { token: "Bearer token-1", ttl: 86400n });
    assert.equal(certificate.spiffeId, spiffeId);
    const leaf = new X509Certificate(certificate.certificateChain);
    assert.ok(leaf.checkIssued(new X509Certificate(authority.pem)));
    assert.ok(leaf.publicKey.equals(createPublicKey(certificate.privateKey)));
    assert.equal(certificate.certificateChain.split("BEGIN CERTIFICATE").length - 1, 1, "the root is not presented");
    assert.equal(secrets.trustedRoots(rootsName)?.trim(), authority.pem.trim());
  });

  test("a certificate is renewed at half of its life, with a new key and the token of that moment", async () => {
    const tokens: unknown[] = [];
    const port = await serve((call) => {
      tokens.push(call.metadata.get("authorization")[0]);
      return signFor(10_000)(call);
    });
    const identity = await begin(port, { ttlMs: 10_000 });
    await identity.ready;
    const first = secrets.certificate(certificateName);
    clock.advance(4_900);
    assert.equal(secrets.certificate(certificateName), first);
    writeFileSync(join(directory, "istio-token"), "token-2");
    const changed = secretChange(secrets, certificateName);
    clock.advance(200);
    await changed;
    assert.deepEqual(tokens, ["Bearer token-1", "Bearer token-2"]);
    assert.notEqual(secrets.certificate(certificateName)?.privateKey, first?.privateKey);
  });

  test("the key is of the kind that is asked for", async () => {
    const port = await serve(signFor(hourMs));
    const kinds = [
      { type: "rsa", bits: 2048 },
      { type: "ec", curve: "P-384" },
    ] as const;
    const seen: unknown[] = [];
    for (const keyKind of kinds) {
      secrets = new SecretStore();
      const identity = await begin(port, { keyKind });
      await identity.ready;
      const { asymmetricKeyType, asymmetricKeyDetails } = createPublicKey(
        secrets.certificate(certificateName)?.privateKey ?? "",
      );
      seen.push([asymmetricKeyType, asymmetricKeyDetails?.modulusLength ?? asymmetricKeyDetails?.namedCurve]);
    }
    assert.deepEqual(seen, [
      ["rsa", 2048],
      ["ec", "secp384r1"],
    ]);
  });

  test("a refused request is retried with back-off, and an expired certificate is reported", async () => {
    let refuse = false;
    let calls = 0;
    const port = await serve((call) => {
      calls += 1;
      return refuse ? { code: status.UNAUTHENTICATED, details: "token expired" } : signFor(10_000)(call);
    });
    const identity = await begin(port, { ttlMs: 10_000 });
    await identity.ready;
    refuse = true;
    assert.equal(await identity.renew(), false);
    assert.match(messages.join("\n"), /UNAUTHENTICATED.*token expired/);
    clock.advance(10_000);
    await identity.renew();
    assert.match(messages.join("\n"), /expired at .* and could not be renewed/);
    assert.match(metrics.expose(), /outrigger_agent_certificate_expired_total 1/);
    refuse = false;
    assert.equal(await identity.renew(), true);
    assert.ok(calls >= 3);
    assert.ok((secrets.certificate(certificateName)?.notAfterMs ?? 0) > clock.now());
    assert.match(metrics.expose(), /istio_agent_cert_expiry_seconds\{resource_name="default"\} \d+/);
  });

  test("requests are counted, those that failed too, and how long the certificate is good", async () => {
    let refuse = false;
    const port = await serve((call) =>
      refuse ? { code: status.UNAUTHENTICATED, details: "token expired" } : signFor(10_000)(call),
    );
    const identity = await begin(port, { ttlMs: 10_000 });
    await identity.ready;
    refuse = true;
    await identity.renew();
    const value = (series: string): number =>
      Number(
        metrics
          .expose()
          .split("\n")
          .find((line) => line.startsWith(`${series} `))
          ?.slice(series.length + 1),
      );
    assert.equal(value('istio_agent_num_outgoing_requests{request_type="csr"}'), 2);
    assert.equal(value('istio_agent_num_failed_outgoing_requests{request_type="csr"}'), 1);
    const retries = 'istio_agent_num_outgoing_retries{request_type="csr"}';
    assert.ok(Number.isNaN(value(retries)), "nothing was tried again");
    const expiry = 'istio_agent_cert_expiry_seconds{resource_name="default"}';
    const before = value(expiry);
    assert.ok(before > 5 && before <= 10, String(before));
    clock.advance(4_000);
    assert.ok(Math.abs(before - 4 - value(expiry)) < 0.01);
    assert.equal(value(retries), 1);
  });

  test("a service that its roots do not vouch for gets no token and is not believed", async () => {
    let called = false;
    const stranger = makeAuthority("stranger");
    const port = await serve(() => {
      called = true;
      return [];
    }, stranger);
    const identity = await begin(port);
    assert.equal(await identity.renew(), false);
    assert.equal(called, false);
    assert.equal(secrets.certificate(certificateName), undefined);
    assert.match(messages.join("\n"), /no certificate from/);
  });

  test("a chain for another key is refused", async () => {
    const other = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const port = await serve(() => [
      leafFor(authority, other.publicKey, { uris: [spiffeId] }, clock.now() + hourMs),
      authority.pem,
    ]);
    const identity = await begin(port);
    assert.equal(await identity.renew(), false);
    assert.match(messages.join("\n"), /the leaf is for another key/);
  });

  test("during a root rotation both roots are trusted, and a change of the mounted file is seen", async () => {
    const second = makeAuthority("second");
    let signer = authority;
    const port = await serve(signFor(24 * hourMs, () => signer));
    const identity = await begin(port);
    await identity.ready;
    signer = second;
    await identity.renew();
    assert.ok(secrets.trustedRoots(rootsName)?.includes(second.pem.trim()));
    assert.ok(secrets.trustedRoots(rootsName)?.includes(authority.pem.trim()));
    const changed = secretChange(secrets, rootsName);
    writeFileSync(join(directory, "root-cert.pem"), second.pem);
    await changed;
    assert.equal(secrets.trustedRoots(rootsName)?.trim(), second.pem.trim());
  });

  test("revocation lists come with the roots, change with their file, and bad ones change nothing", async () => {
    const port = await serve(signFor(hourMs));
    const path = join(directory, "crl/ca-crl.pem");
    mkdirSync(join(directory, "crl"));
    const listOf = (serialNumbers: string[]): string =>
      revocationListOf(authority.pem, authority.issuer.privateKey, {
        serialNumbers,
        thisUpdateMs: Date.now(),
        nextUpdateMs: Date.now() + hourMs,
      });
    const identity = await begin(port, { revocationsPath: path });
    await identity.ready;
    assert.equal(secrets.revocationList(rootsName), undefined);
    const write = async (text: string): Promise<void> => {
      const changed = secretChange(secrets, rootsName);
      writeFileSync(`${path}.new`, text);
      renameSync(`${path}.new`, path);
      await changed;
    };
    const [one, two] = [listOf(["0a"]), listOf(["0a", "0b"])];
    await write(one);
    assert.equal(secrets.revocationList(rootsName), one);
    await write(two);
    assert.equal(secrets.revocationList(rootsName), two);
    const told = new Promise<void>((resolve) => {
      onMessage = (message) => /lists of before stay: .*crl.ca-crl\.pem holds no/.test(message) && resolve();
    });
    writeFileSync(`${path}.new`, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    renameSync(`${path}.new`, path);
    await told;
    assert.equal(secrets.revocationList(rootsName), two);
    assert.ok(secrets.trustedRoots(rootsName)?.includes(authority.pem.trim()));
    await write("");
    assert.equal(secrets.revocationList(rootsName), undefined);
  });

  test("it starts without a certificate service and becomes ready when one appears", async () => {
    rmSync(join(directory, "istio-token"));
    const port = await serve(signFor(hourMs));
    const identity = await begin(port);
    assert.equal(await identity.renew(), false);
    writeFileSync(join(directory, "istio-token"), "token-3");
    clock.advance(1_000);
    await identity.ready;
    assert.ok(secrets.certificate(certificateName));
  });
});

function secretChange(secrets: SecretStore, name: string): Promise<void> {
  return new Promise((resolve) => {
    const end = secrets.onChange((changed) => {
      if (changed !== name) return;
      end();
      resolve();
    });
  });
}
