// Traffic policies and the rarer routes, through real sidecars: the rules of test/fixtures/traffic-policy, each for a
// service of its own. One mesh for all tests.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, TestMesh } from "../support/mesh.ts";
import { curl, PodShell } from "../support/pod-shell.ts";

let mesh: TestMesh;
let client: PodShell;
let traveller: PodShell;

/** How many of the requests each version answered. */
async function versions(shell: PodShell, url: string, count: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < count; i++) {
    const { status, headers } = await curl(shell, `'${url}'`);
    const version = headers["x-version"] ?? String(status);
    counts[version] = (counts[version] ?? 0) + 1;
  }
  return counts;
}

/** Sends bytes over TCP, ends, and reads what comes. */
async function exchange(host: string, text: string, port = 9000): Promise<string> {
  const result = await client.run(`printf '${text}' | node socket.ts ${host} ${port}`);
  return `${result.stdout}${result.stderr}`;
}

/** Milliseconds until the other side ends a connection on which nothing is sent. */
async function lifeOf(host: string): Promise<number> {
  const program = `const s=require('net').connect(9000,'${host}');const t=Date.now();s.on('data',()=>{});s.on('error',()=>{});s.on('close',()=>console.log(Date.now()-t))`;
  const { stdout, stderr } = await client.run(`timeout 20 node -e "${program}"`);
  assert.match(stdout, /^\d+/, stderr || "the connection stays open");
  return Number(stdout);
}

/** A statistic of the client's proxy. */
async function statistic(name: string): Promise<number> {
  const { stdout } = await client.run("curl -sS http://localhost:15000/stats");
  const line = stdout.split("\n").find((it) => it.startsWith(`${name}: `));
  return Number(line?.slice(name.length + 2) ?? Number.NaN);
}

describe("traffic policies", { timeout: 600_000 }, () => {
  before(async () => {
    mesh = await TestMesh.start({ copy: ["test/fixtures/workloads", "test/fixtures/traffic-policy"] });
    [client, traveller] = await Promise.all([
      PodShell.open(mesh, "client", "client"),
      PodShell.open(mesh, "traveller", "traveller"),
    ]);
  });
  after(async () => {
    await Promise.all([client?.close(), traveller?.close()]);
    await mesh?.stop();
  });

  test("a delegate's routes are taken where the root's match holds, with what the root says beside them", async () => {
    const ask = async (path: string, options = ""): Promise<unknown[]> => {
      const { status, headers, body } = await curl(client, `${options} 'http://shop:8000${path}'`);
      const isText = headers["x-version"] === undefined;
      return [status, isText ? body : "echo", headers["x-root"], headers["x-delegate"]];
    };
    assert.deepEqual(await ask("/cart/total"), [200, "total", "shop", undefined]);
    assert.deepEqual(await ask("/cart/1"), [200, "echo", "shop", undefined]);
    assert.deepEqual(await ask("/cart/1", "-H 'beta: 1'"), [200, "echo", undefined, "beta"]);
    // The delegate's route for it does not fit into the root's match.
    assert.equal((await ask("/elsewhere"))[0], 404);
  });

  test("scheme, derivePort and bytes", async () => {
    assert.equal((await curl(client, "http://shop:8000/scheme")).body, "http");
    const { headers } = await curl(client, "http://shop:8000/derived");
    assert.equal(headers["location"], "http://other.example:8000/derived");
    assert.equal((await curl(client, "http://shop:8000/bytes")).body, "bytes");
  });

  test("a route with statPrefix counts what it answers", async () => {
    // Each of the two workloads counts for itself; with one attempt more than failures one of them answers.
    await curl(client, "http://shop:8000/flaky/stat/1");
    const counter = (name: string): Promise<number> =>
      statistic(`vhost.shop.default.svc.cluster.local_8000.route.flaky.upstream_rq_${name}`);
    const [total, completed, retries] = await Promise.all([counter("total"), counter("completed"), counter("retry")]);
    assert.equal(completed, 1);
    assert.ok(retries >= 1 && total === retries + 1, `${total} tries, ${retries} retries`);
    assert.equal((await counter("2xx")) || (await counter("5xx")), 1);
  });

  test("tcp routes divide connections by weight, for the clients that they are for", async () => {
    const answers: string[] = [];
    for (let i = 0; i < 24; i++) answers.push(await exchange("split", "hello"));
    const served = answers.map((text) => /hello\n(v\d) got 5 bytes/.exec(text)?.[1]);
    assert.deepEqual([...new Set(served)].sort(), ["v1", "v2"]);
  });

  test("tls routes choose by server name", async () => {
    for (const [name, version] of [
      ["one.test", "v1"],
      ["two.test", "v2"],
    ] as const) {
      // The workload sends the client hello back, which no client takes for an answer.
      await client.run(
        `timeout 10 node -e "require('tls').connect({host:'secured',port:9000,servername:'${name}'}).on('error',()=>{})"`,
      );
      await eventually(`a connection for ${name} to ${version}`, async () => {
        const { stdout } = await mesh.run("logs", "client", "-c", "istio-proxy", "--tail", "200");
        return stdout.includes(`outbound|9000|${version}|secured.default.svc.cluster.local`) || undefined;
      });
    }
  });

  test("a tunnel goes through the HTTP proxy of the rule, by CONNECT or POST", async () => {
    for (const host of ["tunneled", "tunneled-post"]) {
      assert.match(await exchange(host, "hello"), /hello\nexternal got 5 bytes and the end/);
    }
    const asked = (await curl(client, "http://forward-proxy:3129/")).body.split("\n").sort();
    assert.deepEqual(asked, [
      "CONNECT external.outside.svc.cluster.local:9000",
      "POST external.outside.svc.cluster.local:9000",
    ]);
  });

  test("a PROXY header of either version comes before the first byte", async () => {
    assert.match(await exchange("proxied", "hello"), /^PROXY TCP4 [\d.]+ [\d.]+ \d+ 9000\r\nhello/);
    assert.match(await exchange("proxied-v2", "hello"), /^\r\n\r\n\0\r\nQUIT\n/);
  });

  test("connections have the greatest age and the idle time of the rule", async () => {
    for (const host of ["aged", "idle"]) {
      const life = await lifeOf(host);
      assert.ok(life >= 900 && life < 15_000, `${host}: ${life} ms`);
    }
  });

  test("connections are kept alive as the rule says", async () => {
    const open = `node -e "const s=require('net').connect(9000,'kept-alive',()=>s.write('x'));s.once('data',()=>{console.log(require('fs').readFileSync('/proc/net/tcp','latin1'));s.destroy()})"`;
    const { stdout } = await client.run(`timeout 20 ${open}`);
    // Port 9000 is 2328; of the sidecar's connection the timer is 2: keep-alive.
    const timers = [...stdout.matchAll(/:2328 01 [\dA-F]+:[\dA-F]+ (\d\d):/g)].map(([, timer]) => timer);
    assert.ok(timers.includes("02"), stdout);
  });

  test("maxRequestsPerConnection and http2MaxRequests", async () => {
    const total = "cluster.outbound|8000||renewed.default.svc.cluster.local;.upstream_cx_total";
    for (let i = 0; i < 3; i++) assert.equal((await curl(client, "http://renewed:8000/")).status, 200);
    const before = await statistic(total);
    for (let i = 0; i < 3; i++) assert.equal((await curl(client, "http://renewed:8000/")).status, 200);
    assert.equal((await statistic(total)) - before, 3);
    const both = await client.run(
      "curl -sS --parallel --parallel-immediate -o /dev/null -o /dev/null -w '%{http_code}\\n' http://limited:8000/delay/1500 http://limited:8000/delay/1500",
    );
    assert.deepEqual(both.stdout.trim().split("\n").sort(), ["200", "503"]);
  });

  test("PASSTHROUGH goes to the address that the client dialled", async () => {
    const counts = await versions(client, "http://passed:8000/", 4);
    assert.equal((counts["v1"] ?? 0) + (counts["v2"] ?? 0), 4, JSON.stringify(counts));
  });

  test("a client with the cookie of a persistent session comes back to its workload, others do not", async () => {
    assert.deepEqual(await versions(client, "http://sticky:8000/", 8), { v1: 4, v2: 4 });
    const first = await curl(client, "http://sticky:8000/");
    const cookie = /^session=[^;]+/.exec(first.headers["set-cookie"] ?? "")?.[0] ?? assert.fail(JSON.stringify(first));
    for (let i = 0; i < 6; i++) {
      const again = await curl(client, `-H 'Cookie: ${cookie}' http://sticky:8000/`);
      assert.equal(again.headers["x-version"], first.headers["x-version"]);
    }
  });

  test("without outlier detection, a distribution or a wish of the Service localities are used alike", async () => {
    assert.deepEqual(Object.keys(await versions(traveller, "http://placed-alike:8000/", 24)).sort(), ["far", "near"]);
  });

  test("requests stay in the client's region until nothing is left there", async () => {
    assert.deepEqual(await versions(traveller, "http://placed-failover:8000/", 10), { near: 10 });
    await eventually("the failover", async () => {
      const counts = await versions(traveller, "http://placed-failover:8000/broken/near", 2);
      return counts["far"] === 2 || undefined;
    });
    assert.deepEqual(await versions(traveller, "http://placed-failover:8000/", 10), { far: 10 });
  });

  test("retryRemoteLocalities tries other localities once two tries here have failed", async () => {
    const ask = async (options: string): Promise<unknown[]> => {
      const { status, headers } = await curl(traveller, `${options} http://placed-retried:8000/broken/near`);
      return [status, headers["x-version"]];
    };
    assert.deepEqual(await ask(""), [500, "near"]);
    assert.deepEqual(await ask("-H 'remote: yes'"), [200, "far"]);
  });

  test("distribute sends the shares of the rule", async () => {
    assert.deepEqual(await versions(traveller, "http://placed-distributed:8000/", 10), { far: 10 });
  });

  test("a Service with PreferClose keeps its clients in their zone", async () => {
    assert.deepEqual(await versions(traveller, "http://placed-close:8000/", 10), { near: 10 });
  });
});
