import assert from "node:assert/strict";
import { test } from "node:test";
import { selfSigned } from "#wire/x509/testing/self-signed.ts";
import { type Credential, type CredentialName, parseCredentialName } from "./credentials.ts";
import { meshFromYaml } from "./testing/mesh-from-yaml.ts";

const [one, other] = [selfSigned(), selfSigned()];

function secretYaml(name: string, data: Readonly<Record<string, string>>, namespace = "edge"): string {
  const encoded = Object.entries(data).map(([key, text]) => `"${key}": ${Buffer.from(text).toString("base64")}`);
  return `---
apiVersion: v1
kind: Secret
metadata: { name: ${name}, namespace: ${namespace} }
data: { ${encoded.join(", ")} }
`;
}

const asked = (name: string): CredentialName => {
  const parsed = parseCredentialName(name, "edge");
  assert.ok(parsed, name);
  return parsed;
};

test("names lead to Secrets, and to the roots of a Secret of that name or of the one without the ending", () => {
  const snapshot = meshFromYaml(
    secretYaml("tls", { "tls.crt": one.chain, "tls.key": one.key, "ca.crt": other.chain }) +
      secretYaml("apart", { cert: one.chain, key: one.key }) +
      secretYaml("apart-cacert", { cacert: other.chain }),
  );
  const find = (name: string): Credential => snapshot.credential(asked(name));
  for (const name of ["kubernetes://tls", "kubernetes://edge/apart", "kubernetes-gateway://edge/tls"]) {
    const credential = find(name);
    assert.equal(credential.type === "certificate" && credential.key, one.key, name);
  }
  for (const name of ["kubernetes://tls-cacert", "kubernetes://apart-cacert"]) {
    const credential = find(name);
    assert.equal(credential.type === "roots" && credential.roots, other.chain, name);
  }
  for (const name of ["default", "ROOTCA", "file-root:/a", "kubernetes://a/b/c", "invalid://a"]) {
    assert.equal(parseCredentialName(name, "edge"), undefined, name);
  }
});

test("why a Secret gives nothing is said in words, without a byte of the key", () => {
  const snapshot = meshFromYaml(
    secretYaml("mixed", { "tls.crt": one.chain, "tls.key": other.key }) +
      secretYaml("garbage", { "tls.crt": one.chain, "tls.key": "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n" }) +
      secretYaml("no-chain", { "tls.crt": "hello", "tls.key": one.key }) +
      secretYaml("empty", {}),
  );
  const problem = (name: string): string => {
    const credential = snapshot.credential(asked(`kubernetes://${name}`));
    return credential.type === "none" ? credential.problem : "no problem";
  };
  assert.equal(problem("nobody"), "there is no Secret edge/nobody");
  assert.equal(problem("mixed"), "the Secret edge/mixed has a key that is not that of its certificate");
  assert.equal(problem("garbage"), "the Secret edge/garbage has no readable private key");
  assert.equal(problem("no-chain"), "the Secret edge/no-chain has no readable certificate");
  assert.equal(problem("empty"), "the Secret edge/empty has neither tls.crt and tls.key nor cert and key");
  assert.equal(problem("mixed-cacert"), "the Secret edge/mixed has neither ca.crt nor cacert");
});

test("a Gateway whose Secret gives nothing says so, for the pods' namespace, and only it", () => {
  const gateway = (name: string, credential: string, mode = "SIMPLE"): string => `---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: ${name}, namespace: default }
spec:
  selector: { istio: gateway }
  servers:
  - port: { number: 443, name: https, protocol: HTTPS }
    hosts: [${name}.example.com]
    tls: { mode: ${mode}, credentialName: ${credential} }
`;
  const yaml = `${secretYaml("tls", { "tls.crt": one.chain, "tls.key": one.key })}---
apiVersion: v1
kind: Pod
metadata: { name: gateway, namespace: edge, labels: { istio: gateway } }
spec: { containers: [] }
${gateway("good", "tls")}${gateway("late", "late")}${gateway("mutual", "tls", "MUTUAL")}`;
  const reasons = Object.fromEntries(
    meshFromYaml(yaml)
      .resourceStates()
      .map(({ origin, reasons: words }) => [origin.name, words]),
  );
  assert.deepEqual(reasons, {
    good: [],
    late: ["there is no Secret edge/late: TLS handshakes for late.example.com fail"],
    mutual: ["the Secret edge/tls has neither ca.crt nor cacert: TLS handshakes for mutual.example.com fail"],
  });
});
