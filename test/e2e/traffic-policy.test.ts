// Traffic policies and the rarer routes, through real sidecars: the rules of test/fixtures/traffic-policy, each for a
// service of its own. One mesh for all tests.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { selfSigned } from "#wire/x509/testing/self-signed.ts";
import { eventually, TestMesh } from "../support/mesh.ts";
import { type CurlAnswer, curl, PodShell, seen } from "../support/pod-shell.ts";

let mesh: TestMesh;
let client: PodShell;
let traveller: PodShell;
/** A shell outside of the mesh. */
let stranger: PodShell;

/** What connections.ts tells about the connection of a request. */
interface Connection {
  readonly id: number;
  readonly httpVersion: string;
  readonly pings: number;
  readonly open: boolean;
}

const connections = "http://connections.outside";
const gateway = "http://istio-ingressgateway.istio-system";

/** The connection over which the server of connections.ts was asked. */
async function connection(url: string, options = ""): Promise<Connection> {
  const { status, body, error } = await curl(client, `${options} '${url}'`);
  assert.equal(status, 200, `${body}${error}`);
  return JSON.parse(body) as Connection;
}

async function connectionsSoFar(): Promise<Connection[]> {
  return JSON.parse((await curl(client, `${connections}:8101/`)).body) as Connection[];
}

/** Bodies of requests that run at the same time. */
async function together(...urls: string[]): Promise<string[]> {
  const outputs = urls.map((_, i) => `-o together-${i}`).join(" ");
  const { stdout } = await client.run(
    `cd /tmp && curl -sS --parallel --parallel-immediate -m 8 ${outputs} ${urls.join(" ")} && for i in ${urls.map((_, i) => i).join(" ")}; do cat together-$i; echo; done`,
  );
  return stdout.trim().split("\n");
}

/** Applies mesh configuration, which reaches running proxies. */
function setMesh(settings: string): void {
  mesh.writeConfig(
    "settings.yaml",
    `apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data:
  mesh: |
    accessLogFile: /dev/stdout
    ${settings.trim().replaceAll("\n", "\n    ")}
`,
  );
}

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
    [client, traveller, stranger] = await Promise.all([
      PodShell.open(mesh, "client", "client"),
      PodShell.open(mesh, "traveller", "traveller"),
      PodShell.open(mesh, "external.outside", "external"),
    ]);
  });
  after(async () => {
    await Promise.all([client?.close(), traveller?.close(), stranger?.close()]);
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
    // The last two bytes are no UTF-8.
    assert.equal((await curl(client, "http://shop:8000/bytes")).body, "bytes\0\xff\xfe");
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

  test("maxRetries: what is tried again at the same time is limited", async () => {
    const answers = await together(...["a", "b", "c"].map((key) => `${connections}:8201/once/${key}/1500`));
    // One is tried again; the others get what the first try gave.
    assert.equal(answers.length, 3);
    const overflow = "cluster.outbound|8201||connections.outside.svc.cluster.local;.upstream_rq_retry_overflow";
    assert.equal(await statistic(overflow), 2);
  });

  test("idleTimeout of HTTP: a connection that has nothing to do is closed", async () => {
    const { id } = await connection(`${connections}:8202/`);
    await eventually(
      "the end of the connection",
      async () => (await connectionsSoFar()).some((it) => it.id === id && !it.open) || undefined,
    );
    const { id: unruled } = await connection(`${connections}:8200/`);
    assert.ok((await connectionsSoFar()).some((it) => it.id === unruled && it.open));
  });

  test("connectTimeout: a server that is silent is given up", async () => {
    const { status, body } = await curl(client, "-H 'Host: unreachable.test' http://10.99.0.1/");
    assert.equal(status, 503);
    assert.match(body, /timeout|timed out/);
  });

  test("useClientProtocol: the server hears what the client speaks", async () => {
    assert.equal((await connection(`${connections}:8203/`)).httpVersion, "1.1");
    assert.equal((await connection(`${connections}:8203/`, "--http2-prior-knowledge")).httpVersion, "2.0");
    assert.equal((await connection(`${connections}:8200/`, "--http2-prior-knowledge")).httpVersion, "1.1");
  });

  test("maxConcurrentStreams: more requests at a time need more connections", async () => {
    const ids = async (port: number): Promise<number> => {
      const answers = await together(...[1, 2, 3].map(() => `${connections}:${port}/delay/1000`));
      return new Set(answers.map((text) => (JSON.parse(text) as Connection).id)).size;
    };
    assert.deepEqual([await ids(8204), await ids(8205)], [1, 3]);
  });

  test("http2KeepAlive: idle connections are asked whether they are there", async () => {
    const [ruled, other] = [await connection(`${connections}:8206/`), await connection(`${connections}:8204/`)];
    await eventually(
      "two pings",
      async () => (await connectionsSoFar()).some((it) => it.id === ruled.id && it.pings >= 2) || undefined,
    );
    assert.equal((await connectionsSoFar()).find((it) => it.id === other.id)?.pings, 0);
  });

  test("a port of GRPC-Web: the sidecar makes gRPC of it, and trailers are the last frame", async () => {
    const { stdout } = await client.run(
      `printf '\\0\\0\\0\\0\\2hi' | curl -sS -i -m 8 --data-binary @- -H 'content-type: application/grpc-web' ${connections}:8207/shop.Cart/Get`,
    );
    assert.match(stdout, /^HTTP\/1\.1 200/);
    assert.match(stdout, /content-type: application\/grpc-web/i);
    const body = stdout.slice(stdout.indexOf("\r\n\r\n") + 4);
    assert.ok(body.startsWith("\0\0\0\0\x02hi\x80\0\0\0"), JSON.stringify(body));
    assert.match(body, /grpc-status:\s?0/);
  });

  test("HTTP/2 and gRPC on a port of TCP pass as bytes", async () => {
    assert.equal((await connection(`${connections}:8208/`, "--http2-prior-knowledge")).httpVersion, "2.0");
    const { stdout } = await client.run(
      `printf '\\0\\0\\0\\0\\2hi' | curl -sS -i -m 8 --http2-prior-knowledge --data-binary @- -H 'content-type: application/grpc' -H 'te: trailers' ${connections}:8208/shop.Cart/Get`,
    );
    assert.ok(stdout.includes("\0\0\0\0\x02hi"), JSON.stringify(stdout));
    // No proxy has read it.
    assert.doesNotMatch(stdout, /x-envoy|server:/i);
  });

  test("internalTrafficPolicy Local: endpoints of other nodes are left alone", async () => {
    const pods = (await mesh.api("/api/v1/namespaces/default/pods?labelSelector=app%3Decho%2Cversion%3Dv1")) as {
      items: { spec: { nodeName: string }; status: { podIP: string } }[];
    };
    const [pod] = pods.items;
    const here = `{ addresses: [${pod?.status.podIP}], nodeName: ${pod?.spec.nodeName}, conditions: { ready: true } }`;
    // Nobody answers at this address.
    const elsewhere = "{ addresses: [10.244.0.250], nodeName: elsewhere, conditions: { ready: true } }";
    const slice = (...endpoints: string[]): void =>
      mesh.writeConfig(
        "slice.yaml",
        `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: near-only, labels: { kubernetes.io/service-name: near-only } }
addressType: IPv4
ports: [{ name: http, port: 8000, protocol: TCP }]
endpoints: [${endpoints.join(", ")}]
`,
      );
    slice(here, elsewhere);
    await eventually(
      "the endpoints",
      async () => (await curl(client, "http://near-only:8000/")).status === 200 || undefined,
    );
    assert.deepEqual(await versions(client, "http://near-only:8000/", 8), { v1: 8 });
    const cluster = "cluster.outbound|8000||near-only.default.svc.cluster.local;";
    assert.equal(await statistic(`${cluster}.membership_total`), 1);
    assert.equal(await statistic(`${cluster}.upstream_cx_connect_fail`), 0);
    slice(elsewhere);
    await eventually("nobody near", async () => {
      const { status, body } = await curl(client, "http://near-only:8000/");
      return (status === 503 && /no (healthy )?(upstream|endpoint)/.test(body)) || undefined;
    });
  });

  test("a server of a Gateway with bind listens there and nowhere else", async () => {
    const inside = await mesh.exec(
      "istio-ingressgateway.istio-system",
      "istio-proxy",
      "curl",
      "-sS",
      "http://127.0.0.1:8099/",
    );
    assert.match(inside.stdout, /"version":"v\d"/, inside.stderr);
    const pods = (await mesh.api("/api/v1/namespaces/istio-system/pods?labelSelector=istio%3Dingressgateway")) as {
      items: { status: { podIP: string } }[];
    };
    const address = pods.items[0]?.status.podIP;
    assert.match((await curl(stranger, `http://${address}:8099/`)).error, /refused|Couldn't connect/);
    assert.equal((await curl(stranger, `http://${address}:8080/`)).status, 200);
  });

  test("an Ingress leads through the gateway by host and path, over TLS too, and shows its address", async () => {
    const ask = (path: string, host = "ingress.example"): Promise<CurlAnswer> =>
      curl(stranger, `-H 'Host: ${host}' ${gateway}${path}`);
    const ports = [];
    for (const path of ["/x", "/alt", "/alt/x", "/altx"]) ports.push(seen(await ask(path)).port);
    assert.deepEqual(ports, [8000, 8080, 8080, 8000]);
    // The class of the other Ingress is not the mesh's: its host is for the Gateway that takes all.
    assert.equal(seen(await ask("/alt", "another.example")).port, 8000);
    const { chain, key } = selfSigned("ingress.example");
    mesh.writeConfig(
      "ingress-secret.yaml",
      `apiVersion: v1
kind: Secret
metadata: { name: ingress, namespace: istio-system }
type: kubernetes.io/tls
stringData:
  tls.crt: ${JSON.stringify(chain)}
  tls.key: ${JSON.stringify(key)}
`,
    );
    await eventually("TLS with the Secret of the Ingress", async () => {
      const to = "ingress.example:443:$(getent ahostsv4 istio-ingressgateway.istio-system | head -1 | cut -d' ' -f1)";
      const answer = await curl(stranger, `-k --resolve "${to}" https://ingress.example/alt`);
      return (answer.status === 200 && seen(answer).port === 8080) || undefined;
    });
    const services = (await mesh.api("/api/v1/namespaces/istio-system/services/istio-ingressgateway")) as {
      status: { loadBalancer: { ingress: readonly unknown[] } };
    };
    await eventually("the address of the gateway in the status", async () => {
      const ingress = (await mesh.api("/apis/networking.k8s.io/v1/namespaces/default/ingresses/echo")) as {
        status?: { loadBalancer?: { ingress?: readonly unknown[] } };
      };
      const shown = ingress.status?.loadBalancer?.ingress ?? [];
      return JSON.stringify(shown) === JSON.stringify(services.status.loadBalancer.ingress) || undefined;
    });
  });

  test("mesh configuration: pathNormalization NONE, BASE and MERGE_SLASHES", async () => {
    for (const [normalization, path] of [
      ["NONE", "/a/../b//c"],
      ["BASE", "/b//c"],
      ["MERGE_SLASHES", "/b/c"],
    ] as const) {
      setMesh(`pathNormalization: { normalization: ${normalization} }`);
      await eventually(`${path} with ${normalization}`, async () => {
        const answer = await curl(client, "--path-as-is 'http://echo:8000/a/../b//c'");
        return (answer.status === 200 && seen(answer).path === path) || undefined;
      });
    }
  });

  test("mesh configuration: h2UpgradePolicy and defaultTrafficPolicy.connectionPool", async () => {
    const [first, again] = [await connection(`${connections}:8200/`), await connection(`${connections}:8200/`)];
    assert.deepEqual([first.httpVersion, first.id], ["1.1", again.id]);
    setMesh(`h2UpgradePolicy: UPGRADE
defaultTrafficPolicy: { connectionPool: { http: { maxRequestsPerConnection: 1 } } }`);
    await eventually(
      "HTTP/2 to a server of HTTP",
      async () => (await connection(`${connections}:8200/`)).httpVersion === "2.0" || undefined,
    );
    const [one, other] = [await connection(`${connections}:8200/`), await connection(`${connections}:8200/`)];
    assert.notEqual(one.id, other.id);
  });

  test("mesh configuration: connectTimeout and dnsRefreshRate", async () => {
    const timeouts = (): Promise<number> =>
      statistic("cluster.outbound|81||unreachable.test;.upstream_cx_connect_timeout");
    setMesh("connectTimeout: 0.2s\ndnsRefreshRate: 1s");
    await eventually("a connection that is given up in time", async () => {
      const { status } = await curl(client, "-H 'Host: unreachable.test' http://10.99.0.1:81/");
      assert.equal(status, 503);
      return (await timeouts()) > 0 || undefined;
    });
    assert.equal((await curl(client, "-H 'Host: late.test' http://10.99.0.2/")).status, 503);
    // A name that is not there is asked for again at the rate of the mesh; without it that is a minute.
    const asked = (): Promise<number> => statistic("cluster.outbound|80||late.test;.update_attempt");
    const before = await asked();
    await eventually("three more questions", async () => (await asked()) >= before + 3 || undefined, 15_000);
    mesh.writeConfig(
      "late.yaml",
      `apiVersion: v1
kind: Service
metadata: { name: late, namespace: outside }
spec: { selector: { app: external }, ports: [{ name: http, port: 8000 }] }
`,
    );
    await eventually(
      "the name",
      async () => (await curl(client, "-H 'Host: late.test' http://10.99.0.2/")).status === 200 || undefined,
    );
  });

  test("mesh configuration: gatewayTopology tells whom a gateway believes", async () => {
    const forwarded = "-H 'X-Forwarded-For: 192.0.2.9, 192.0.2.8'";
    const external = async (options: string): Promise<string | undefined> => {
      const answer = await curl(stranger, `${options} ${gateway}/`);
      return answer.status === 200 ? seen(answer).headers["x-envoy-external-address"] : undefined;
    };
    // Without a proxy in front nobody is believed: the client is the pod.
    assert.match((await external(forwarded)) ?? "", /^10\.244\./);
    setMesh("defaultConfig: { gatewayTopology: { numTrustedProxies: 1, proxyProtocol: {} } }");
    await eventually("the gateway to want a PROXY header", async () => {
      const { status } = await curl(stranger, `${gateway}/`);
      return status === 0 || undefined;
    });
    const request = "GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n";
    const send = async (head: string): Promise<string> =>
      (await stranger.run(`printf '${head}' | node socket.ts istio-ingressgateway.istio-system 80`)).stdout;
    const plain = await send(`PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\\r\\n${request}\\r\\n`);
    assert.match(plain, /^HTTP\/1\.1 200/);
    assert.match(plain, /"x-forwarded-for":"192\.0\.2\.7"/);
    const hops = await send(
      `PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\\r\\n${request}X-Forwarded-For: 192.0.2.9, 192.0.2.8\\r\\n\\r\\n`,
    );
    assert.match(hops, /"x-envoy-external-address":"192\.0\.2\.8"/);
    setMesh("");
    await eventually(
      "the gateway as before",
      async () => (await curl(stranger, `${gateway}/`)).status === 200 || undefined,
    );
  });
});
