import assert from "node:assert/strict";
import { test } from "node:test";
import { objectOf, problemsOf } from "../../objects/testing/objects.ts";
import { gateway } from "./kind.ts";
import { serverHosts } from "./resolve.ts";

const server = (protocol: string, more: object = {}): object => ({
  port: { number: 443, name: "a", protocol },
  hosts: ["*"],
  ...more,
});

test("the namespace before a host decides whose VirtualServices may use it", () => {
  const { spec } = objectOf(gateway, {
    spec: { servers: [server("HTTP", { hosts: ["A.com", "*/b.com", "./c.com", "shop/d.com"] })] },
  });
  const [only] = spec.servers;
  assert.ok(only);
  assert.deepEqual(serverHosts(only, "edge"), [
    { namespace: "*", host: "a.com" },
    { namespace: "*", host: "b.com" },
    { namespace: "edge", host: "c.com" },
    { namespace: "shop", host: "d.com" },
  ]);
});

test("servers that cannot work are refused", () => {
  const cases: [object[], string][] = [
    [[], "spec.servers: at least one server is needed"],
    [[server("HTTPS")], "spec.servers[0]: HTTPS needs tls"],
    [[server("HTTPS", { tls: { mode: "SIMPLE" } })], "spec.servers[0].tls: SIMPLE needs a certificate"],
    [
      [server("HTTP", { tls: { mode: "SIMPLE", credentialName: "a" } })],
      "spec.servers[0].tls: HTTP is plain text: only httpsRedirect can be set",
    ],
    [
      [server("HTTPS", { tls: { mode: "ISTIO_MUTUAL", credentialName: "a" } })],
      "spec.servers[0].tls: ISTIO_MUTUAL uses the mesh's certificates: no other can be set",
    ],
    [
      [server("HTTPS", { tls: { mode: "SIMPLE", credentialName: "a", serverCertificate: "b", privateKey: "c" } })],
      "spec.servers[0].tls: only one of credentialName, credentialNames, tlsCertificates and files can be set",
    ],
    [[server("HTTP", { hosts: [] })], "spec.servers[0].hosts: at least one host is needed"],
    [[server("SMTP")], 'spec.servers[0].port.protocol: unknown protocol "SMTP"'],
    [[server("HTTP"), server("HTTP")], "spec.servers[1].port.name: the port name a stands twice in this Gateway"],
    [[server("HTTP", { bind: "localhost" })], 'spec.servers[0].bind: "localhost" is not an IP address or unix://path'],
  ];
  for (const [servers, expected] of cases) assert.deepEqual(problemsOf(gateway, { servers }), [expected]);
});

test("values that would cost every server of the port are refused or left out", () => {
  const said = (tls: object): string[] =>
    problemsOf(gateway, { servers: [server("HTTPS", { tls: { mode: "SIMPLE", credentialName: "a", ...tls } })] });
  assert.deepEqual(said({ cipherSuites: ["ECDHE-RSA-AES128-GCM-SHA256", "ROT13"] }), [
    'warning spec.servers[0].tls.cipherSuites[1]: "ROT13" is no cipher suite that can be chosen; it is left out',
  ]);
  assert.deepEqual(said({ verifyCertificateHash: ["ab:cd"] }), [
    "spec.servers[0].tls.verifyCertificateHash[0]: this is not a SHA-256 in hexadecimal",
  ]);
  assert.deepEqual(said({ verifyCertificateSpki: ["abcd"] }), [
    "spec.servers[0].tls.verifyCertificateSpki[0]: this is not a SHA-256 in base64",
  ]);
  assert.deepEqual(said({ minProtocolVersion: "TLSV1_3", maxProtocolVersion: "TLSV1_2" }), [
    "spec.servers[0].tls.maxProtocolVersion: TLSV1_2 is below TLSV1_3",
  ]);
  assert.deepEqual(said({ maxProtocolVersion: "TLSV1_1" }), [
    "warning spec.servers[0].tls.maxProtocolVersion: TLSV1_1 is broken and not spoken; TLS 1.2 is",
  ]);
});

test("a plain HTTP server may redirect to https, another server is only warned", () => {
  assert.deepEqual(problemsOf(gateway, { servers: [server("HTTP", { tls: { httpsRedirect: true } })] }), []);
  const tls = { mode: "SIMPLE", credentialName: "a", httpsRedirect: true };
  assert.deepEqual(problemsOf(gateway, { servers: [server("HTTPS", { tls })] }), [
    "warning spec.servers[0].tls.httpsRedirect: only a plain HTTP server can redirect to https",
  ]);
});
