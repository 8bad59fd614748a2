// Every traffic rule and every shape of traffic, through real sidecars and the gateway: the rules of
// test/fixtures/traffic applied to the workloads of test/fixtures/workloads. One mesh for all tests, in order.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { fetchMany, fetchPage } from "../support/load.ts";
import { eventually, TestMesh } from "../support/mesh.ts";
import { type CurlAnswer, curl, PodShell, seen } from "../support/pod-shell.ts";

interface Pod {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly spec: {
    readonly initContainers?: readonly { readonly name: string; readonly restartPolicy?: string }[];
    readonly containers: readonly { readonly name: string }[];
  };
}

const socketProgram = "node socket.ts";
let mesh: TestMesh;
let client: PodShell;
let restricted: PodShell;
let bare: PodShell;
let externalAddress = "";

const get = (path: string, options = ""): Promise<CurlAnswer> => curl(client, `${options} 'http://echo:8000${path}'`);

/** The route that was taken, or the status where that was not 200. */
async function routeOf(path: string, options = ""): Promise<string> {
  const answer = await get(path, options);
  return answer.status === 200 ? (answer.headers["x-route"] ?? "none") : String(answer.status);
}

/** The line that matches in the log of one of the pods' proxies, waited for. */
function logLine(pods: string, pattern: RegExp): Promise<string> {
  return eventually(
    `a log line of ${pods} like ${pattern}`,
    async () => {
      const names = pods.split(" or ");
      const logs = await Promise.all(names.map((pod) => mesh.run("logs", pod, "-c", "istio-proxy", "--tail", "500")));
      return pattern.exec(logs.map(({ stdout }) => stdout).join(""))?.[0];
    },
    5000,
  );
}

/** Sum over the series of a metric that have all the labels. */
async function metric(shell: PodShell, name: string, ...labels: string[]): Promise<number> {
  const all = await shell.run("curl -sS http://localhost:15020/stats/prometheus");
  const lines = all.stdout.split("\n").filter((line) => line.startsWith(`${name}{`));
  const chosen = lines.filter((line) => labels.every((label) => line.includes(label)));
  assert.ok(chosen.length > 0, `no ${name} with ${labels.join(", ")}; there are:\n${lines.join("\n")}`);
  return chosen.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}

/** How many of the requests each version answered. */
async function versions(url: string, count: number, concurrency = 1): Promise<Record<string, number>> {
  const parallel = concurrency === 1 ? "" : `--parallel --parallel-immediate --parallel-max ${concurrency}`;
  const result = await client.run(
    `for i in $(seq ${count}); do printf 'url = "%s"\\noutput = /dev/null\\n' '${url}'; done > /tmp/urls; curl -sS ${parallel} -w '%{header_json}' -K /tmp/urls`,
  );
  const counts: Record<string, number> = {};
  for (const [, version = ""] of result.stdout.matchAll(/"x-version":\["(\w+)"\]/g)) {
    counts[version] = (counts[version] ?? 0) + 1;
  }
  return counts;
}

/** Sends bytes to the gateway and collects what comes until the condition holds. */
function rawToGateway(bytes: string, until: (text: string) => boolean, then?: [string, (text: string) => boolean]) {
  return new Promise<string>((resolve, reject) => {
    let text = "";
    let isSecond = then === undefined;
    const socket = connect(Number(new URL(mesh.gateway).port), "127.0.0.1", () => socket.write(bytes));
    const timer = setTimeout(() => socket.destroy(new Error(`not answered within 10 s; so far: ${text}`)), 10_000);
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (!isSecond && until(text)) {
        isSecond = true;
        socket.write(then?.[0] ?? "");
      } else if (isSecond && (then?.[1] ?? until)(text)) socket.end();
    });
    socket.on("error", reject);
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(text);
    });
  });
}

describe("traffic", { timeout: 600_000 }, () => {
  before(async () => {
    mesh = await TestMesh.start({ copy: ["test/fixtures/workloads", "test/fixtures/traffic"] });
    [client, restricted, bare] = await Promise.all([
      PodShell.open(mesh, "client", "client"),
      PodShell.open(mesh, "restricted", "restricted"),
      PodShell.open(mesh, "bare", "bare"),
    ]);
    const address = await mesh.exec("external.outside", "external", "hostname", "-i");
    externalAddress = address.stdout.trim();
  });
  after(async () => {
    await Promise.all([client?.close(), restricted?.close(), bare?.close()]);
    await mesh?.stop();
  });

  describe("matches", () => {
    const cases: readonly [string, string, string, string?][] = [
      ["uri exact", "/match/exact", "exact"],
      ["uri exact, with a query", "/match/exact?a=b", "exact"],
      ["uri exact, longer", "/match/exact/more", "rest"],
      ["uri prefix", "/match/prefix/and/more", "prefix"],
      ["uri prefix, other", "/match/prefi", "rest"],
      ["uri regex", "/match/regex/123", "regex"],
      ["uri regex is the whole path", "/match/regex/123/more", "rest"],
      ["uri without case", "/MATCH/case", "ignore-case"],
      ["uri with case", "/MATCH/EXACT", "rest"],
      ["headers", "/match/header", "header", "-H 'X-Color: red' -H 'X-Size: 12' -H 'X-There: at all'"],
      ["headers, one wrong", "/match/header", "rest", "-H 'X-Color: red' -H 'X-Size: big' -H 'X-There: at all'"],
      ["headers, one missing", "/match/header", "rest", "-H 'X-Color: red' -H 'X-Size: 12'"],
      ["withoutHeaders, missing", "/match/without-header", "without-header"],
      ["withoutHeaders, other value", "/match/without-header", "without-header", "-H 'X-Color: blue'"],
      ["withoutHeaders, there", "/match/without-header", "rest", "-H 'X-Color: red'"],
      ["method", "/match/method", "method", "-X PUT"],
      ["method, other", "/match/method", "rest"],
      ["authority", "/match/authority", "authority", "-H 'Host: echo.default.svc'"],
      ["authority with a port", "/match/authority", "authority", "-H 'Host: echo.default.svc.cluster.local:8000'"],
      ["authority, other", "/match/authority", "rest"],
      ["port, other", "/match/port", "rest"],
      ["queryParams", "/match/query?size=12&color=red", "query"],
      ["queryParams, one wrong", "/match/query?size=big&color=red", "rest"],
      ["queryParams, one missing", "/match/query?color=red", "rest"],
      ["sourceLabels and sourceNamespace", "/match/source", "source"],
      ["one of several matches", "/match/one", "one-or-other"],
      ["the other of several matches", "/match/other", "one-or-other"],
    ];
    for (const [name, path, route, options = ""] of cases) {
      test(name, async () => {
        assert.equal(await routeOf(path, options), route);
      });
    }

    test("port", async () => {
      const answer = await curl(client, "http://echo:8080/match/port");
      assert.equal(answer.headers["x-route"], "port");
      // The destination names port 8000 of the service.
      assert.equal(seen(answer).port, 8000);
    });

    test("sourceLabels of another workload", async () => {
      const answer = await curl(restricted, "http://echo:8000/match/source");
      assert.equal(answer.headers["x-route"], "rest");
    });

    test("the access log names the route and the match", async () => {
      await logLine("client", /^.*"GET \/match\/other HTTP\/1\.1" 200 .* one-or-other\.other$/m);
    });
  });

  describe("actions", () => {
    test("weights split the traffic, and each destination sets its own headers", async () => {
      const counts = await versions("http://echo:8000/weights", 400);
      // Binomial with n = 400, p = 0.25: standard deviation 8.7; five of them to either side.
      assert.equal((counts["v1"] ?? 0) + (counts["v2"] ?? 0), 400);
      assert.ok((counts["v2"] ?? 0) > 56 && (counts["v2"] ?? 0) < 144, JSON.stringify(counts));
      const answer = await get("/weights");
      assert.equal(answer.headers["x-weighted"], `to-${answer.headers["x-version"]}`);
    });

    test("rewrite of a prefix and of the authority", async () => {
      const request = seen(await get("/rewrite/prefix/and/more?a=b"));
      assert.equal(request.path, "/new/and/more?a=b");
      assert.equal(request.headers["host"], "other.example");
      assert.equal(request.headers["x-envoy-original-path"], "/rewrite/prefix/and/more?a=b");
    });

    test("rewrite of a whole path", async () => {
      assert.equal(seen(await get("/rewrite/exact?a=b")).path, "/all-new?a=b");
    });

    test("rewrite by a regular expression", async () => {
      assert.equal(seen(await get("/rewrite/regex/one/two?a=b")).path, "/two/of/one?a=b");
    });

    test("redirect", async () => {
      const uri = await get("/redirect/uri");
      assert.deepEqual([uri.status, uri.headers["location"]], [302, "http://other.example/elsewhere"]);
      const scheme = await get("/redirect/scheme?a=b");
      assert.deepEqual([scheme.status, scheme.headers["location"]], [301, "https://echo:8443/redirect/scheme?a=b"]);
      const host = await get("/redirect/host");
      assert.deepEqual([host.status, host.headers["location"]], [301, "http://other.example/redirect/host"]);
    });

    test("directResponse", async () => {
      const answer = await get("/direct");
      assert.deepEqual([answer.status, answer.body], [418, "I am a teapot"]);
      assert.equal(answer.headers["x-route"], "direct");
    });

    test("timeout: 504 with UT in the access log, soon enough is 200", async () => {
      const late = await get("/delay/3000");
      assert.equal(late.status, 504);
      // The embedded cluster's sidecars tell their own client why.
      assert.match(late.body, /^upstream request timeout\n.*timeout of 300 ms.*routes\.yaml:\d+/);
      await logLine("client", /^.*"GET \/delay\/3000 HTTP\/1\.1" 504 UT response_timeout .*$/m);
      assert.equal((await get("/delay/10")).status, 200);
    });

    test("retries: the third attempt gets the answer, and the workload sees which attempt it is", async () => {
      const answer = await get("/flaky/two/2");
      assert.equal(answer.status, 200);
      assert.equal(seen(answer).headers["x-envoy-attempt-count"], "3");
    });

    test("retries end after the attempts of the rule", async () => {
      assert.equal((await get("/flaky/nine/9")).status, 503);
      await logLine("client", /^.*"GET \/flaky\/nine\/9 HTTP\/1\.1" 503 URX via_upstream .*$/m);
    });

    test("retries off", async () => {
      assert.equal((await get("/once/flaky/one/1")).status, 503);
      assert.equal((await get("/once/flaky/one/1")).status, 200);
    });

    test("faults: a rule aborts, delays, or does both, and the access log says so", async () => {
      const aborted = await get("/fault/abort");
      assert.equal(aborted.status, 418);
      // The embedded cluster's sidecars tell their own client why.
      assert.match(aborted.body, /^fault filter abort\n.*aborts 100 %.*routes\.yaml:\d+/);
      await logLine("client", /^.*"GET \/fault\/abort HTTP\/1\.1" 418 FI fault_filter_abort .*$/m);
      const started = performance.now();
      assert.equal((await get("/fault/delay")).status, 200);
      assert.ok(performance.now() - started >= 400);
      await logLine("client", /^.*"GET \/fault\/delay HTTP\/1\.1" 200 DI via_upstream .*$/m);
      assert.equal((await get("/fault/jason")).status, 200);
      assert.equal((await get("/fault/jason", "-H 'end-user: jason'")).status, 503);
      await logLine("client", /^.*"GET \/fault\/jason HTTP\/1\.1" 503 DI,FI fault_filter_abort .*$/m);
    });

    test("a fault is for its share of the requests", async () => {
      const counts = await versions("http://echo:8000/fault/half", 400);
      // Binomial with n = 400, p = 0.5: standard deviation 10; five of them to either side.
      assert.ok((counts["v1"] ?? 0) > 150 && (counts["v1"] ?? 0) < 250, JSON.stringify(counts));
    });

    test("CORS: preflights of allowed origins are answered by the sidecar, other requests get what browsers ask for", async () => {
      const preflight = "-X OPTIONS -H 'Access-Control-Request-Method: PUT'";
      const allowed = await get("/cors", `${preflight} -H 'Origin: https://www.shop.example'`);
      const { headers } = allowed;
      assert.deepEqual(
        [allowed.status, headers["x-version"], headers["access-control-allow-origin"]],
        [200, undefined, "https://www.shop.example"],
      );
      assert.deepEqual(
        ["allow-methods", "allow-headers", "max-age", "allow-credentials"].map((it) => headers[`access-control-${it}`]),
        ["GET,PUT", "x-token", "86400", "true"],
      );
      await logLine("client", /^.*"OPTIONS \/cors HTTP\/1\.1" 200 - cors_response .*$/m);
      const other = await get("/cors", `${preflight} -H 'Origin: https://evil.example'`);
      assert.deepEqual(
        [other.headers["x-version"], other.headers["access-control-allow-origin"]],
        [undefined, undefined],
      );
      const request = await get("/cors", "-H 'Origin: https://shop.example'");
      assert.deepEqual(
        ["x-version", "access-control-allow-origin", "access-control-expose-headers"].map((it) => request.headers[it]),
        ["v1", "https://shop.example", "x-out"],
      );
    });

    test("a mirror gets every request, and only the first destination answers", async () => {
      for (let i = 0; i < 3; i++) assert.equal((await get(`/mirrored/${i}`)).headers["x-version"], "v1");
      for (let i = 0; i < 3; i++) {
        await logLine("echo-v2", new RegExp(`^.*"GET /mirrored/${i} HTTP/2" 200 .*"echo:8000".*$`, "m"));
      }
    });

    test("headers are set, added and removed both ways", async () => {
      const answer = await get("/headers", "-H 'X-Set: old' -H 'X-Added: some' -H 'X-Removed: yes'");
      const { headers } = seen(answer);
      assert.equal(headers["x-set"], "new");
      assert.equal(headers["x-added"], "some, more");
      assert.equal(headers["x-removed"], undefined);
      assert.equal(headers["x-destination"], "first");
      assert.equal(answer.headers["x-version"], "hidden");
      assert.equal(answer.headers["x-answer"], "42");
      assert.equal(answer.headers["x-internal"], undefined);
    });
  });

  describe("destinations", () => {
    test("ROUND_ROBIN goes evenly", async () => {
      assert.deepEqual(await versions("http://echo-round-robin:8000/", 40), { v1: 20, v2: 20 });
    });

    test("LEAST_REQUEST reaches all, and avoids the one that is busy", async () => {
      const idle = await versions("http://echo-least-request:8000/", 40);
      assert.deepEqual(Object.keys(idle).sort(), ["v1", "v2"]);
      // Of two random picks the less busy one is taken; both are the busy one in a quarter of all cases. So about 42 of
      // 160, standard deviation 6; without looking at the load it would be 80.
      const { v1 = 0, v2 = 0 } = await versions("http://echo-least-request:8000/slow/v1/100", 160, 6);
      assert.equal(v1 + v2, 160);
      assert.ok(v1 < 66, `${v1} of 160 requests went to the slow one`);
    });

    test("requests of one user go to one workload, those of many to both", async () => {
      const places = async (userOf: (i: number) => string): Promise<Set<string | undefined>> => {
        const found = new Set<string | undefined>();
        for (let i = 0; i < 12; i++) {
          found.add((await curl(client, `-H 'X-User: ${userOf(i)}' http://echo-hashed:8000/`)).headers["x-version"]);
        }
        return found;
      };
      assert.equal((await places(() => "jason")).size, 1);
      assert.equal((await places((i) => `user-${i}`)).size, 2);
    });

    test("a workload that only fails is ejected, and the proxy says so", async () => {
      await eventually("the ejection", async () => {
        await curl(client, "http://echo-outlier:8000/broken/v1");
        const { stdout } = await mesh.run(
          "proxy-config",
          "endpoints",
          "client",
          "--cluster",
          "outbound|8000||echo-outlier.default.svc.cluster.local",
        );
        return /FAILED/.test(stdout) ? true : undefined;
      });
      assert.deepEqual(await versions("http://echo-outlier:8000/broken/v1", 20), { v2: 20 });
    });

    test("h2UpgradePolicy: requests go on over HTTP/2, and the workload sees HTTP/1.1", async () => {
      const answer = await curl(client, "http://echo-h2:8000/upgraded");
      assert.equal(seen(answer).httpVersion, "1.1");
      await logLine("echo-v1 or echo-v2", /^.*"GET \/upgraded HTTP\/2" 200 .*$/m);
    });

    test("TLS mode DISABLE against STRICT fails with a reason on both sides", async () => {
      const answer = await curl(client, "http://echo-plaintext:8000/disabled");
      assert.equal(answer.status, 503);
      assert.match(answer.body, /^upstream connect error or disconnect\/reset before headers/);
      const line = await logLine("echo-v1 or echo-v2", /^.*plaintext.*$/m);
      assert.match(line, /PeerAuthentication.*policies\.yaml:\d+/);
    });

    test("TLS mode DISABLE against PERMISSIVE is plaintext", async () => {
      const request = seen(await curl(client, "http://echo-plaintext:8080/disabled"));
      assert.equal(request.port, 8080);
      assert.equal(request.headers["x-forwarded-client-cert"], undefined);
    });

    test("settings of a port replace those of the host", async () => {
      assert.match(
        seen(await curl(client, "http://echo-ports:8000/")).headers["x-forwarded-client-cert"] ?? "",
        /sa\/client$/,
      );
      assert.equal(seen(await curl(client, "http://echo-ports:8080/")).headers["x-forwarded-client-cert"], undefined);
      const counts = await versions("http://echo-ports:8080/", 20);
      assert.deepEqual(counts, { v1: 10, v2: 10 });
    });

    test("a port whose protocol nobody told is looked at", async () => {
      const answer = await curl(client, "http://echo-undeclared:8000/");
      assert.match(seen(answer).headers["x-forwarded-client-cert"] ?? "", /sa\/client$/);
      await logLine("client", /^.*"GET \/ HTTP\/1\.1" 200 .*outbound\|8000\|\|echo-undeclared\.default\S* .*$/m);
    });

    test("a subset that does not exist: 503 NC, and the log names the VirtualService", async () => {
      mesh.writeConfig(
        "missing.yaml",
        `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: missing-subset
spec:
  hosts: [echo-least-request]
  http:
    - route: [{ destination: { host: echo-least-request, subset: v9 } }]
`,
      );
      await eventually("503", async () => {
        const answer = await curl(client, "http://echo-least-request:8000/missing");
        return answer.status === 503 ? true : undefined;
      });
      const line = await logLine("client", /^.*"GET \/missing HTTP\/1\.1" 503 NC cluster_not_found .*$/m);
      assert.match(
        line,
        /outbound\|8000\|v9\|echo-least-request.*VirtualService default\/missing-subset.*missing\.yaml:\d+/,
      );
      mesh.removeConfig("missing.yaml");
      await eventually("200", async () => {
        const answer = await curl(client, "http://echo-least-request:8000/");
        return answer.status === 200 ? true : undefined;
      });
    });

    test("a headless service", async () => {
      const request = seen(await curl(client, "http://echo-headless:8000/"));
      assert.match(request.headers["x-forwarded-client-cert"] ?? "", /sa\/client$/);
      const bytes = await client.run(`printf headless | ${socketProgram} echo-headless 9000`);
      assert.match(bytes.stdout, /^headless\nv[12] got 8 bytes and the end/);
    });
  });

  describe("outside of the mesh", () => {
    test("ALLOW_ANY lets unknown hosts and ports through", async () => {
      assert.equal(seen(await curl(client, "http://external.outside:8000/")).version, "external");
      assert.equal(seen(await curl(client, `http://${externalAddress}:8080/`)).version, "external");
    });

    test("REGISTRY_ONLY refuses what the Sidecar's egress does not name", async () => {
      assert.equal(seen(await curl(restricted, "http://echo:8000/")).version, "v2");
      assert.equal((await curl(restricted, "http://external.outside:8000/blocked")).status, 502);
      assert.equal((await curl(restricted, "http://echo-round-robin:8000/")).status, 502);
      await logLine(
        "restricted",
        /^.*"GET \/blocked HTTP\/1\.1" 502 - direct_response .* block_all cause=.*policies\.yaml:\d+.*$/m,
      );
      const closed = await restricted.run(`printf hello | ${socketProgram} ${externalAddress} 9000`);
      assert.equal(closed.stdout, "");
      await logLine(
        "restricted",
        /^.* UH .*BlackHoleCluster.* cause=".*REGISTRY_ONLY.* \(Sidecar .*policies\.yaml:\d+\)\).*$/m,
      );
      const blocked = ['reporter="source"', 'destination_service_name="BlackHoleCluster"'];
      assert.equal(await metric(restricted, "istio_tcp_connections_opened_total", ...blocked), 1);
      const config = await mesh.run("proxy-config", "clusters", "restricted");
      assert.match(config.stdout, /^echo\.default\.svc\.cluster\.local\s/m);
      assert.doesNotMatch(config.stdout, /echo-round-robin|external\.outside/);
    });

    test("excludeOutboundPorts keeps a port from the sidecar", async () => {
      const greeted = await restricted.run(`echo Ann | ${socketProgram} ${externalAddress} 9001 --first`);
      assert.equal(greeted.stdout, "hello from external\ngood bye, Ann\n");
    });

    test("ServiceEntries: STATIC, DNS, and NONE with addresses", async () => {
      mesh.writeConfig("entries.yaml", serviceEntries(externalAddress));
      // To an address where nobody listens, so that only the Host header can lead to the entry.
      const viaEntry = (name: string): string =>
        `--connect-to ::${externalAddress}:80 http://${name}.mesh.test/${name}`;
      for (const name of ["static", "dns", "round-robin"]) {
        const answer = await eventually(`an answer of ${name}.mesh.test`, async () => {
          const candidate = await curl(restricted, viaEntry(name));
          return candidate.status === 200 ? candidate : undefined;
        });
        assert.equal(seen(answer).version, "external");
        assert.equal(seen(answer).headers["host"], `${name}.mesh.test`);
      }
      const reached = await restricted.run(`printf hello | ${socketProgram} ${externalAddress} 9000`);
      assert.equal(reached.stdout, "hello\nexternal got 5 bytes and the end\n");
      await logLine("restricted", /^.*outbound\|9000\|\|none\.mesh\.test.*$/m);
      await logLine("restricted", /^.*"GET \/static HTTP\/1\.1" 200 .*outbound\|80\|\|static\.mesh\.test.*$/m);
    });
  });

  describe("TCP", () => {
    test("bytes go both ways through mutual TLS, and one side may end before the other", async () => {
      const small = await client.run(`printf 'one two' | ${socketProgram} echo 9000`);
      assert.match(small.stdout, /^one two\nv[12] got 7 bytes and the end\n$/);
      const large = await client.run(`head -c 3000000 /dev/zero | ${socketProgram} echo 9000 | tail -n 1`);
      assert.match(large.stdout, /^v[12] got 3000000 bytes and the end\n$/);
    });

    test("a server that speaks first", async () => {
      const greeted = await client.run(`echo Ann | ${socketProgram} echo 9001 --first`);
      assert.match(greeted.stdout, /^hello from v[12]\ngood bye, Ann\n$/);
    });

    test("metrics and access log tell of the connections", async () => {
      const labels = [
        'reporter="source"',
        'destination_service="echo.default.svc.cluster.local"',
        'destination_principal="spiffe://cluster.local/ns/default/sa/echo"',
      ];
      await eventually("the connections to be counted as closed", async () =>
        (await metric(client, "istio_tcp_connections_closed_total", ...labels)) >= 3 ? true : undefined,
      );
      assert.ok((await metric(client, "istio_tcp_connections_opened_total", ...labels)) >= 3);
      assert.ok((await metric(client, "istio_tcp_sent_bytes_total", ...labels)) >= 3_000_000);
      assert.ok((await metric(client, "istio_tcp_received_bytes_total", ...labels)) >= 3_000_000);
      await logLine("client", /^.*"- - -" 0 - .* outbound\|9000\|\|echo\.default\.svc\.cluster\.local .*$/m);
      await logLine("echo-v1 or echo-v2", /^.*"- - -" 0 - .* inbound\|900[01]\|\| .*$/m);
    });
  });

  describe("a pod without a sidecar", () => {
    test("finds services by name and address", async () => {
      const request = seen(await curl(bare, "http://echo:8080/"));
      assert.match(request.version, /^v[12]$/);
      assert.equal(request.headers["x-forwarded-client-cert"], undefined);
      const address = await bare.run("getent ahostsv4 echo.default.svc.cluster.local | head -n 1 | cut -d' ' -f1");
      assert.match(address.stdout, /^10\.96\./);
      assert.equal((await curl(bare, `http://${address.stdout.trim()}:8080/`)).status, 200);
      const pods = await bare.run("getent ahostsv4 echo-headless | cut -d' ' -f1 | sort -u | wc -l");
      assert.equal(pods.stdout.trim(), "2");
    });
  });

  describe("the sidecar's place", () => {
    test("native sidecar, ordinary container or none, as label and annotation say", async () => {
      const { items } = (await mesh.api("/api/v1/namespaces/default/pods")) as { items: readonly Pod[] };
      const containersOf = (app: string): string[] => {
        const spec = items.find(({ metadata }) => metadata.labels["app"] === app)?.spec;
        const initial = (spec?.initContainers ?? []).map(({ name, restartPolicy }) =>
          restartPolicy === undefined ? `init ${name}` : `sidecar ${name}`,
        );
        return [...initial, ...(spec?.containers ?? []).map(({ name }) => name)];
      };
      assert.deepEqual(containersOf("client"), ["init istio-init", "sidecar istio-proxy", "client"]);
      assert.deepEqual(containersOf("restricted").sort(), ["init istio-init", "istio-proxy", "restricted"]);
      assert.deepEqual(containersOf("bare"), ["bare"]);
    });
  });

  describe("gateway", () => {
    const host = (name: string, path = "/") => fetchPage(`${mesh.gateway}${path}`, { host: name });

    test("hosts choose the routes, others get 404", async () => {
      assert.equal((await host("one.example")).headers["x-host"], "one");
      assert.equal((await host("ONE.example:8080")).headers["x-host"], "one");
      assert.equal((await host("any.two.example", "/only")).headers["x-host"], "two");
      assert.equal((await host("any.two.example", "/other")).status, 404);
      assert.equal((await host("two.example", "/only")).status, 404);
      assert.equal((await host("three.example")).status, 404);
    });

    test("the workload sees the gateway's identity and the client's address", async () => {
      const answer = await host("one.example");
      const request = JSON.parse(answer.body) as { headers: Record<string, string> };
      assert.match(request.headers["x-forwarded-client-cert"] ?? "", /sa\/istio-ingressgateway-service-account$/);
      assert.match(request.headers["x-forwarded-for"] ?? "", /^[\d.]+$/);
      assert.equal(request.headers["x-forwarded-proto"], "http");
    });

    test("HTTP/1.0", async () => {
      const answer = await rawToGateway("GET /bytes/10 HTTP/1.0\r\nHost: one.example\r\n\r\n", () => false);
      assert.match(answer, /^HTTP\/1\.[01] 200 OK\r\n/);
      assert.match(answer, /\r\n\r\no{10}$/);
      const chunks = await rawToGateway("GET /chunks/2 HTTP/1.0\r\nHost: one.example\r\n\r\n", () => false);
      assert.match(chunks, /\r\n\r\nchunk 0\nchunk 1\n$/);
      assert.doesNotMatch(chunks, /transfer-encoding/i);
    });

    test("WebSocket goes through the gateway to a sidecar", async () => {
      const answer = await rawToGateway(
        "GET /socket HTTP/1.1\r\nHost: one.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        (text) => text.includes("\r\n\r\n"),
        ["\x81\x05hello", (text) => text.endsWith("\x81\x05hello")],
      );
      assert.match(answer, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
      assert.match(answer, /\r\nupgrade: websocket\r\n/i);
      assert.ok(answer.endsWith("\x81\x05hello"));
    });

    test("pipelined requests are answered in order", async () => {
      const requests = ["/delay/100", "/chunks/3", "/bytes/5"].map(
        (path, index) =>
          `GET ${path} HTTP/1.1\r\nHost: one.example\r\n${index === 2 ? "Connection: close\r\n" : ""}\r\n`,
      );
      const answer = await rawToGateway(requests.join(""), () => false);
      assert.equal(answer.match(/HTTP\/1\.1 200 OK/g)?.length, 3, answer);
      assert.match(answer, /"path":"\/delay\/100"[\s\S]*chunk 2\n[\s\S]*\r\n\r\nooooo$/);
    });

    test("large bodies, one after the other and at once", async () => {
      const answers = await fetchMany(20, 10, () => host("one.example", "/bytes/1048576"));
      for (const answer of answers) assert.equal(answer.body.length, 1_048_576);
    });
  });

  describe("HTTP between sidecars", () => {
    test("request and response bodies of one megabyte", async () => {
      await client.run("head -c 1048576 /dev/zero | tr '\\0' x > /tmp/large");
      const sum = await client.run("md5sum < /tmp/large");
      const back = await client.run("curl -sS --data-binary @/tmp/large http://echo:8000/body | md5sum");
      assert.equal(back.stdout, sum.stdout);
      assert.equal((await get("/bytes/1048576")).body.length, 1_048_576);
    });

    test("chunked requests and responses", async () => {
      const back = await client.run(
        "curl -sS -H 'Transfer-Encoding: chunked' --data-binary @/tmp/large http://echo:8000/body | wc -c",
      );
      assert.equal(back.stdout.trim(), "1048576");
      const chunks = await get("/chunks/50");
      assert.equal(chunks.headers["transfer-encoding"], "chunked");
      assert.match(chunks.body, /^chunk 0\n[\s\S]*chunk 49\n$/);
    });

    test("100 Continue comes from the workload", async () => {
      const verbose = await client.run(
        "curl -sv -o /dev/null -H 'Expect: 100-continue' --data-binary @/tmp/large http://echo:8000/body 2>&1",
      );
      assert.match(verbose.stdout, /< HTTP\/1\.1 100 Continue/i);
      assert.match(verbose.stdout, /< HTTP\/1\.1 200 OK/);
      assert.doesNotMatch(verbose.stdout, /Done waiting for 100-continue/);
    });

    test("HEAD has the length and no body", async () => {
      const answer = await get("/bytes/1000", "-I");
      assert.deepEqual([answer.status, answer.body], [200, ""]);
    });

    test("an Upgrade becomes a tunnel, also where the client does not wait for the answer", async () => {
      const head = "GET /socket HTTP/1.1\\r\\nHost: echo\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n";
      const answer = await client.run(`printf '${head}first' | ${socketProgram} echo 8000`);
      assert.match(answer.stdout, /^HTTP\/1\.1 101 Switching Protocols\r\n[\s\S]*\r\n\r\nfirst$/);
      const later = await client.run(`printf second | ${socketProgram} echo 8000 --first '${head}'`);
      assert.match(later.stdout, /\r\n\r\nsecond$/);
    });

    test("HTTP/1.0", async () => {
      const answer = await get("/", "--http1.0");
      assert.equal(seen(answer).version, "v2");
    });

    test("pipelined requests are answered in order", async () => {
      const request = (path: string, close = ""): string => `GET ${path} HTTP/1.1\\r\\nHost: echo\\r\\n${close}\\r\\n`;
      const script = `printf '${request("/delay/50")}${request("/bytes/5")}${request("/chunks/2", "Connection: close\\r\\n")}'`;
      const answer = await client.run(`${script} | ${socketProgram} echo 8000`);
      assert.equal(answer.stdout.match(/HTTP\/1\.1 200 OK/g)?.length, 3, answer.stdout);
      assert.match(answer.stdout, /"path":"\/delay\/50"[\s\S]*ooooo[\s\S]*chunk 1\n/);
    });
  });

  test("EnvoyFilters change the filters and routes that sidecars have", async () => {
    const answer = await get("/match/exact");
    assert.deepEqual([answer.status, answer.headers["x-patched"]], [200, "inbound"]);
    assert.equal((await get("/patched")).status, 418);
  });

  test("a filter takes its settings from ECDS, and idle patches are told", async () => {
    assert.equal((await get("/match/exact")).headers["x-discovered"], "first");
    const shown = await mesh.run("proxy-config", "ecds", "deploy/echo-v1");
    assert.match(shown.stdout, /^mark-discovered +envoy\.extensions\.filters\.http\.header_mutation\./m);
    const status = await eventually("the state of the EnvoyFilter", async () => {
      const { stdout } = await mesh.run("status");
      return /^EnvoyFilter .*discovered-settings .*$/m.exec(stdout)?.[0].replace(/ +/g, " ");
    });
    assert.match(status, / partly in force /);
    assert.match(
      status,
      /configPatches\[2\] \(\S*envoy-filter\.yaml:\d+\): HTTP_FILTER REMOVE finds nothing to change at the \w+ prox/,
    );
  });
});

function serviceEntries(address: string): string {
  const entry = (name: string, rest: string): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: ${name}
spec:
  hosts: [${name}.mesh.test]
${rest}
`;
  return [
    entry(
      "static",
      `  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP, targetPort: 8000 }]
  endpoints: [{ address: ${address} }]`,
    ),
    entry(
      "dns",
      `  resolution: DNS
  ports: [{ number: 80, name: http, protocol: HTTP }]
  endpoints: [{ address: second-name.outside.svc.cluster.local }]`,
    ),
    entry(
      "round-robin",
      `  resolution: DNS_ROUND_ROBIN
  ports: [{ number: 80, name: http, protocol: HTTP }]
  endpoints: [{ address: second-name.outside.svc.cluster.local }]`,
    ),
    entry(
      "none",
      `  resolution: NONE
  addresses: [${address}/32]
  ports: [{ number: 9000, name: tcp, protocol: TCP }]`,
    ),
  ].join("---\n");
}
