// TLS of gateways and TLS that sidecars originate, on the wire: certificates from Secrets in both forms and from files,
// every mode, rotation, server names. curl and openssl, which know nothing of the mesh, are the judges. One mesh for all
// tests, in order; Secrets and policies come and go through --watch.
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { type TestAuthority, testAuthority } from "#proxy/listener/testing/certificates.ts";
import type { TlsCertificate } from "#wire/tls/secrets.ts";
import { eventually, TestMesh } from "../support/mesh.ts";
import { type CurlAnswer, curl, PodShell, seen } from "../support/pod-shell.ts";

const gatewayHost = "istio-ingressgateway.istio-system.svc.cluster.local";

type Data = Readonly<Record<string, string>>;

function secret(name: string, data: Data, namespace = "istio-system"): string {
  const type = "tls.crt" in data ? "kubernetes.io/tls" : "Opaque";
  return `${JSON.stringify({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace },
    type,
    data: Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")])),
  })}\n---\n`;
}

const tlsForm = (certificate: TlsCertificate, more: Data = {}): Data => ({
  "tls.crt": certificate.certificateChain,
  "tls.key": certificate.privateKey,
  ...more,
});
const genericForm = (certificate: TlsCertificate, more: Data = {}): Data => ({
  cert: certificate.certificateChain,
  key: certificate.privateKey,
  ...more,
});

interface ServerWish {
  readonly name: string;
  readonly tls: string;
  readonly hosts?: string;
  readonly protocol?: string;
}

function server({ name, tls, hosts = `${name}.shop.example`, protocol = "HTTPS" }: ServerWish): string {
  return `  - port: { number: 443, name: ${protocol.toLowerCase()}-${name}, protocol: ${protocol} }
    hosts: ["${hosts}"]
    tls: { ${tls} }
`;
}

/** Where the test puts certificate files into the gateway's container. */
const files = "/tmp/gateway-tls";

const servers = (): readonly ServerWish[] => [
  { name: "simple", tls: "mode: SIMPLE, credentialName: simple" },
  { name: "generic", tls: "mode: SIMPLE, credentialName: generic" },
  { name: "wild", tls: "mode: SIMPLE, credentialName: wild", hosts: "*.wild.shop.example" },
  { name: "missing", tls: "mode: SIMPLE, credentialName: missing" },
  { name: "broken", tls: "mode: SIMPLE, credentialName: broken" },
  { name: "both", tls: "mode: SIMPLE, credentialNames: [both-rsa, both-ecdsa]" },
  { name: "modern", tls: "mode: SIMPLE, credentialName: simple, minProtocolVersion: TLSV1_3" },
  {
    name: "older",
    tls: "mode: SIMPLE, credentialName: simple, maxProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-ECDSA-AES128-GCM-SHA256]",
  },
  { name: "mutual", tls: "mode: MUTUAL, credentialName: mutual" },
  { name: "apart", tls: "mode: MUTUAL, credentialName: apart" },
  { name: "no-roots", tls: "mode: MUTUAL, credentialName: simple" },
  { name: "named", tls: "mode: MUTUAL, credentialName: mutual, subjectAltNames: [good.client.shop.example]" },
  { name: "revoking", tls: "mode: MUTUAL, credentialName: revoking" },
  { name: "optional", tls: "mode: OPTIONAL_MUTUAL, credentialName: mutual" },
  { name: "mesh", tls: "mode: ISTIO_MUTUAL" },
  { name: "files", tls: `mode: SIMPLE, serverCertificate: ${files}/own.pem, privateKey: ${files}/own.key` },
  {
    name: "files-mutual",
    tls: `mode: MUTUAL, serverCertificate: ${files}/own.pem, privateKey: ${files}/own.key, caCertificates: ${files}/root.pem, caCrl: ${files}/crl.pem`,
  },
  {
    name: "files-both",
    tls: `mode: SIMPLE, tlsCertificates: [{ serverCertificate: ${files}/rsa.pem, privateKey: ${files}/rsa.key }, { serverCertificate: ${files}/own.pem, privateKey: ${files}/own.key }]`,
  },
  { name: "roots", tls: "mode: MUTUAL, credentialName: simple, caCertCredentialName: roots" },
  { name: "key-pin", tls: `mode: MUTUAL, credentialName: mutual, verifyCertificateSpki: ["${keyHash(good)}"]` },
  { name: "pin", tls: `mode: MUTUAL, credentialName: mutual, verifyCertificateHash: ["${certificateHash(good)}"]` },
  { name: "lax", tls: "mode: MUTUAL, credentialName: mutual, insecureSkipVerify: true" },
  { name: "pass", tls: "mode: PASSTHROUGH", protocol: "TLS" },
  { name: "cross", tls: "mode: AUTO_PASSTHROUGH", hosts: "*.default.svc.cluster.local", protocol: "TLS" },
  { name: "tcp", tls: "mode: SIMPLE, credentialName: simple", protocol: "TLS" },
];

function certificateHash({ certificateChain }: TlsCertificate): string {
  return new X509Certificate(certificateChain).fingerprint256;
}

function keyHash({ certificateChain }: TlsCertificate): string {
  const key = new X509Certificate(certificateChain).publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(key).digest("base64");
}

const gateway = (): string => `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: istio-system }
spec:
  selector: { istio: ingressgateway }
  servers:
  - port: { number: 80, name: http, protocol: HTTP }
    hosts: ["*.shop.example"]
    tls: { httpsRedirect: true }
${servers().map(server).join("")}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: edge, namespace: default }
spec:
  hosts: ["*.shop.example"]
  gateways: [istio-system/edge]
  http:
  - route: [{ destination: { host: echo, port: { number: 8000 } } }]
  tls:
  - match: [{ port: 443, sniHosts: [pass.shop.example] }]
    route: [{ destination: { host: tls.outside.test, port: { number: 443 } } }]
  tcp:
  - match: [{ port: 443 }]
    route: [{ destination: { host: echo, port: { number: 9000 } } }]
`;

let mesh: TestMesh;
let outside: PodShell;
let client: PodShell;
let authority: TestAuthority;
let stranger: TestAuthority;
const gatewayPod = "istio-ingressgateway.istio-system";
let outsideAddress = "";
let good: TlsCertificate;
let revoked: TlsCertificate;

const anything = "DNS:*.shop.example,DNS:*.wild.shop.example";
/** The server outside of the mesh that the tests of origination reach. */
const originHost = "origin.outside.test";

/** Asks the gateway by a name, from outside of the mesh. */
function ask(host: string, args = "", path = "/"): Promise<CurlAnswer> {
  return curl(outside, `--cacert /tmp/root.pem ${args} --connect-to ::${gatewayHost}:443 https://${host}${path}`);
}

async function place(shell: PodShell, name: string, certificate: TlsCertificate): Promise<void> {
  await shell.run(
    `printf '%s' '${certificate.certificateChain}' > /tmp/${name}.pem; printf '%s' '${certificate.privateKey}' > /tmp/${name}.key`,
  );
}

const withCertificate = (name: string): string => `--cert /tmp/${name}.pem --key /tmp/${name}.key`;

/** What openssl says of a handshake with the gateway. */
async function handshake(host: string, args = ""): Promise<string> {
  const result = await outside.run(
    `openssl s_client -connect ${gatewayHost}:443 -servername ${host} -CAfile /tmp/root.pem ${args} </dev/null 2>&1`,
  );
  return result.stdout;
}

/** Of the certificate that the gateway shows for a name. */
async function serialOf(host: string, shell: PodShell = outside): Promise<string> {
  const shown = `openssl s_client -connect ${gatewayHost}:443 -servername ${host} </dev/null 2>/dev/null`;
  return (await shell.run(`${shown} | openssl x509 -noout -serial`)).stdout.trim();
}

async function gatewayLog(): Promise<string> {
  return (await mesh.run("logs", gatewayPod, "-c", "istio-proxy")).stdout;
}

function secrets(): string {
  return [
    secret("simple", tlsForm(authority.issueFor(anything))),
    secret("generic", genericForm(authority.issueFor(anything))),
    secret("wild", tlsForm(authority.issueFor(anything))),
    secret("broken", { "tls.crt": authority.issueFor(anything).certificateChain, "tls.key": good.privateKey }),
    secret("both-rsa", tlsForm(authority.issueFor(anything, { isRsa: true }))),
    secret("both-ecdsa", tlsForm(authority.issueFor(anything))),
    secret("mutual", tlsForm(authority.issueFor(anything), { "ca.crt": authority.roots })),
    secret("apart", genericForm(authority.issueFor(anything))),
    secret("apart-cacert", { cacert: authority.roots }),
    secret("roots", { "ca.crt": authority.roots }),
    secret(
      "revoking",
      tlsForm(authority.issueFor(anything), { "ca.crt": authority.roots, "ca.crl": authority.revoke(revoked) }),
    ),
  ].join("");
}

describe("TLS of gateways", { timeout: 600_000 }, () => {
  before(async () => {
    authority = testAuthority();
    stranger = testAuthority();
    good = authority.issueFor("DNS:good.client.shop.example,URI:spiffe://elsewhere/good");
    revoked = authority.issueFor("DNS:revoked.client.shop.example");
    mesh = await TestMesh.start({
      copy: ["test/fixtures/workloads"],
      files: { "secrets.yaml": secrets(), "gateway.yaml": gateway() },
    });
    [client, outside] = await Promise.all([
      PodShell.open(mesh, "client", "client"),
      PodShell.open(mesh, "external.outside", "external"),
    ]);
    outsideAddress = (await outside.run("hostname -i")).stdout.trim();
    await place(outside, "server", authority.issueFor(`DNS:${originHost}`));
    await outside.run(`printf '%s' '${authority.roots}' > /tmp/root.pem`);
    await place(outside, "good", good);
    await place(outside, "revoked", revoked);
    await place(outside, "unnamed", authority.issueFor("DNS:other.client.shop.example"));
    await place(outside, "stranger", stranger.issueFor("DNS:good.client.shop.example"));
    await eventually("the gateway", async () => ((await ask("simple.shop.example")).status === 200 ? true : undefined));
  });
  after(async () => {
    await Promise.all([client?.close(), outside?.close()]);
    await mesh?.stop();
    authority?.stop();
    stranger?.stop();
  });

  test("SIMPLE: certificates of both forms of Secrets, chosen by server name, over HTTP/2 and HTTP/1.1", async () => {
    for (const host of ["simple.shop.example", "generic.shop.example", "a.wild.shop.example", "b.wild.shop.example"]) {
      assert.equal((await ask(host)).status, 200, host);
    }
    const answer = await outside.run(
      `curl -sS -o /dev/null -w '%{http_version}' --cacert /tmp/root.pem --connect-to ::${gatewayHost}:443 https://simple.shop.example/`,
    );
    assert.equal(answer.stdout, "2");
    assert.equal(seen(await ask("simple.shop.example", "--http1.1")).headers["x-forwarded-proto"], "https");
  });

  test("a Secret that is missing or broken fails just the handshakes for its names, and status says so", async () => {
    for (const host of ["missing.shop.example", "broken.shop.example", "nobody.shop.example"]) {
      const { status, error } = await ask(host);
      assert.equal(status, 0, host);
      assert.match(error, /curl: \((35|56|52)\)/, host);
    }
    assert.equal((await ask("simple.shop.example")).status, 200);
    const shown = (await mesh.run("status")).stdout;
    assert.match(shown, /Gateway +istio-system +edge +partly in force/);
    assert.match(shown, /there is no Secret istio-system\/missing: TLS handshakes for missing\.shop\.example fail/);
    assert.match(shown, /the Secret istio-system\/broken has a key that is not that of its certificate/);
    assert.match(await gatewayLog(), /the secret "kubernetes:\/\/missing" is not there/);
  });

  test("two certificates of one server: the client's kind of key decides", async () => {
    assert.match(await handshake("both.shop.example", "-tls1_2 -cipher aRSA"), /Cipher is ECDHE-RSA/);
    assert.match(await handshake("both.shop.example", "-tls1_2 -cipher aECDSA"), /Cipher is ECDHE-ECDSA/);
  });

  test("minProtocolVersion, maxProtocolVersion and cipherSuites", async () => {
    assert.match(await handshake("modern.shop.example"), /New, TLSv1\.3/);
    assert.match(await handshake("modern.shop.example", "-tls1_2"), /Cipher is \(NONE\)/);
    assert.match(await handshake("older.shop.example"), /New, TLSv1\.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256/);
    assert.match(await handshake("older.shop.example", "-cipher ECDHE-ECDSA-AES256-GCM-SHA384"), /Cipher is \(NONE\)/);
    assert.match(await handshake("simple.shop.example", "-tls1_1 -cipher ALL@SECLEVEL=0"), /Cipher is \(NONE\)/);
  });

  test("MUTUAL: roots of the same Secret or of one beside it; without any nobody is let in", async () => {
    for (const host of ["mutual.shop.example", "apart.shop.example"]) {
      const passed = await ask(host, withCertificate("good"));
      assert.equal(passed.status, 200, host);
      assert.match(seen(passed).headers["x-forwarded-client-cert"] ?? "", /URI=spiffe:\/\/elsewhere\/good/);
      assert.equal((await ask(host)).status, 0, `${host} without a certificate`);
      assert.equal((await ask(host, withCertificate("stranger"))).status, 0, `${host} with a stranger's certificate`);
    }
    assert.equal((await ask("no-roots.shop.example", withCertificate("good"))).status, 0);
    const shown = (await mesh.run("status")).stdout;
    assert.match(
      shown,
      /the Secret istio-system\/simple has neither ca\.crt nor cacert: TLS handshakes for no-roots\.shop\.example fail/,
    );
  });

  test("MUTUAL: subjectAltNames, and the revocation list of the Secret", async () => {
    assert.equal((await ask("named.shop.example", withCertificate("good"))).status, 200);
    assert.equal((await ask("named.shop.example", withCertificate("unnamed"))).status, 0);
    assert.equal((await ask("revoking.shop.example", withCertificate("good"))).status, 200);
    assert.equal((await ask("revoking.shop.example", withCertificate("revoked"))).status, 0);
    assert.equal((await ask("mutual.shop.example", withCertificate("revoked"))).status, 200, "where no list says so");
  });

  test("OPTIONAL_MUTUAL lets in who has no certificate, and nobody with a stranger's", async () => {
    const nobody = seen(await ask("optional.shop.example"));
    assert.doesNotMatch(nobody.headers["x-forwarded-client-cert"] ?? "", /elsewhere/);
    const passed = seen(await ask("optional.shop.example", withCertificate("good")));
    assert.match(passed.headers["x-forwarded-client-cert"] ?? "", /URI=spiffe:\/\/elsewhere\/good/);
    assert.equal((await ask("optional.shop.example", withCertificate("stranger"))).status, 0);
  });

  test("MUTUAL: roots of a Secret of their own, pinned certificates and keys, and no verification at all", async () => {
    assert.equal((await ask("roots.shop.example", withCertificate("good"))).status, 200);
    assert.equal((await ask("roots.shop.example", withCertificate("stranger"))).status, 0);
    for (const host of ["pin.shop.example", "key-pin.shop.example"]) {
      assert.equal((await ask(host, withCertificate("good"))).status, 200, host);
      assert.equal((await ask(host, withCertificate("unnamed"))).status, 0, host);
    }
    assert.equal((await ask("lax.shop.example", withCertificate("stranger"))).status, 200);
    assert.equal((await ask("lax.shop.example")).status, 0);
  });

  test("ISTIO_MUTUAL takes the mesh's certificates, and shows the gateway's own", async () => {
    assert.equal((await ask("mesh.shop.example", `-k ${withCertificate("good")}`)).status, 0);
    assert.match(
      await handshake("mesh.shop.example"),
      /CertificateRequest|Acceptable client certificate CA names|Verify return code: 20/i,
    );
    const kube = (await mesh.api("/api/v1/namespaces/istio-system/secrets/istio-ca-secret")) as { data: Data };
    const read = (key: string): string => Buffer.from(kube.data[key] ?? "", "base64").toString();
    await outside.run(
      `printf '%s' '${read("ca-cert.pem")}' > /tmp/mesh.pem; printf '%s' '${read("ca-key.pem")}' > /tmp/mesh.key`,
    );
    await outside.run(
      `cd /tmp && printf 'subjectAltName=critical,URI:spiffe://cluster.local/ns/outside/sa/guest\\n' > ext && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout guest.key -out guest.csr -subj / && openssl x509 -req -in guest.csr -CA mesh.pem -CAkey mesh.key -CAcreateserial -extfile ext -out guest.pem -days 1`,
    );
    const passed = await ask("mesh.shop.example", `-k ${withCertificate("guest")}`);
    assert.equal(passed.status, 200, passed.error);
    assert.match(seen(passed).headers["x-forwarded-client-cert"] ?? "", /sa\/guest/);
  });

  test("certificates in files of the gateway's container, read when they come and when they change", async () => {
    assert.equal((await ask("files.shop.example")).status, 0);
    const rsa = authority.issueFor(anything, { isRsa: true });
    const put = (certificate: TlsCertificate): Promise<unknown> => {
      const write = (name: string, text: string): string => `printf '%s' '${text}' > ${files}/${name}; `;
      const all = `mkdir -p ${files}; ${write("own.pem", certificate.certificateChain)}${write("own.key", certificate.privateKey)}${write("rsa.pem", rsa.certificateChain)}${write("rsa.key", rsa.privateKey)}${write("root.pem", authority.roots)}${write("crl.pem", authority.revoke(revoked))}`;
      return mesh.exec(gatewayPod, "istio-proxy", "sh", "-c", all);
    };
    await put(authority.issueFor(anything));
    await eventually("the certificate of the files", async () =>
      (await ask("files.shop.example")).status === 200 ? true : undefined,
    );
    const before = await serialOf("files.shop.example");
    await put(authority.issueFor(anything));
    await eventually("the new certificate", async () =>
      (await serialOf("files.shop.example")) === before ? undefined : true,
    );
    assert.match(await handshake("files-both.shop.example", "-tls1_2 -cipher aRSA"), /Cipher is ECDHE-RSA/);
    assert.match(await handshake("files-both.shop.example", "-tls1_2 -cipher aECDSA"), /Cipher is ECDHE-ECDSA/);
    assert.equal((await ask("files-mutual.shop.example", withCertificate("good"))).status, 200);
    assert.equal((await ask("files-mutual.shop.example")).status, 0);
    assert.equal((await ask("files-mutual.shop.example", withCertificate("revoked"))).status, 0);
  });

  test("PASSTHROUGH: TLS goes on to the server that the name leads to", async () => {
    await place(outside, "pass", authority.issueFor("DNS:pass.shop.example"));
    await outside.run("(openssl s_server -accept 8443 -cert /tmp/pass.pem -key /tmp/pass.key -www >/dev/null 2>&1 &)");
    mesh.writeConfig(
      "outside-tls.yaml",
      `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: outside-tls, namespace: default }
spec:
  hosts: [tls.outside.test]
  resolution: STATIC
  ports: [{ number: 443, name: tls, protocol: TLS, targetPort: 8443 }]
  endpoints: [{ address: ${outsideAddress} }]
`,
    );
    await eventually("the server behind the gateway", async () => {
      const answer = await ask("pass.shop.example", "--http1.1");
      return answer.status === 200 && answer.body.includes("s_server") ? true : undefined;
    });
  });

  test("AUTO_PASSTHROUGH: mutual TLS of the mesh goes on to the service that its SNI names", async () => {
    const through = async (sni: string, alpn: string): Promise<string> => {
      const send = "printf 'GET /through HTTP/1.1\\r\\nHost: echo\\r\\nConnection: close\\r\\n\\r\\n'";
      const peer = `-connect ${gatewayHost}:443 -servername ${sni} -alpn ${alpn} -cert /tmp/guest.pem -key /tmp/guest.key`;
      return (await outside.run(`${send} | timeout 5 openssl s_client ${peer} -quiet 2>&1`)).stdout;
    };
    const answer = await through("outbound_.8000_._.echo.default.svc.cluster.local", "istio");
    assert.match(answer, /HTTP\/1\.1 200 OK/);
    assert.match(answer, /"path":"\/through"/);
    assert.match(answer, /URI=spiffe:\/\/cluster\.local\/ns\/outside\/sa\/guest/);
    assert.doesNotMatch(await through("outbound_.8000_._.echo.default.svc.cluster.local", "http/1.1"), /HTTP\/1\.1/);
    assert.doesNotMatch(await through("outbound_.8000_._.external.outside.svc.cluster.local", "istio"), /HTTP\/1\.1/);
  });

  test("a TLS server of raw TCP ends TLS and hands the bytes on", async () => {
    const result = await outside.run(
      `(printf 'hello'; sleep 1) | timeout 5 openssl s_client -quiet -no_ign_eof -connect ${gatewayHost}:443 -servername tcp.shop.example -CAfile /tmp/root.pem 2>/dev/null`,
    );
    assert.match(result.stdout, /hello/);
  });

  test("httpsRedirect answers 301 on the plain port", async () => {
    const answer = await curl(outside, `--connect-to ::${gatewayHost}:80 http://simple.shop.example/a?b`);
    assert.equal(answer.status, 301);
    assert.equal(answer.headers["location"], "https://simple.shop.example/a?b");
  });

  test("a request for a host that its connection was not made for is misdirected: 421", async () => {
    const misdirected = await ask("simple.shop.example", "-H 'host: mutual.shop.example'");
    assert.equal(misdirected.status, 421);
    const http1 = await ask("simple.shop.example", "--http1.1 -H 'host: mutual.shop.example'");
    assert.equal(http1.status, 421);
  });

  test("a renewed Secret is used by new connections, and open ones go on", async () => {
    const slow = ask("simple.shop.example", "", "/delay/3000");
    const other = await PodShell.open(mesh, "external.outside", "external");
    try {
      const before = await serialOf("simple.shop.example", other);
      mesh.writeConfig("secrets.yaml", secrets());
      await eventually("the new certificate", async () =>
        (await serialOf("simple.shop.example", other)) === before ? undefined : true,
      );
      assert.equal((await slow).status, 200);
    } finally {
      await other.close();
    }
  });

  test("a Secret that comes later mends its server, and one that goes takes only its own away", async () => {
    mesh.writeConfig("late.yaml", secret("missing", tlsForm(authority.issueFor(anything))));
    await eventually("the late certificate", async () =>
      (await ask("missing.shop.example")).status === 200 ? true : undefined,
    );
    mesh.removeConfig("late.yaml");
    await eventually("handshakes to fail again", async () =>
      (await ask("missing.shop.example")).status === 0 ? true : undefined,
    );
    assert.equal((await ask("simple.shop.example")).status, 200);
  });

  test("a Gateway of the Gateway API is given the Secrets that its listeners name", async () => {
    mesh.writeConfig(
      "gateway-api.yaml",
      `${secret("api", tlsForm(authority.issueFor(anything)), "default")}apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: api, namespace: default }
spec:
  gatewayClassName: istio
  listeners:
  - { name: https, port: 443, protocol: HTTPS, hostname: "*.shop.example", tls: { certificateRefs: [{ name: api }] } }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: api, namespace: default }
spec:
  parentRefs: [{ name: api }]
  rules: [{ backendRefs: [{ name: echo, port: 8000 }] }]
`,
    );
    await eventually(
      "an answer of the new gateway",
      async () => {
        const to = "--connect-to ::api-istio.default.svc.cluster.local:443";
        const answer = await curl(outside, `--cacert /tmp/root.pem ${to} https://api.shop.example/`);
        return answer.status === 200 ? true : undefined;
      },
      60_000,
    );
    mesh.removeConfig("gateway-api.yaml");
  });

  test("no private key shows in dumps and logs", async () => {
    const all = await Promise.all([
      mesh.run("proxy-config", "all", gatewayPod, "-o", "json"),
      mesh.run("proxy-config", "secret", gatewayPod, "-o", "json"),
      mesh.run("logs", gatewayPod, "-c", "istio-proxy"),
      mesh.run("logs", "istiod.istio-system", "-c", "discovery"),
    ]);
    const text = all.map(({ stdout, stderr }) => stdout + stderr).join("");
    assert.match(text, /kubernetes:\/\/simple/);
    const encoded = Buffer.from("PRIVATE KEY").toString("base64").slice(0, 12);
    assert.doesNotMatch(text, new RegExp(`PRIVATE KEY|${encoded}`));
  });

  test("a proxy whose service account may not list Secrets is given none", async () => {
    mesh.writeConfig(
      "client-secret.yaml",
      secret("client", tlsForm(good, { "ca.crt": authority.roots }), "default") +
        originate("MUTUAL", "credentialName: client"),
    );
    await listen("-Verify 2 -verify_return_error -CAfile /tmp/root.pem");
    await eventually("the refusal", async () => ((await askServer()).status === 503 ? true : undefined));
    const log = await eventually("the reason", async () => {
      const { stdout } = await mesh.run("logs", "istiod.istio-system", "-c", "discovery");
      return /may not list Secrets.*default\/client/.exec(stdout)?.[0];
    });
    assert.ok(log);
  });

  describe("TLS that a DestinationRule originates", () => {
    before(() => {
      mesh.writeConfig(
        "client-role.yaml",
        `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: client-secrets, namespace: default }
rules: [{ apiGroups: [""], resources: [secrets], verbs: [get, list, watch] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: client-secrets, namespace: default }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: client-secrets }
subjects: [{ kind: ServiceAccount, name: client, namespace: default }]
`,
      );
    });

    test("MUTUAL with credentialName: the client's certificate and the roots come from its Secret", async () => {
      await eventually("an answer over mutual TLS", async () => {
        const answer = await askServer();
        return answer.status === 200 && /good\.client\.shop\.example|Client certificate/.test(answer.body)
          ? true
          : undefined;
      });
    });

    test("SIMPLE: the server's chain and name are verified", async () => {
      await listen("");
      mesh.writeConfig(
        "client-secret.yaml",
        secret("client", { "ca.crt": authority.roots }, "default") + originate("SIMPLE", "credentialName: client"),
      );
      await eventually("an answer", async () => ((await askServer()).status === 200 ? true : undefined));
      await place(outside, "server", authority.issueFor("DNS:somebody-else.test"));
      await listen("");
      await eventually("another name to be refused", async () =>
        (await askServer()).status === 503 ? true : undefined,
      );
      mesh.writeConfig(
        "client-secret.yaml",
        secret("client", { "ca.crt": authority.roots }, "default") +
          originate("SIMPLE", "credentialName: client, sni: somebody-else.test, subjectAltNames: [somebody-else.test]"),
      );
      await eventually("the name that the rule gives", async () =>
        (await askServer()).status === 200 ? true : undefined,
      );
      await place(outside, "server", stranger.issueFor("DNS:somebody-else.test"));
      await listen("");
      await eventually("a stranger to be refused", async () => ((await askServer()).status === 503 ? true : undefined));
    });

    test("insecureSkipVerify takes any server", async () => {
      mesh.writeConfig("client-secret.yaml", originate("SIMPLE", "insecureSkipVerify: true"));
      await eventually("an answer", async () => ((await askServer()).status === 200 ? true : undefined));
    });

    test("without roots of its own the platform's count, and they know nobody here", async () => {
      mesh.writeConfig("client-secret.yaml", originate("SIMPLE", "caCertificates: system"));
      await eventually("the refusal", async () => ((await askServer()).status === 503 ? true : undefined));
    });

    test("MUTUAL with files of the sidecar's container, and a revocation list", async () => {
      const own = authority.issueFor(`DNS:${originHost}`);
      await place(outside, "server", own);
      await listen("-Verify 2 -verify_return_error -CAfile /tmp/root.pem");
      const write = (name: string, text: string): string => `printf '%s' '${text}' > ${files}/${name}; `;
      const put = (crl: string): Promise<unknown> =>
        mesh.exec(
          "client",
          "istio-proxy",
          "sh",
          "-c",
          `mkdir -p ${files}; ${write("own.pem", good.certificateChain)}${write("own.key", good.privateKey)}${write("root.pem", authority.roots)}${write("crl.pem", crl)}`,
        );
      await put(authority.revoke(authority.issueFor("DNS:gone.shop.example")));
      mesh.writeConfig(
        "client-secret.yaml",
        originate(
          "MUTUAL",
          `clientCertificate: ${files}/own.pem, privateKey: ${files}/own.key, caCertificates: ${files}/root.pem, caCrl: ${files}/crl.pem`,
        ),
      );
      await eventually("an answer", async () => ((await askServer()).status === 200 ? true : undefined));
      await put(authority.revoke(own));
      await eventually("the revoked server to be refused", async () =>
        (await askServer()).status === 503 ? true : undefined,
      );
    });
  });
});

/** A TLS server outside of the mesh with the certificate in /tmp/server.pem, in place of the one before. */
async function listen(verify: string): Promise<void> {
  await outside.run("kill $(cat /tmp/listen.pid) 2>/dev/null");
  await outside.run(
    `(openssl s_server -accept 9443 -cert /tmp/server.pem -key /tmp/server.key ${verify} -www >/tmp/listen.log 2>&1 & echo $! > /tmp/listen.pid)`,
  );
  await eventually("the server", async () =>
    (
      await outside.run(
        "openssl s_client -connect 127.0.0.1:9443 </dev/null >/dev/null 2>&1; grep -c ACCEPT /tmp/listen.log",
      )
    ).stdout.trim() === "0"
      ? undefined
      : true,
  );
}

function askServer(): Promise<CurlAnswer> {
  return curl(client, `--connect-to ::${outsideAddress}:80 http://${originHost}/`);
}

/** A ServiceEntry for the server, plain HTTP for the application, and the TLS of a rule for it. */
function originate(mode: string, tls: string): string {
  return `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: outside-origin, namespace: default }
spec:
  hosts: [${originHost}]
  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP, targetPort: 9443 }]
  endpoints: [{ address: ${outsideAddress} }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: outside-origination, namespace: default }
spec:
  host: ${originHost}
  exportTo: ["."]
  workloadSelector: { matchLabels: { app: client } }
  trafficPolicy: { tls: { mode: ${mode}, ${tls} } }
`;
}
