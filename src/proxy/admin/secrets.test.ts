import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { SecretStore } from "#wire/tls/secrets.ts";
import type { ProxyState } from "./proxy-state.ts";
import { certs, missingSecretEntries, secretEntries } from "./secrets.ts";

const openssl = (...args: string[]): string => execFileSync("openssl", args, { encoding: "utf8", stdio: "pipe" });

const hasOpenssl = ((): boolean => {
  try {
    return openssl("version") !== "";
  } catch {
    return false;
  }
})();

test("certificates are shown, private keys never", { skip: !hasOpenssl && "openssl is absent" }, () => {
  const pem = openssl(
    ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout - -days 2 -subj /".split(" "),
    "-addext",
    "subjectAltName=URI:spiffe://cluster.local/ns/default/sa/a",
  );
  const [privateKey = ""] = /-----BEGIN PRIVATE KEY-----[^]*?-----END PRIVATE KEY-----/.exec(pem) ?? [];
  const [certificateChain = ""] = /-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/.exec(pem) ?? [];
  assert.notEqual(privateKey, "");
  const secrets = new SecretStore();
  secrets.setCertificate("default", {
    certificateChain,
    privateKey,
    notAfterMs: 2000,
    notBeforeMs: 1000,
    serialNumber: "7f",
    spiffeId: "spiffe://cluster.local/ns/default/sa/a",
  });
  secrets.setTrustedRoots("ROOTCA", certificateChain);

  const dump = JSON.stringify([...secretEntries(secrets)].map((entry) => entry.render()));
  assert.ok(dump.includes(Buffer.from(certificateChain).toString("base64")));
  assert.ok(dump.includes(Buffer.from("[redacted]").toString("base64")));
  const keyBody = privateKey.split("\n")[1] ?? "";
  assert.ok(!dump.includes(Buffer.from(privateKey).toString("base64")));
  assert.ok(!dump.includes(keyBody));

  const shown = certs({ secrets, now: () => Date.now() } as ProxyState) as {
    certificates: {
      cert_chain?: { subject_alt_names: object[]; days_until_expiration: string }[];
      ca_cert?: object[];
    }[];
  };
  assert.deepEqual(shown.certificates[0]?.cert_chain?.[0]?.subject_alt_names, [
    { uri: "spiffe://cluster.local/ns/default/sa/a" },
  ]);
  assert.equal(shown.certificates[0]?.cert_chain?.[0]?.days_until_expiration, "1");
  assert.equal(shown.certificates[1]?.ca_cert?.length, 1);
});

test("revocation lists stand with their roots, and what the configuration names and is not there is shown as warming", () => {
  const secrets = new SecretStore();
  secrets.setTrustedRoots("ROOTCA", "roots", "lists");
  secrets.setRevocationList("file-crl:/etc/crl.pem", "lists");
  secrets.setWanted(new Set(["ROOTCA", "default", "system", "file-cert:/a~/b", "file-crl:/etc/crl.pem"]));
  const names = (entries: ReturnType<typeof secretEntries>): string[] => [...entries].map(({ name }) => name);
  assert.deepEqual(names(secretEntries(secrets)), ["ROOTCA"]);
  assert.deepEqual(names(missingSecretEntries(secrets)), ["default", "file-cert:/a~/b"]);
  const [roots] = [...secretEntries(secrets)].map((entry) => entry.render());
  const bytes = (text: string): object => ({ inline_bytes: Buffer.from(text).toString("base64") });
  const context = { trusted_ca: bytes("roots"), crl: bytes("lists") };
  assert.partialDeepStrictEqual(roots, { name: "ROOTCA", secret: { name: "ROOTCA", validation_context: context } });
});
