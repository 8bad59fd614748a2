// Against two independent readers: Node's X509Certificate and the openssl command.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openStore } from "../../store/open-store.ts";
import { serverCertificate } from "./cluster-ca.ts";

const now = Date.parse("2026-06-01T12:00:00Z");
const names = ["kubernetes.default.svc", "10.96.0.1", "fd00::1:2"];

test("the server's certificate is for its names and signed by the CA", () => {
  const { caPem, certificatePem } = serverCertificate(openStore({ memory: true }), names, now);
  const ca = new X509Certificate(caPem);
  const server = new X509Certificate(certificatePem);
  assert.ok(server.verify(ca.publicKey));
  assert.ok(server.checkIssued(ca));
  assert.ok(ca.ca);
  assert.ok(!server.ca);
  assert.equal(server.checkHost("kubernetes.default.svc"), "kubernetes.default.svc");
  assert.equal(server.checkIP("10.96.0.1"), "10.96.0.1");
  assert.equal(
    server.subjectAltName,
    "DNS:kubernetes.default.svc, IP Address:10.96.0.1, IP Address:FD00:0:0:0:0:0:1:2",
  );
  assert.equal(server.validFromDate.getTime(), now - 3_600_000);
});

test("openssl verifies the chain by its strict rules", (context) => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-certificate-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const { caPem, certificatePem } = serverCertificate(openStore({ memory: true }), names, now);
  const [ca, server] = [join(folder, "ca.pem"), join(folder, "server.pem")];
  writeFileSync(ca, caPem);
  writeFileSync(server, certificatePem);
  const rules = ["-x509_strict", "-purpose", "sslserver", "-verify_hostname", "kubernetes.default.svc"];
  const output = execFileSync("openssl", ["verify", ...rules, "-attime", String(now / 1000), "-CAfile", ca, server]);
  assert.match(output.toString(), /server\.pem: OK/);
});

test("the CA is made once and kept", () => {
  const store = openStore({ memory: true });
  const first = serverCertificate(store, names, now);
  const second = serverCertificate(store, names, now);
  assert.equal(first.caPem, second.caPem);
  assert.notEqual(first.certificatePem, second.certificatePem);
});
