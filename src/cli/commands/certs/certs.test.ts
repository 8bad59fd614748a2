import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { after, before, test } from "node:test";
import { setReady } from "#cluster/controllers/local-cluster.test-support.ts";
import { configMaps, pods, trustBundles } from "#cluster/store/resources.ts";
import { revocationListOf } from "#wire/x509/testing/revocation.ts";
import { selfSigned } from "#wire/x509/testing/self-signed.ts";
import { type MeshApi, startMeshApi } from "../../testing/mesh-api.ts";
import { lifetimeOf, lifetimeOfLists } from "./lifetime.ts";

const dayMs = 86_400_000;
const until = (leftMs: number, wholeMs = dayMs): string =>
  selfSigned("a", { notBeforeMs: Date.now() + leftMs - wholeMs, notAfterMs: Date.now() + leftMs }).chain;
const [fresh, late, ended] = [until(dayMs * 0.9), until(dayMs * 0.15), until(-60_000)];

test("a chain is as good as what ends first in it, and of roots one that is good is enough", () => {
  const state = (type: "chain" | "roots", ...pems: string[]): string | undefined =>
    lifetimeOf(pems.join(""), type, Date.now())?.state;
  assert.equal(state("chain", fresh), "valid");
  assert.equal(state("chain", late), "ends soon");
  assert.equal(state("chain", ended), "expired");
  assert.equal(state("chain", until(2 * dayMs)), "not valid yet");
  assert.equal(state("chain", fresh, ended), "expired");
  assert.equal(state("roots", ended, fresh), "valid");
  assert.equal(state("roots", ended), "expired");
  assert.equal(state("chain", "none"), undefined);
});

const ca = selfSigned("ca");
const listUntil = (leftMs: number): string =>
  revocationListOf(ca.chain, createPrivateKey(ca.key), {
    thisUpdateMs: Date.now() + leftMs - dayMs,
    nextUpdateMs: Date.now() + leftMs,
  });

test("revocation lists are as good as what ends first", () => {
  const state = (...texts: string[]): string | undefined => lifetimeOfLists(texts.join(""), Date.now())?.state;
  assert.equal(state(listUntil(dayMs * 0.9)), "valid");
  assert.equal(state(listUntil(dayMs * 0.9), listUntil(-1000)), "expired");
  assert.equal(state("text"), undefined);
});

let mesh: MeshApi;

before(async () => {
  mesh = await startMeshApi(["shop.default"]);
  mesh.cluster.store.create(configMaps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "istio-ca-root-cert", namespace: "istio-system" },
    data: { "root-cert.pem": fresh },
  });
});
after(() => mesh.stop());

function holds(pem: string): void {
  const chain = { inlineBytes: Buffer.from(pem).toString("base64") };
  const secret = { name: "default", secret: { name: "default", tlsCertificate: { certificateChain: chain } } };
  mesh.answers.set("/config_dump", {
    configs: [{ "@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump", dynamicActiveSecrets: [secret] }],
  });
}

test("certs shows the mesh's roots and what each proxy holds; one that ends soon makes the exit code 1", async () => {
  holds(fresh);
  const good = await mesh.run("certs");
  assert.equal(good.code, 0, good.stderr);
  assert.match(good.stdout, /^mesh +root +roots +\S+Z +(89|90) % +valid$/m);
  assert.match(good.stdout, /^shop\.default +default +chain +\S+Z +(89|90) % +valid$/m);
  holds(late);
  const soon = await mesh.run("certs", "-o", "json");
  assert.equal(soon.code, 1);
  const [, held] = JSON.parse(soon.stdout) as { percentLeft: number; state: string }[];
  assert.deepEqual([held?.state, held?.percentLeft], ["ends soon", 14]);
});

test("a proxy that does not answer is told, and makes the exit code 1", async () => {
  mesh.answers.clear();
  const { code, stderr } = await mesh.run("certs");
  assert.equal(code, 1);
  assert.match(stderr, /shop\.default does not answer/);
});

test("a proxy that has no certificate is told though it is not ready; so is a secret that is named and not there", async () => {
  const entry = { name: "kubernetes://shop", secret: { name: "kubernetes://shop" } };
  mesh.answers.set("/config_dump", {
    configs: [{ "@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump", dynamicWarmingSecrets: [entry] }],
  });
  setReady(mesh.cluster.store, "default", "shop", false);
  const { code, stdout, stderr } = await mesh.run("certs");
  assert.equal(code, 1);
  assert.match(stdout, /^shop\.default +kubernetes:\/\/shop +chain +- +0 % +missing$/m);
  assert.match(stderr, /shop\.default has no certificate of the mesh; see: outrigger logs shop\.default/);
  mesh.cluster.store.patch(pods, "default", "shop", { status: { phase: "Pending" } }, { status: true });
  assert.equal((await mesh.run("certs")).stderr, "", "what does not run holds nothing");
  mesh.cluster.store.patch(pods, "default", "shop", { status: { phase: "Running" } }, { status: true });
});

test("revocation lists of the mesh and of proxies are certificates' equals, and roots may be a trust bundle", async () => {
  const store = mesh.cluster.store;
  const lists = (text: string): void => {
    const map = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "istio-ca-crl", namespace: "istio-system" } };
    const object = { ...map, data: { "ca-crl.pem": text } };
    if (store.get(configMaps, "istio-system", "istio-ca-crl") === undefined) store.create(configMaps, object);
    else store.update(configMaps, object);
  };
  const inline = (pem: string): object => ({ inlineBytes: Buffer.from(pem).toString("base64") });
  const secrets = [
    { name: "default", secret: { tlsCertificate: { certificateChain: inline(fresh) } } },
    {
      name: "ROOTCA",
      secret: { validationContext: { trustedCa: inline(fresh), crl: inline(listUntil(dayMs * 0.1)) } },
    },
  ];
  mesh.answers.set("/config_dump", {
    configs: [{ "@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump", dynamicActiveSecrets: secrets }],
  });
  lists("");
  store.delete(configMaps, "istio-system", "istio-ca-root-cert");
  const none = await mesh.run("certs");
  assert.equal(none.code, 1);
  assert.match(none.stderr, /the mesh has given out no roots/);
  store.create(trustBundles, {
    apiVersion: "certificates.k8s.io/v1beta1",
    kind: "ClusterTrustBundle",
    metadata: { name: "istio.io:istiod-ca:root-cert" },
    spec: { trustBundle: fresh },
  });
  lists(listUntil(dayMs * 0.9));
  const { stdout, code } = await mesh.run("certs");
  assert.match(stdout, /^mesh +root +roots +\S+Z +(89|90) % +valid$/m);
  assert.match(stdout, /^mesh +crl +lists +\S+Z +(89|90) % +valid$/m);
  assert.match(stdout, /^shop\.default +ROOTCA +roots +\S+Z +(89|90) % +valid$/m);
  assert.match(stdout, /^shop\.default +ROOTCA +lists +\S+Z +(9|10) % +ends soon$/m);
  assert.equal(code, 1);
});

test("a format that nobody knows is refused before anything is asked", async () => {
  const before = mesh.asked.length;
  const { code, stderr } = await mesh.run("certs", "-o", "xml");
  assert.equal(code, 1);
  assert.match(stderr, /unknown output format "xml"; use one of table, json, yaml/);
  assert.equal(mesh.asked.length, before);
});
