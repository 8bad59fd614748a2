import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Client, type ClientDuplexStream, credentials, type MethodDefinition, status } from "@grpc/grpc-js";
import { type Logger, silentLogger } from "#base/log/log.ts";
import { MetricRegistry } from "#base/metrics/registry.ts";
import { systemClock } from "#base/time/clock.ts";
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
} from "#wire/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { readTlsCertificate } from "#wire/tls/read-certificate.ts";
import { SecretStore, type TlsCertificate } from "#wire/tls/secrets.ts";
import { issueAuthority, issueLeaf, readIssuer } from "#wire/x509/issue-certificate.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { FileSecrets } from "../identity/file-secrets.ts";
import { outputCerts } from "../identity/output-certs.ts";
import { readSecretResource } from "./secret-resource.ts";
import { isServed, startSecretServer } from "./secret-server.ts";
import { deltaSecretsMethod, fetchSecretsMethod, streamSecretsMethod } from "./secret-service.ts";
import { startSocketIdentity } from "./socket-identity.ts";

const spiffeId = "spiffe://cluster.local/ns/default/sa/reviews";

const root = ((): { pem: string; key: string } => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = issueAuthority(privateKey, {
    publicKeyInfo: publicKey.export({ format: "der", type: "spki" }),
    subject: { organization: "root" },
    notBeforeMs: Date.now() - 1000,
    notAfterMs: Date.now() + 3_600_000,
  });
  return { pem, key: privateKey.export({ format: "pem", type: "pkcs8" }).toString() };
})();

function newCertificate(): TlsCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const leaf = issueLeaf(readIssuer(root.pem, root.key), {
    publicKeyInfo: publicKey.export({ format: "der", type: "spki" }),
    names: { uris: [spiffeId] },
    notBeforeMs: Date.now() - 1000,
    notAfterMs: Date.now() + 3_600_000,
  });
  const read = readTlsCertificate(leaf, privateKey.export({ format: "pem", type: "pkcs8" }).toString());
  assert.ok(typeof read !== "string");
  return read;
}

class Stream<Request, Response> {
  readonly #stream: ClientDuplexStream<Request, Response>;
  readonly #received: Response[] = [];
  #wake: () => void = () => {};
  error: Error | undefined;

  constructor(client: Client, { path, requestSerialize, responseDeserialize }: MethodDefinition<Request, Response>) {
    this.#stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    this.#stream.on("data", (response: Response) => {
      this.#received.push(response);
      this.#wake();
    });
    this.#stream.on("error", (error: Error) => {
      this.error = error;
      this.#wake();
    });
  }

  write(request: Request): void {
    this.#stream.write(request);
  }

  get waiting(): number {
    return this.#received.length;
  }

  async next(): Promise<Response> {
    for (;;) {
      const response = this.#received.shift();
      if (response !== undefined) return response;
      if (this.error !== undefined) throw this.error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  cancel(): void {
    this.#stream.cancel();
  }
}

describe("the agent's socket for secrets", { timeout: 30_000 }, () => {
  let folder: string;
  let socket: string;
  let secrets: SecretStore;
  const lines: string[] = [];
  const log: Logger = {
    ...silentLogger,
    warn: (message) => lines.push(message),
    error: (message) => lines.push(message),
  };
  const cleanups: (() => void | Promise<void>)[] = [];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "outrigger-sds-"));
    socket = join(folder, "socket");
    secrets = new SecretStore();
    lines.length = 0;
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    rmSync(folder, { recursive: true, force: true });
  });

  async function serve(): Promise<Client> {
    const server = await startSecretServer(socket, { secrets, log });
    const client = new Client(`unix:${socket}`, credentials.createInsecure());
    cleanups.push(
      () => server.stop(),
      () => client.close(),
    );
    return client;
  }

  const full = (fields: MessageInitShape<typeof DiscoveryRequestSchema>): ReturnType<typeof createFull> =>
    createFull(fields);
  const createFull = (fields: MessageInitShape<typeof DiscoveryRequestSchema>) =>
    create(DiscoveryRequestSchema, { node: { id: "envoy" }, typeUrl: typeUrl.secret, ...(fields as object) });
  const delta = (fields: MessageInitShape<typeof DeltaDiscoveryRequestSchema>) =>
    create(DeltaDiscoveryRequestSchema, { node: { id: "envoy" }, typeUrl: typeUrl.secret, ...(fields as object) });

  function open(client: Client): Stream<ReturnType<typeof createFull>, DiscoveryResponse> {
    const stream = new Stream(client, streamSecretsMethod);
    cleanups.push(() => stream.cancel());
    return stream;
  }

  function openDelta(client: Client): Stream<ReturnType<typeof delta>, DeltaDiscoveryResponse> {
    const stream = new Stream(client, deltaSecretsMethod);
    cleanups.push(() => stream.cancel());
    return stream;
  }

  const contents = ({ resources }: DiscoveryResponse): unknown[] =>
    resources.map(({ value }) => readSecretResource(value));

  test("a stream gets the certificate with its key, and the next one when it is renewed", async () => {
    const stream = open(await serve());
    stream.write(full({ resourceNames: ["default"] }));
    const first = newCertificate();
    secrets.setCertificate("default", first);
    const response = await stream.next();
    assert.equal(response.typeUrl, typeUrl.secret);
    assert.deepEqual(contents(response), [{ name: "default", certificate: first }]);
    const { versionInfo, nonce } = response;
    stream.write(full({ resourceNames: ["default"], versionInfo, responseNonce: nonce }));
    const second = newCertificate();
    secrets.setCertificate("default", second);
    const renewed = await stream.next();
    assert.deepEqual(contents(renewed), [{ name: "default", certificate: second }]);
    assert.notEqual(renewed.versionInfo, versionInfo);
    assert.equal(stream.waiting, 0, "an acknowledgement is not answered");
  });

  test("roots come with their revocation lists, and a refusal is told in the log", async () => {
    secrets.setTrustedRoots("ROOTCA", root.pem, "list");
    const stream = open(await serve());
    stream.write(full({ resourceNames: ["ROOTCA"] }));
    const response = await stream.next();
    assert.deepEqual(contents(response), [{ name: "ROOTCA", roots: root.pem, revocationList: "list" }]);
    const errorDetail = { code: 3, message: "no" };
    stream.write(full({ resourceNames: ["ROOTCA"], responseNonce: response.nonce, errorDetail }));
    while (lines.length === 0) await new Promise(setImmediate);
    secrets.setTrustedRoots("ROOTCA", root.pem + root.pem);
    await stream.next();
    assert.deepEqual(lines, ["a client refused a secret"]);
  });

  test("delta: what is known is not sent again, what goes is removed", async () => {
    secrets.setTrustedRoots("ROOTCA", root.pem);
    secrets.setTrustedRoots("web-cacert", root.pem);
    const client = await serve();
    const stream = openDelta(client);
    stream.write(delta({ resourceNamesSubscribe: ["ROOTCA", "web-cacert"] }));
    const response = await stream.next();
    assert.deepEqual(response.resources.map(({ name }) => name).sort(), ["ROOTCA", "web-cacert"]);
    secrets.remove("web-cacert");
    assert.deepEqual((await stream.next()).removedResources, ["web-cacert"]);
    const version = response.resources.find(({ name }) => name === "ROOTCA")?.version ?? "";
    const again = openDelta(client);
    again.write(delta({ resourceNamesSubscribe: ["ROOTCA", "default"], initialResourceVersions: { ROOTCA: version } }));
    again.write(delta({ resourceNamesUnsubscribe: ["ROOTCA"] }));
    const own = newCertificate();
    secrets.setCertificate("default", own);
    assert.deepEqual(
      (await again.next()).resources.map(({ name }) => name),
      ["default"],
    );
  });

  test("a fetch gets what is there now", async () => {
    const client = await serve();
    const fetch = (name: string, type: string = typeUrl.secret): Promise<DiscoveryResponse> =>
      new Promise((resolve, reject) => {
        const { path, requestSerialize, responseDeserialize } = fetchSecretsMethod;
        const request = full({ resourceNames: [name], typeUrl: type });
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, response) =>
          response === undefined ? reject(error) : resolve(response),
        );
      });
    await assert.rejects(fetch("default"), { code: status.NOT_FOUND });
    await assert.rejects(fetch("default", typeUrl.cluster), { code: status.INVALID_ARGUMENT });
    const own = newCertificate();
    secrets.setCertificate("default", own);
    assert.deepEqual(contents(await fetch("default")), [{ name: "default", certificate: own }]);
  });

  test("files that a client names are read, as long as they hold certificates", async () => {
    const keeper = new FileSecrets({ secrets, log, clock: systemClock });
    cleanups.push(() => keeper.stop());
    const own = newCertificate();
    const [chain, key, roots, token] = ["own.pem", "own.key", "root.pem", "token"].map((name) => join(folder, name));
    writeFileSync(chain ?? "", own.certificateChain);
    writeFileSync(key ?? "", own.privateKey);
    writeFileSync(roots ?? "", root.pem);
    writeFileSync(token ?? "", "a service account's token");
    const stream = open(await serve());
    const names = [`file-cert:${chain}~${key}`, `file-root:${roots}`, `file-root:${token}`];
    stream.write(full({ resourceNames: names }));
    const response = await stream.next();
    const seen = contents(response) as { name: string }[];
    assert.ok(!JSON.stringify(seen).includes("token"));
    while (seen.length < 2) seen.push(...(contents(await stream.next()) as { name: string }[]));
    assert.deepEqual(new Set(seen.map(({ name }) => name)), new Set(names.slice(0, 2)));
    assert.ok(secrets.wanted.has(names[0] ?? ""));
    stream.cancel();
    while (secrets.wanted.size > 0) await new Promise(setImmediate);
  });

  test("only the proxy's user and group can open it; what nobody serves any more is replaced", async () => {
    const dead = createServer().listen(socket);
    await once(dead, "listening");
    assert.equal(await isServed(socket), true);
    dead.close();
    writeFileSync(socket, "");
    assert.equal(await isServed(socket), false);
    await serve();
    assert.equal(statSync(socket).mode & 0o777, 0o660);
    assert.equal(await isServed(socket), true);
    await assert.rejects(startSecretServer(join(folder, "missing/socket"), { secrets, log }), { code: "SDS_LISTEN" });
  });

  test("another provider's socket gives the identity, and its renewals; what it should not say is refused", async () => {
    const provider = secrets;
    await serve();
    const own = new SecretStore();
    const metrics = new MetricRegistry();
    const identity = startSocketIdentity({
      socket,
      nodeId: "sidecar~1",
      secrets: own,
      log,
      metrics,
      clock: systemClock,
    });
    cleanups.push(() => identity.stop());
    const first = newCertificate();
    provider.setTrustedRoots("ROOTCA", root.pem);
    provider.setCertificate("default", first);
    await identity.ready;
    assert.equal(own.certificate("default")?.serialNumber, first.serialNumber);
    assert.equal(own.certificate("default")?.spiffeId, spiffeId);
    const second = newCertificate();
    const changed = new Promise<void>((resolve) => {
      own.onChange(() => {
        if (own.certificate("default")?.serialNumber === second.serialNumber) resolve();
      });
    });
    provider.setCertificate("default", second);
    await changed;
    assert.equal(own.trustedRoots("ROOTCA"), root.pem);
    assert.match(metrics.expose(), /istio_agent_cert_expiry_seconds\{resource_name="default"\} \d+/);
    // Roots under the name of the certificate.
    provider.remove("default");
    provider.setTrustedRoots("default", root.pem);
    while (lines.length === 0) await new Promise(setImmediate);
    assert.match(lines[0] ?? "", /is refused: nobody asked for a secret default of this type/);
    assert.equal(own.certificate("default")?.serialNumber, second.serialNumber);
  });

  test("a provider that is not there yet is waited for", async () => {
    const own = new SecretStore();
    const identity = startSocketIdentity({
      socket,
      nodeId: "sidecar~1",
      secrets: own,
      log,
      metrics: new MetricRegistry(),
      clock: systemClock,
    });
    cleanups.push(() => identity.stop());
    while (lines.length === 0) await new Promise(setImmediate);
    assert.match(lines[0] ?? "", /no certificate from .*socket/);
    secrets.setCertificate("default", newCertificate());
    await serve();
    await identity.ready;
  });

  test("OUTPUT_CERTS writes the certificate where others of the group can read it, and says so", () => {
    const output = join(folder, "certs");
    const writing = outputCerts(output, secrets, log);
    cleanups.push(() => writing.stop());
    assert.match(lines[0] ?? "", /private key is written to files/);
    const own = newCertificate();
    secrets.setTrustedRoots("ROOTCA", root.pem);
    secrets.setCertificate("default", own);
    assert.equal(readFileSync(join(output, "cert-chain.pem"), "utf8"), own.certificateChain);
    assert.equal(readFileSync(join(output, "key.pem"), "utf8"), own.privateKey);
    assert.equal(readFileSync(join(output, "root-cert.pem"), "utf8"), root.pem);
    assert.equal(statSync(join(output, "key.pem")).mode & 0o777, 0o640);
    const renewed = newCertificate();
    secrets.setCertificate("default", renewed);
    assert.equal(readFileSync(join(output, "key.pem"), "utf8"), renewed.privateKey);
    assert.ok(!lines.join("\n").includes("PRIVATE KEY"));
  });
});
