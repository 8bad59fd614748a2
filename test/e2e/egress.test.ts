// The way out of the embedded cluster: pods reach servers of the host's network, as the mesh says. The host is a network
// namespace of the test's own, in which a mesh runs as root and as an ordinary user.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { testAuthority } from "#proxy/listener/testing/certificates.ts";
import { processesWith } from "../support/host.ts";
import { Internet, noInternetReason } from "../support/internet.ts";
import { eventually, TestMesh } from "../support/mesh.ts";
import { type CurlAnswer, curl, PodShell, seen } from "../support/pod-shell.ts";

const where = [
  { mode: "root", isRootless: false },
  { mode: "an ordinary user", isRootless: true },
];

for (const { mode, isRootless } of where) {
  const skip = noInternetReason(isRootless);
  describe(`the way out, as ${mode}`, { skip, timeout: 300_000 }, () => {
    let internet: Internet;
    let mesh: TestMesh;
    let client: PodShell;
    let registered: PodShell;
    let external: PodShell;

    before(async () => {
      const authority = testAuthority();
      internet = await Internet.start(authority);
      mesh = await TestMesh.start({
        copy: ["test/fixtures/workloads", "test/fixtures/egress"],
        files: { "roots.yaml": rootsSecret(authority.roots) },
        egress: true,
        prefix: (folder) => internet.prefix(isRootless, folder),
        ...(isRootless && { owner: internet.userId }),
        flags: ["--host-port", "5432"],
        env: { HTTPS_PROXY: "http://127.0.0.1:3128" },
      });
      [client, registered, external] = await Promise.all([
        PodShell.open(mesh, "client", "client"),
        PodShell.open(mesh, "registered", "registered"),
        PodShell.open(mesh, "external.outside", "external"),
      ]);
    });
    after(async () => {
      await Promise.all([client?.close(), registered?.close(), external?.close()]);
      await mesh?.stop();
      await internet?.stop();
    });

    const logOf = async (app: string, path: string): Promise<string> =>
      eventually(`the log of ${path}`, async () => {
        const text = await mesh.log(`app=${app}`, "istio-proxy");
        return text.split("\n").find((line) => line.includes(path));
      });

    test("ALLOW_ANY passes to hosts that the mesh does not know, HTTP and TCP", async () => {
      const http = await curl(client, "http://203.0.113.10:8080/passed-by-address");
      assert.equal(seen(http).version, "internet");
      assert.match(await logOf("client", "/passed-by-address"), /PassthroughCluster/);
      const named = await curl(client, "http://db.example.com:7000/passed-by-name");
      assert.deepEqual([seen(named).version, seen(named).port], ["internet", 7000]);
      const echo = await client.run("echo hello | node socket.ts 203.0.113.10 9000");
      assert.match(echo.stdout, /^hello\n/);
    });

    test("a ServiceEntry with DNS reaches the host that its name leads to", async () => {
      const answer = await curl(client, "http://api.example.com/by-dns");
      assert.deepEqual([seen(answer).version, seen(answer).port], ["internet", 8000]);
      assert.match(await logOf("client", "/by-dns"), /outbound\|80\|\|api\.example\.com/);
    });

    test("a ServiceEntry with STATIC endpoints carries TCP, and each side ends on its own", async () => {
      const echo = await client.run("echo hello | node socket.ts 192.0.2.99 9100");
      assert.match(echo.stdout, /^hello\n\ninternet got 6 bytes and the end/);
      const bytes = "node -e 'process.stdout.write(Buffer.alloc(20_000_000, 120))'";
      const large = await client.run(`${bytes} | node socket.ts 192.0.2.99 9100 | wc -c`);
      assert.ok(Number(large.stdout) > 20_000_000, large.stdout + large.stderr);
    });

    test("TLS that a DestinationRule originates goes out, with the roots of a Secret", async () => {
      const answer = await curl(client, "http://secure.example.com/secret");
      assert.equal(answer.status, 200, answer.body);
      assert.deepEqual(JSON.parse(answer.body), {
        tls: true,
        host: "secure.example.com",
        via: "http",
        path: "/secret",
      });
    });

    test("the way through an egress gateway", async () => {
      const answer = await curl(client, "http://egress.example.com/by-gateway");
      assert.equal(seen(answer).version, "internet");
      assert.match(await logOf("client", "/by-gateway"), /outbound\|80\|\|istio-egressgateway\.istio-system/);
      await eventually("the log of the gateway", async () => {
        const text = await mesh.log("istio=egressgateway", "istio-proxy", "istio-system");
        return /\/by-gateway.*outbound\|80\|\|egress\.example\.com/.test(text) ? true : undefined;
      });
    });

    test("REGISTRY_ONLY keeps to what the mesh knows", async () => {
      assert.equal((await curl(registered, "http://203.0.113.10:8080/unknown")).status, 502);
      assert.match(await logOf("registered", "/unknown"), /BlackHoleCluster|block_all/);
      const tcp = await curl(registered, "http://203.0.113.10:7000/unknown");
      assert.deepEqual([tcp.status, tcp.error === ""], [0, false]);
      assert.equal(seen(await curl(registered, "http://api.example.com/known")).version, "internet");
    });

    test("metadata services of a cloud are closed, by address and by name, and up says so", async () => {
      for (const host of ["169.254.169.254", "metadata.example.com"]) {
        for (const answer of [await curl(client, `http://${host}/`), await curl(external, `http://${host}/`)]) {
          assert.doesNotMatch(answer.body, /credentials/);
          assert.match(`${answer.status} ${answer.error}`, /^503 |^0 curl: \((7|56)\)/);
        }
      }
      await eventually("the reason", () =>
        /! outside\/external-\S+ does not reach 169\.254\.169\.254:80: closed to pods/.test(mesh.output)
          ? true
          : undefined,
      );
      assert.match(mesh.output, /! default\/client-\S+ does not reach 169\.254\.169\.254:80/);
    });

    test("a port of the machine's loopback is reached if it was asked for, and no other", async () => {
      const ask = (port: number): Promise<CurlAnswer> =>
        curl(external, `--http0.9 telnet://host.outrigger.internal:${port}`);
      const open = await external.run("node socket.ts host.outrigger.internal 5432");
      assert.equal(open.stdout, "the machine's own database\n");
      assert.equal((await ask(5433)).status, 0);
      await eventually("the reason", () =>
        mesh.output.includes("port 5433 of this machine is closed to pods; start with --host-port 5433")
          ? true
          : undefined,
      );
    });

    test("what the machine itself does not reach is reset, with the reason and a word about its HTTP proxy", async () => {
      const answer = await curl(client, "http://198.51.100.7:8080/nowhere");
      assert.equal(answer.status, 503);
      assert.match(await logOf("client", "/nowhere"), / 503 UC /);
      await eventually("the reason", () =>
        /client-\S+ does not reach 198\.51\.100\.7:8080: this machine (has no route there|does not reach that host)\. This machine has an HTTP proxy \(HTTPS_PROXY\)/.test(
          mesh.output,
        )
          ? true
          : undefined,
      );
      const refused = await external.run("node socket.ts 203.0.113.10 1");
      assert.equal(refused.code, 7);
    });

    test("after the end nothing is left on the host", async () => {
      await Promise.all([client.close(), registered.close(), external.close()]);
      await mesh.stop("SIGINT", true);
      await eventually("every process to be gone", () => (processesWith(mesh.folder).length === 0 ? true : undefined));
      assert.doesNotMatch(internet.run("iptables-save"), /REDIRECT|OUTSIDE/);
      assert.deepEqual(internet.run("ip", "-br", "link").match(/^\S+/gm), ["lo"]);
      assert.doesNotMatch(internet.run("ss", "-Htan"), /ESTAB/);
    });
  });
}

function rootsSecret(roots: string): string {
  const data = { "ca.crt": Buffer.from(roots).toString("base64") };
  return JSON.stringify({ apiVersion: "v1", kind: "Secret", metadata: { name: "internet-roots" }, data });
}
