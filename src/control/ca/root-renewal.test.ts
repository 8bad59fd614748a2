import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { type Logger, silentLogger } from "#base/log/log.ts";
import { MetricRegistry } from "#base/metrics/registry.ts";
import { type Clock, ManualClock, systemClock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { parseCertificate } from "#wire/x509/certificate.ts";
import { KubernetesClient } from "../sources/kubernetes/client.ts";
import { type FakeApiServer, startFakeApiServer } from "../sources/kubernetes/testing/fake-api-server.ts";
import { CertificateAuthority } from "./authority.ts";
import { AuthorityEvents } from "./authority-events.ts";
import { ExpiryWatch, exposeExpiry } from "./authority-expiry.ts";
import { loadClusterMaterial, readSelfSigned, writeSelfSigned } from "./cluster-material.ts";
import { knownRootsSecretName, SecretRootMemory } from "./known-roots.ts";
import { type AuthorityMaterial, createSelfSignedMaterial } from "./material.ts";
import { defaultRootRenewal, RootRenewal } from "./root-renewal.ts";
import { intermediateOf } from "./testing/intermediate.ts";

const namespace = "istio-system";
const secrets = "/api/v1/secrets";
const events = "/api/v1/events";
const start = Date.UTC(2026, 5, 1);
const day = 86_400_000;

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setUp(): Promise<{ api: FakeApiServer; client: KubernetesClient }> {
  const api = await startFakeApiServer([secrets, events]);
  const client = new KubernetesClient({ socketPath: api.socketPath });
  cleanups.push(
    () => api.stop(),
    () => client.close(),
  );
  return { api, client };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `never: ${condition}`);
    await new Promise(setImmediate);
  }
}

function notAfterMs(material: AuthorityMaterial | undefined): number {
  return parseCertificate(material?.caCertificate ?? "").notAfterMs;
}

/** Its renewals as they happen. */
function renew(client: KubernetesClient, clock: Clock, log: Logger = silentLogger): AuthorityMaterial[] {
  const renewed: AuthorityMaterial[] = [];
  const renewal = new RootRenewal({
    settings: { ...defaultRootRenewal, ttlMs: 10 * day },
    read: () => readSelfSigned(client, namespace),
    write: (expected, material) => writeSelfSigned(client, namespace, expected, material),
    onRenewed: (material) => renewed.push(material),
    clock,
    log,
    random: () => 0.5,
  });
  cleanups.push(() => renewal.stop());
  return renewed;
}

describe("the self-signed root", () => {
  test("is renewed from a fifth of its life on, under the same key, and written to its Secret", async () => {
    const { client } = await setUp();
    const clock = new ManualClock(start);
    const options = { client, namespace, trustDomain: "cluster.local", rootTtlMs: 10 * day, now: () => clock.now() };
    const { material: first } = await loadClusterMaterial(options);
    const renewed = renew(client, clock);
    for (let hours = 0; hours < 8 * 24 - 1; hours++) {
      clock.advance(3_600_000);
      await new Promise(setImmediate);
    }
    assert.equal(renewed.length, 0);
    while (renewed.length === 0 && clock.now() < start + 9 * day) {
      clock.advance(60_000);
      await new Promise((resolve) => {
        setTimeout(resolve, 1);
      });
    }
    assert.equal(renewed.length, 1);
    const stored = await readSelfSigned(client, namespace);
    assert.deepEqual(stored, renewed[0]);
    assert.equal(stored?.caKey, first.caKey);
    assert.ok(notAfterMs(stored) > start + 17 * day);
  });

  test("is renewed once when two replicas find it due", async () => {
    const { client, api } = await setUp();
    const clock = new ManualClock(start);
    const options = { client, namespace, trustDomain: "cluster.local", rootTtlMs: 10 * day, now: () => clock.now() };
    const { material: first } = await loadClusterMaterial(options);
    clock.advance(9 * day);
    const renewed = [renew(client, clock), renew(client, clock)].flatMap((all) => [all]);
    await until(() => renewed.some(({ length }) => length > 0));
    await until(() => api.requests.filter((line) => line.startsWith("PUT")).length >= 1);
    await new Promise(setImmediate);
    assert.equal(renewed.flat().length, 1);
    await assert.rejects(writeSelfSigned(client, namespace, first, first), { code: "API_CONFLICT" });
  });

  test("that has ended is renewed before the CA starts with it; a plugged-in one that has ended is refused", async () => {
    const { client, api } = await setUp();
    const clock = new ManualClock(start);
    const options = { client, namespace, trustDomain: "cluster.local", rootTtlMs: 10 * day, now: () => clock.now() };
    const { material: first } = await loadClusterMaterial(options);
    clock.advance(11 * day);
    const { material: second } = await loadClusterMaterial(options);
    assert.equal(second.caKey, first.caKey);
    assert.equal(notAfterMs(second), start + 21 * day);
    assert.deepEqual(await readSelfSigned(client, namespace), second);
    const old = intermediateOf(createSelfSignedMaterial("corp", start), start, day);
    const encode = (text: string): string => Buffer.from(text).toString("base64");
    api.put(secrets, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "cacerts", namespace },
      data: {
        "ca-cert.pem": encode(old.caCertificate),
        "ca-key.pem": encode(old.caKey),
        "root-cert.pem": encode(old.rootCertificates),
      },
    });
    await assert.rejects(loadClusterMaterial(options), /expired at 2026-06-02/);
  });

  test("of an unreadable Secret is told, and looked at again", async () => {
    const { client, api } = await setUp();
    const lines: string[] = [];
    api.respond = () => ({ status: 500, body: { message: "not now" } });
    renew(client, systemClock, { ...silentLogger, error: (message) => lines.push(message) });
    await until(() => lines.length > 0);
    assert.deepEqual(lines, ["the root could not be renewed"]);
  });
});

describe("the end of the CA's certificates", () => {
  test("shows in Istio's gauges; those of the chain only where an intermediate signs", () => {
    const clock = new ManualClock(start);
    const metrics = new MetricRegistry();
    const root = createSelfSignedMaterial("corp", start, 100 * day);
    const authority = new CertificateAuthority(root, clock);
    exposeExpiry(metrics, authority, clock);
    clock.advance(day);
    const end = (start + 100 * day) / 1000;
    assert.match(metrics.expose(), new RegExp(`^citadel_server_root_cert_expiry_timestamp ${end}$`, "m"));
    assert.match(metrics.expose(), new RegExp(`^citadel_server_root_cert_expiry_seconds ${99 * 86_400}$`, "m"));
    assert.doesNotMatch(metrics.expose(), /^citadel_server_cert_chain/m);
    authority.replace(intermediateOf(root, clock.now(), 10 * day));
    const chainEnd = (start + 11 * day) / 1000;
    assert.match(metrics.expose(), new RegExp(`^citadel_server_root_cert_expiry_timestamp ${end}$`, "m"));
    assert.match(metrics.expose(), new RegExp(`^citadel_server_cert_chain_expiry_timestamp ${chainEnd}$`, "m"));
    assert.match(metrics.expose(), new RegExp(`^citadel_server_cert_chain_expiry_seconds ${10 * 86_400}$`, "m"));
  });

  test("is told in time, once for each certificate, as an Event at its Secret", async () => {
    const { api, client } = await setUp();
    const clock = new ManualClock(start);
    const root = createSelfSignedMaterial("corp", start, 1000 * day);
    const authority = new CertificateAuthority(intermediateOf(root, start, 10 * day), clock);
    const recorder = new AuthorityEvents({ client, namespace, clock, log: silentLogger });
    const watch = new ExpiryWatch({
      authority,
      clock,
      log: silentLogger,
      warnBelowPercent: () => 20,
      onWarning: (reason, message) => recorder.record("cacerts", reason, message),
    });
    cleanups.push(() => watch.stop());
    const seen = (): string[] => api.requests.filter((line) => line.startsWith("POST") && line.endsWith("/events"));
    clock.advance(8 * day);
    assert.equal(seen().length, 0);
    clock.advance(day);
    await until(() => seen().length === 1);
    clock.advance(2 * day);
    await until(() => seen().length === 2);
    clock.advance(2 * day);
    await new Promise(setImmediate);
    assert.equal(seen().length, 2);
    const stored = await listEvents(client);
    assert.deepEqual(stored.map(({ reason, type }) => [reason, type]).sort(), [
      ["CAExpired", "Warning"],
      ["CAExpiring", "Warning"],
    ]);
    assert.match(String(stored[0]?.["message"]), /^the CA's certificate expire/);
  });

  test("told twice is one Event with a count", async () => {
    const { client } = await setUp();
    const recorder = new AuthorityEvents({ client, namespace, clock: systemClock, log: silentLogger });
    recorder.record("cacerts", "CAInvalid", "the key does not belong to its certificate");
    recorder.record("cacerts", "CAInvalid", "the key does not belong to its certificate");
    let stored: KubernetesObject[] = [];
    for (const deadline = Date.now() + 5000; stored[0]?.["count"] !== 2; stored = await listEvents(client)) {
      assert.ok(Date.now() < deadline, JSON.stringify(stored));
    }
    assert.equal(stored.length, 1);
  });
});

async function listEvents(client: KubernetesClient): Promise<KubernetesObject[]> {
  const answer = (await client.raw("GET", events)) as { items: KubernetesObject[] };
  return answer.items;
}

test("roots are remembered in a Secret, until they have ended", async () => {
  const { client, api } = await setUp();
  const [one, two] = [new SecretRootMemory(client, namespace), new SecretRootMemory(client, namespace)];
  assert.deepEqual(await one.load(), []);
  await Promise.all([
    one.save([{ certificate: "a" }, { certificate: "b", untilMs: 2000 }], 1000),
    two.save([{ certificate: "c" }], 1000),
  ]);
  const all = await one.load();
  assert.deepEqual(all.map(({ certificate }) => certificate).sort(), ["a", "b", "c"]);
  await two.save([{ certificate: "c" }], 3000);
  assert.deepEqual((await one.load()).map(({ certificate }) => certificate).sort(), ["a", "c"]);
  const broken = Buffer.from("nonsense").toString("base64");
  const metadata = { name: knownRootsSecretName, namespace };
  api.put(secrets, { apiVersion: "v1", kind: "Secret", metadata, data: { "roots.json": broken } });
  assert.deepEqual(await one.load(), []);
});
