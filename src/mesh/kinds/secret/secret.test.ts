import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import { decodeSecret } from "./decode.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");

const read = (fields: object): unknown =>
  decodeSecret({ apiVersion: "v1", kind: "Secret", metadata: { name: "a" }, ...fields } as KubernetesObject, () => {});

test("both forms of a Secret with certificates are read, the generic one first", () => {
  const tls = { "tls.crt": base64("chain"), "tls.key": base64("key"), "ca.crt": base64("ca"), "ca.crl": base64("crl") };
  const whole = { certificate: "chain", key: "key", roots: "ca", revocationList: "crl" };
  assert.deepEqual(read({ type: "kubernetes.io/tls", data: tls }), whole);
  const generic = { cert: base64("c"), key: base64("k"), cacert: base64("r"), crl: base64("l") };
  assert.deepEqual(read({ data: { ...tls, ...generic } }), {
    certificate: "c",
    key: "k",
    roots: "r",
    revocationList: "l",
  });
  assert.deepEqual(read({ data: { cacert: base64("r") } }), { roots: "r" });
});

test("what a person writes in plain text counts like the rest, and other Secrets hold nothing", () => {
  assert.deepEqual(read({ stringData: { "tls.crt": "chain", "tls.key": "key" } }), {
    certificate: "chain",
    key: "key",
  });
  assert.deepEqual(read({ data: { password: base64("x") } }), {});
  assert.deepEqual(read({}), {});
  const pulling = { type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": base64('{"auths":{}}') } };
  assert.deepEqual(read(pulling), { dockerConfig: '{"auths":{}}' });
});
