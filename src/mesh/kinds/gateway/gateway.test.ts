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

test("a plain HTTP server may redirect to https, another server is only warned", () => {
  assert.deepEqual(problemsOf(gateway, { servers: [server("HTTP", { tls: { httpsRedirect: true } })] }), []);
  const tls = { mode: "SIMPLE", credentialName: "a", httpsRedirect: true };
  assert.deepEqual(problemsOf(gateway, { servers: [server("HTTPS", { tls })] }), [
    "warning spec.servers[0].tls.httpsRedirect: only a plain HTTP server can redirect to https",
  ]);
});
