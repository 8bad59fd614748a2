// Sidecar resources on the wire: where ingress listeners lead, where egress listeners are, and where the rest goes.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type TestAuthority, testAuthority } from "#proxy/listener/testing/certificates.ts";
import type { TlsCertificate } from "#wire/tls/secrets.ts";
import { TestMesh } from "../support/mesh.ts";
import { curl, PodShell, seen } from "../support/pod-shell.ts";

let mesh: TestMesh;
let client: PodShell;
let scoped: PodShell;
let authority: TestAuthority;

function secretOf(certificate: TlsCertificate): string {
  const files = {
    "tls.crt": certificate.certificateChain,
    "tls.key": certificate.privateKey,
    "ca.crt": authority.roots,
  };
  const data = Object.fromEntries(
    Object.entries(files).map(([name, text]) => [name, Buffer.from(text).toString("base64")]),
  );
  return JSON.stringify({ apiVersion: "v1", kind: "Secret", metadata: { name: "gated", namespace: "default" }, data });
}

describe("Sidecar", { timeout: 400_000 }, () => {
  before(async () => {
    authority = testAuthority();
    mesh = await TestMesh.start({
      copy: ["test/fixtures/workloads", "test/fixtures/sidecar-scope"],
      files: { "secret.yaml": secretOf(authority.issueFor("DNS:gated")) },
    });
    [client, scoped] = await Promise.all([
      PodShell.open(mesh, "client", "client"),
      PodShell.open(mesh, "scoped", "scoped"),
    ]);
  });
  after(async () => {
    await Promise.all([client?.close(), scoped?.close()]);
    await mesh?.stop();
    authority?.stop();
  });

  describe("ingress", () => {
    const ports: readonly [what: string, port: number, expected: string][] = [
      ["127.0.0.1 is the application's own localhost", 8001, "127.0.0.1:3000"],
      ["a Unix socket", 8002, "/sockets/app.sock"],
      ["0.0.0.0 is the pod's address", 8003, "0.0.0.0:3100"],
      ["captureMode NONE listens on the port itself", 8004, "127.0.0.1:3000"],
    ];
    for (const [what, port, expected] of ports) {
      test(`defaultEndpoint: ${what}`, async () => {
        const answer = await curl(client, `http://gated:${port}/`);
        assert.equal(answer.status, 200, answer.body + answer.error);
        assert.equal(answer.body.trim(), expected);
      });
    }

    test("a port that no ingress listener names passes through", async () => {
      const answer = await curl(client, "http://gated:3100/");
      assert.equal(answer.body.trim(), "0.0.0.0:3100");
    });

    test("tls SIMPLE and MUTUAL end TLS with files of the sidecar's container, and plaintext is refused", async () => {
      const own = authority.issueFor("DNS:client");
      await client.run(
        `printf '%s' '${authority.roots}' > /tmp/root.pem; printf '%s' '${own.certificateChain}' > /tmp/own.pem; printf '%s' '${own.privateKey}' > /tmp/own.key`,
      );
      const ask = (port: number, args = "") => curl(client, `--cacert /tmp/root.pem ${args} https://gated:${port}/`);
      assert.equal((await ask(8006)).body.trim(), "127.0.0.1:3000");
      assert.equal((await ask(8007)).status, 0);
      assert.equal((await ask(8007, "--cert /tmp/own.pem --key /tmp/own.key")).body.trim(), "127.0.0.1:3000");
      assert.equal((await curl(client, "http://gated:8006/")).status, 0);
    });

    test("the connectionPool of a listener bounds it, the one of the Sidecar the others", async () => {
      const statuses = async (port: number): Promise<string[]> => {
        const url = `'http://gated:${port}/delay/1500'`;
        const all = Array.from({ length: 6 }, () => `curl -sS -m 8 -o /dev/null -w '%{http_code}\\n' ${url} &`);
        const result = await client.run(`${all.join(" ")} wait`);
        return result.stdout.trim().split("\n").sort();
      };
      const narrow = await statuses(8005);
      // One on the connection, and one that waits for it, unless it came while the first still waited to be connected.
      const served = narrow.filter((status) => status === "200").length;
      assert.ok(served === 1 || served === 2, narrow.join(" "));
      assert.equal(narrow.filter((status) => status === "503").length, 6 - served);
      assert.deepEqual(
        await statuses(8001),
        Array.from({ length: 6 }, () => "200"),
      );
    });
  });

  describe("egress", () => {
    test("captureMode NONE: HTTP on a port of localhost", async () => {
      const answer = await curl(scoped, "-H 'Host: echo' http://127.0.0.1:8000/");
      assert.equal(seen(answer).port, 8000);
      assert.match(seen(answer).headers["x-forwarded-client-cert"] ?? "", /URI=spiffe/);
    });

    test("captureMode NONE and bind: TCP on an address of its own", async () => {
      const answer = await scoped.run("echo hello | node socket.ts 127.0.0.2 9000");
      assert.match(answer.stdout, /hello\n\nv[12] got 6 bytes and the end/);
    });

    test("captureMode IPTABLES and bind: an address that only the sidecar knows", async () => {
      const answer = await curl(scoped, "-H 'Host: echo' http://240.1.1.1:8080/");
      assert.equal(seen(answer).port, 8080);
    });

    test("a Unix socket: the Host header names the service and its port", async () => {
      const [http, alternative] = await Promise.all([
        curl(scoped, "--unix-socket /sockets/mesh.sock http://echo:8000/"),
        curl(scoped, "--unix-socket /sockets/mesh.sock http://echo:8080/"),
      ]);
      assert.deepEqual([seen(http).port, seen(alternative).port], [8000, 8080]);
    });
  });

  test("a ServiceEntry leads to a Unix socket", async () => {
    const answer = await curl(scoped, "-H 'Host: neighbour.example' http://203.0.113.8/");
    assert.equal(answer.body.trim(), "/sockets/neighbour.sock");
  });

  test("egressProxy takes HTTP to hosts and connections to addresses that the mesh does not know", async () => {
    const host = await curl(scoped, "-H 'Host: elsewhere.example' http://127.0.0.1:8000/path");
    assert.deepEqual([seen(host).port, seen(host).headers["host"]], [8080, "elsewhere.example"]);
    const address = await curl(scoped, "http://203.0.113.9:12345/path");
    assert.deepEqual([seen(address).port, seen(address).headers["host"]], [8080, "203.0.113.9:12345"]);
  });
});
