import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { configMaps } from "#cluster/store/resources.ts";
import { selfSigned } from "#wire/x509/testing/self-signed.ts";
import { type MeshApi, startMeshApi } from "../../testing/mesh-api.ts";
import { lifetimeOf } from "./lifetime.ts";

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
