import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { addressFilter } from "#base/net/address-filter.ts";
import { systemClock } from "#base/time/clock.ts";
import type { KeySource } from "#mesh/snapshot/snapshot.ts";
import { CertificateAuthority } from "../ca/authority.ts";
import { createSelfSignedMaterial } from "../ca/material.ts";
import { type FetchLimits, fetchKeys } from "./fetch-keys.ts";

const jwk = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" });
const keySet = JSON.stringify({ keys: [{ ...jwk, kid: "one" }] });
const anywhere: FetchLimits = { isAllowed: () => true };

async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const keysAt = (url: string, timeoutMs = 5000): KeySource => ({ url, kind: "keys", timeoutMs });

test("keys come from jwksUri, over redirects, or from where the OpenID configuration says", async (t) => {
  const url: string = await serve(t, (request, response) => {
    if (request.url === "/moved") response.writeHead(302, { location: "/keys" }).end();
    else if (request.url === "/openid") response.end(JSON.stringify({ issuer: "x", jwks_uri: `${url}/keys` }));
    else response.end(keySet);
  });
  assert.equal(await fetchKeys(keysAt(`${url}/keys`), anywhere), keySet);
  assert.equal(await fetchKeys(keysAt(`${url}/moved`), anywhere), keySet);
  assert.equal(await fetchKeys({ url: `${url}/openid`, kind: "openid", timeoutMs: 5000 }, anywhere), keySet);
});

test("what is no key set, too large, too slow or too far is refused in words", async (t) => {
  const url: string = await serve(t, (request, response) => {
    if (request.url === "/500") response.writeHead(500).end();
    else if (request.url === "/html") response.end("<html>");
    else if (request.url === "/empty") response.end('{"keys":[]}');
    else if (request.url === "/large") response.end(Buffer.alloc(3000));
    else if (request.url === "/round") response.writeHead(302, { location: "/round" }).end();
    else if (request.url === "/file") response.writeHead(302, { location: "file:///etc/passwd" }).end();
    else if (request.url === "/openid") response.end("{}");
    else if (request.url === "/slow") response.write("{");
  });
  const refused = (path: string, words: RegExp, timeoutMs?: number): Promise<void> =>
    assert.rejects(fetchKeys(keysAt(`${url}${path}`, timeoutMs), { ...anywhere, maxBytes: 2000 }), words);
  await refused("/500", /\/500 answers 500/);
  await refused("/html", /gives no keys: Jwks is an invalid JSON/);
  await refused("/empty", /gives no keys: Jwks doesn't have any valid public key/);
  await refused("/large", /gives more than 2000 bytes/);
  await refused("/round", /more than 5 redirects/);
  await refused("/file", /"file:\/\/\/etc\/passwd" is no address of http or https/);
  await refused("/slow", /no whole answer within 50 ms/, 50);
  const openid: KeySource = { url: `${url}/openid`, kind: "openid", timeoutMs: 5000 };
  await assert.rejects(fetchKeys(openid, anywhere), /names no jwks_uri/);
});

test("GHSA-fgw5-hp8f-xfhc: loopback, link-local and metadata addresses are not asked, by whatever name or redirect", async (t) => {
  let asked = 0;
  const url = await serve(t, (_request, response) => {
    asked++;
    response.end(keySet);
  });
  const port = new URL(url).port;
  const limits: FetchLimits = { isAllowed: addressFilter() };
  for (const host of ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"]) {
    await assert.rejects(fetchKeys(keysAt(`http://${host}:${port}/`), limits), /is never asked/, host);
  }
  assert.equal(asked, 0);
  for (const target of ["http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]/"]) {
    const leading = await serve(t, (_request, response) => response.writeHead(302, { location: target }).end());
    const own = new URL(leading).hostname;
    const only = { isAllowed: (address: string) => address === own || addressFilter()(address) };
    await assert.rejects(fetchKeys(keysAt(leading), only), /is never asked/);
  }
});

test("addresses are blocked as written, as IPv4 in IPv6, and by blocks of the operator", () => {
  const isAllowed = addressFilter(["10.0.0.0/8", "192.0.2.7"]);
  const blocked = ["0.0.0.0", "169.254.1.1", "::1", "::", "fe80::1", "::ffff:169.254.169.254", "10.1.2.3", "192.0.2.7"];
  for (const address of [...blocked, "64:ff9b::169.254.169.254", "100.100.100.200", "no address"]) {
    assert.equal(isAllowed(address), false, address);
  }
  for (const address of ["192.0.2.8", "172.16.0.1", "2001:db8::1"]) assert.equal(isAllowed(address), true, address);
});

test("a server that an extra authority certifies is asked, and one that nobody knows is not", async (t) => {
  const authority = new CertificateAuthority(createSelfSignedMaterial("cluster.local", Date.now()), systemClock);
  const { certificateChain, privateKey } = authority.issueServing(["localhost"]);
  const server = createSecureServer({ cert: certificateChain, key: privateKey }, (_request, response) => {
    response.end(keySet);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const source = keysAt(`https://localhost:${(server.address() as AddressInfo).port}/`);
  await assert.rejects(fetchKeys(source, anywhere), /self-signed certificate|unable to verify/);
  assert.equal(await fetchKeys(source, { ...anywhere, extraRoots: authority.rootCertificates }), keySet);
});
