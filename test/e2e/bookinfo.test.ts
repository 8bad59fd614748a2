// The main job, as a user sees it: Bookinfo through real sidecars, its routing rules, its security, and what happens
// when configuration or processes go wrong. One mesh for all tests, in order.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { killContainer } from "../support/host.ts";
import { fetchMany, fetchPage, SteadyLoad } from "../support/load.ts";
import { eventually, TestMesh } from "../support/mesh.ts";

const reviewsRule = "bookinfo/networking/virtual-service-reviews.yaml";
const peerAuthentication = "bookinfo/security/peer-authentication.yaml";
let mesh: TestMesh;

const reviewsPage = (): string => `${mesh.gateway}/api/v1/products/0/reviews`;

interface Reviews {
  readonly version: string;
  readonly reviews: readonly { readonly rating?: { readonly color: string } }[];
}

interface Echo {
  readonly headers: Readonly<Record<string, string>>;
  readonly remoteAddress: string;
}

describe("Bookinfo", { timeout: 900_000 }, () => {
  before(async () => {
    mesh = await TestMesh.start({ copy: ["examples/bookinfo", "test/fixtures/echo"] });
  });
  after(async () => {
    await mesh?.stop();
  });

  test("the product page comes through the gateway with details and reviews", async () => {
    const page = await fetchPage(`${mesh.gateway}/productpage`);
    assert.equal(page.status, 200);
    assert.match(page.body, /The Comedy of Errors/);
    assert.match(page.body, /1234567890/);
    assert.match(page.body, /Reviewer1/);
    assert.equal(page.headers["server"], "istio-envoy");
  });

  test("a path that no rule names is answered 404 by the gateway", async () => {
    assert.equal((await fetchPage(`${mesh.gateway}/nowhere`)).status, 404);
  });

  test("a policy for the gateway from what it has seen lets that through, and nothing else", async () => {
    const suggest = ["authz", "suggest", "istio-ingressgateway", "-n", "istio-system"];
    const { stdout, stderr } = await mesh.run(...suggest);
    assert.match(stdout, /hosts:\n +- (127\.0\.0\.1|localhost)/, stderr);
    assert.match(stdout, /paths:\n +- \/productpage\n/);
    assert.doesNotMatch(stdout, /nowhere/);
    assert.equal(
      (await fetchPage(`${mesh.gateway}/api/v1/products`)).status,
      200,
      "a path of a route, which nobody has asked for",
    );
    mesh.writeConfig("suggested.yaml", stdout);
    const refused = await eventually("403 for what nobody had asked for", async () => {
      const answer = await fetchPage(`${mesh.gateway}/api/v1/products`);
      return answer.status === 403 ? answer : undefined;
    });
    assert.match(refused.body, /AuthorizationPolicy istio-system\/allow-observed-\S+ \(config\/suggested\.yaml:\d+\)/);
    assert.equal((await fetchPage(`${mesh.gateway}/productpage`)).status, 200);
    mesh.removeConfig("suggested.yaml");
    await eventually("everybody to be let in", async () =>
      (await fetchPage(`${mesh.gateway}/api/v1/products`)).status < 400 ? true : undefined,
    );
    writeFileSync(join(mesh.folder, "policy.yaml"), stdout);
    const replayed = await mesh.run(...suggest, "--with", "policy.yaml");
    assert.match(
      replayed.stdout,
      /^denied +istio-ingressgateway\.istio-system +\d+ +\S+ +GET +\S+\/api\/v1\/products +\d+ +no policy allows/m,
    );
  });

  test("1000 requests split 90 to 10 between v1 and v2", async () => {
    const answers = await fetchMany(1000, 8, () => fetchPage(reviewsPage()));
    const versions = answers.map((answer) => {
      assert.equal(answer.status, 200, answer.body);
      return (JSON.parse(answer.body) as Reviews).version;
    });
    const second = versions.filter((version) => version === "v2").length;
    assert.deepEqual([...new Set(versions)].sort(), ["v1", "v2"]);
    // Binomial with n = 1000, p = 0.1: standard deviation 9.5; five of them to either side.
    assert.ok(second > 52 && second < 148, `${second} of 1000 went to v2`);
  });

  test("end-user jason always reaches v2", async () => {
    const answers = await fetchMany(100, 8, () => fetchPage(reviewsPage(), { "end-user": "jason" }));
    for (const answer of answers) assert.equal((JSON.parse(answer.body) as Reviews).version, "v2");
  });

  test("explain asks the gateway's own pod; istioctl's questions are answered about the running mesh", async () => {
    const told = async (pattern: RegExp, ...argv: string[]): Promise<void> => {
      const { code, stdout, stderr } = await mesh.run(...argv);
      assert.equal(code, 0, `${argv.join(" ")}: ${stderr}${stdout}`);
      assert.match(stdout, pattern, argv.join(" "));
    };
    // The port of the gateway's pod: that of the host is the port forward's.
    const page = "http://localhost:8080/productpage";
    await told(/reaches the application/, "explain", "--gateway", "istio=ingressgateway", "GET", page);
    await told(/\bstatus\b.* 200\b/, "explain", "--gateway", "bookinfo-gateway", "-o", "json", "GET", page);
    await told(
      /subset "v2" with weight 10%[^]*RBAC policies: \S*reviews-viewer/,
      "x",
      "describe",
      "service",
      "reviews",
    );
    await told(/^ALLOW +ratings-viewer\.default +1$/m, "x", "authz", "check", "deploy/ratings-v1");
    await told(/^reviews\.\S+:9080 +OK +STRICT +ISTIO_MUTUAL +default\/default /m, "authn", "tls-check", "productpage");
    await told(/No issues found/, "x", "precheck");
    await told(/^ratings-v1\.default +9080 +STRICT .* nothing$/m, "mtls", "report");
    await told(/^0 of \d+ requests and connections would have been denied/, "authz", "suggest", "--replay");
  });

  test("every proxy is in sync", async () => {
    const status = await eventually("all proxies in sync", async () => {
      const result = await mesh.run("proxy-status");
      return result.code === 0 ? result.stdout : undefined;
    });
    for (const name of ["productpage-v1", "details-v1", "reviews-v3", "ratings-v1", "istio-ingressgateway", "echo"]) {
      assert.match(status, new RegExp(`^${name}-\\S+\\s+Kubernetes\\s+SYNCED\\s+SYNCED\\s+SYNCED\\s+SYNCED`, "m"));
    }
  });

  test("proxy-config shows Istio's names", async () => {
    const clusters = await mesh.run("proxy-config", "clusters", "productpage-v1");
    assert.match(
      clusters.stdout,
      /^reviews\.default\.svc\.cluster\.local\s+9080\s+v2\s+outbound\s+EDS\s+reviews\.default/m,
    );
    assert.match(clusters.stdout, /^BlackHoleCluster\s/m);
    const listeners = await mesh.run("proxy-config", "listeners", "productpage-v1", "--port", "15006");
    assert.match(listeners.stdout, /0\.0\.0\.0\s+15006/);
    const routes = await mesh.run("proxy-config", "routes", "productpage-v1", "--name", "9080");
    assert.match(routes.stdout, /reviews\.default\.svc\.cluster\.local:9080.*reviews\.default/);
    const endpoints = await mesh.run(
      "proxy-config",
      "endpoints",
      "productpage-v1",
      "--cluster",
      "outbound|9080|v2|reviews.default.svc.cluster.local",
    );
    assert.match(endpoints.stdout, /:9080\s+HEALTHY\s+OK\s+outbound\|9080\|v2/);
    const secret = await mesh.run("proxy-config", "secret", "productpage-v1", "-o", "json");
    assert.match(secret.stdout, /"default"/);
    assert.doesNotMatch(secret.stdout, /PRIVATE KEY/);
  });

  test("editing one file turns the stars red", async () => {
    mesh.editConfig(reviewsRule, (text) => text.replaceAll("subset: v2", "subset: v3"));
    const color = await eventually("red stars", async () => {
      const answer = await fetchPage(reviewsPage(), { "end-user": "jason" });
      const reviews = JSON.parse(answer.body) as Reviews;
      return reviews.version === "v3" ? reviews.reviews[0]?.rating?.color : undefined;
    });
    assert.equal(color, "red");
    mesh.editConfig(reviewsRule, (text) => text.replaceAll("subset: v3", "subset: v2"));
  });

  test("a peer sees the caller's SPIFFE id, and the application sees 127.0.0.6", async () => {
    const result = await mesh.exec("productpage-v1", "productpage", "curl", "-sS", "http://echo:8000/headers");
    assert.equal(result.code, 0, result.stderr);
    const echo = JSON.parse(result.stdout) as Echo;
    assert.match(
      echo.headers["x-forwarded-client-cert"] ?? "",
      /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/bookinfo-productpage/,
    );
    assert.match(echo.headers["x-forwarded-client-cert"] ?? "", /By=spiffe:\/\/cluster\.local\/ns\/default\/sa\/echo/);
    assert.match(echo.remoteAddress, /127\.0\.0\.6$/);
  });

  test("openssl in the mesh sees TLS 1.3 and the server's SPIFFE certificate", async () => {
    const command =
      "openssl s_client -connect reviews:9080 -alpn istio -servername outbound_.9080_._.reviews.default.svc.cluster.local </dev/null | openssl x509 -noout -ext subjectAltName";
    const certificate = await mesh.exec(
      "shell.outside",
      "shell",
      "sh",
      "-c",
      command.replace("reviews:9080", "reviews.default:9080"),
    );
    assert.match(certificate.stdout, /URI:spiffe:\/\/cluster\.local\/ns\/default\/sa\/bookinfo-reviews/);
    const session = await mesh.exec(
      "shell.outside",
      "shell",
      "sh",
      "-c",
      "openssl s_client -connect reviews.default:9080 -alpn istio </dev/null 2>/dev/null",
    );
    assert.match(session.stdout, /TLSv1\.3/);
  });

  test("STRICT refuses plaintext from outside the mesh and the log says why", async () => {
    const refused = await mesh.exec("shell.outside", "shell", "curl", "-sS", "-m", "5", "http://echo.default:8000/");
    assert.notEqual(refused.code, 0, `got an answer: ${refused.stdout}`);
    const line = await eventually("a log line with the reason", async () => {
      const logs = await mesh.run("logs", "echo", "-c", "istio-proxy", "--tail", "200");
      return /^.*plaintext.*$/im.exec(logs.stdout)?.[0];
    });
    assert.match(line, /STRICT|mutual TLS|PeerAuthentication/);
  });

  test("PERMISSIVE lets plaintext in and keeps mutual TLS between meshed workloads", async () => {
    mesh.editConfig(peerAuthentication, (text) => text.replace("mode: STRICT", "mode: PERMISSIVE"));
    const answer = await eventually("plaintext to be accepted", async () => {
      const result = await mesh.exec("shell.outside", "shell", "curl", "-sS", "-m", "5", "http://echo.default:8000/");
      return result.code === 0 && result.stdout !== "" ? (JSON.parse(result.stdout) as Echo) : undefined;
    });
    assert.equal(answer.headers["x-forwarded-client-cert"], undefined);
    const meshed = await mesh.exec("productpage-v1", "productpage", "curl", "-sS", "http://echo:8000/");
    assert.match((JSON.parse(meshed.stdout) as Echo).headers["x-forwarded-client-cert"] ?? "", /bookinfo-productpage/);
    mesh.editConfig(peerAuthentication, (text) => text.replace("mode: PERMISSIVE", "mode: STRICT"));
    await eventually("plaintext to be refused again", async () => {
      const result = await mesh.exec("shell.outside", "shell", "curl", "-sS", "-m", "5", "http://echo.default:8000/");
      return result.code === 0 ? undefined : true;
    });
  });

  test("an authorization policy refuses who it does not name, with 403 and the policy in the log", async () => {
    const denied = await mesh.exec(
      "productpage-v1",
      "productpage",
      "curl",
      "-sS",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      "http://ratings:9080/ratings/0",
    );
    assert.equal(denied.stdout, "403");
    const line = await eventually("the reason in the log", async () => {
      const logs = await mesh.run("logs", "ratings", "-c", "istio-proxy", "--tail", "50");
      return /^.* 403 .*rbac.*$/m.exec(logs.stdout)?.[0];
    });
    assert.match(line, /bookinfo-productpage|ratings-viewer|rbac_access_denied/);
  });

  test("explain names the route, the endpoint, mutual TLS and the policy with file and line", async () => {
    const jason = await mesh.run(
      "explain",
      "GET",
      "http://reviews:9080/reviews/0",
      "--from",
      "productpage",
      "-H",
      "end-user: jason",
    );
    assert.equal(jason.code, 0, jason.stderr);
    assert.match(jason.stdout, /virtual-service-reviews\.yaml:\d+/);
    assert.match(jason.stdout, /outbound\|9080\|v2\|reviews\.default\.svc\.cluster\.local/);
    assert.match(jason.stdout, /mutual TLS/);
    assert.match(jason.stdout, /authorization-policies\.yaml:\d+/);
    const denied = await mesh.run(
      "explain",
      "GET",
      "http://ratings:9080/ratings/0",
      "--from",
      "productpage",
      "-o",
      "json",
    );
    const value = JSON.parse(denied.stdout) as { outcome: string; status: number };
    assert.equal(value.status, 403);
  });

  test("metrics count requests with Istio's labels on both sides", async () => {
    const metrics = await mesh.exec(
      "productpage-v1",
      "productpage",
      "curl",
      "-sS",
      "http://localhost:15020/stats/prometheus",
    );
    assert.match(
      metrics.stdout,
      /^istio_requests_total\{.*reporter="source".*destination_service="reviews\.default\.svc\.cluster\.local".*\} \d+/m,
    );
    assert.match(
      metrics.stdout,
      /^istio_requests_total\{.*reporter="destination".*connection_security_policy="mutual_tls".*\} \d+/m,
    );
    assert.match(metrics.stdout, /^istio_request_duration_milliseconds_bucket\{/m);
  });

  test("invalid input is reported with file, line, column and a fix, and nothing else changes", async () => {
    const load = new SteadyLoad(`${mesh.gateway}/productpage`);
    const seen = (pattern: RegExp): Promise<true> =>
      eventually(String(pattern), () => (pattern.test(mesh.output) ? true : undefined));
    const good = mesh.readConfig(reviewsRule);

    mesh.writeConfig(reviewsRule, `${good}\n  oops: [`);
    await seen(/virtual-service-reviews\.yaml:\d+:\d+ error OUT0001/);

    mesh.writeConfig(reviewsRule, good.replace("subset: v1", "subste: v1"));
    await seen(/virtual-service-reviews\.yaml:\d+:\d+ error IST0106 .*subste.*did you mean "subset"/);

    mesh.writeConfig(reviewsRule, good);
    mesh.writeConfig("bad/missing-subset.yaml", virtualService("details", "details", "v9"));
    await seen(/missing-subset\.yaml:\d+:\d+ error IST0101 .*v9/);
    mesh.removeConfig("bad/missing-subset.yaml");

    mesh.writeConfig("bad/conflict.yaml", virtualService("reviews-again", "reviews", "v1"));
    await seen(/conflict\.yaml:\d+:\d+ error IST0109 .*virtual-service-reviews\.yaml:\d+/);
    mesh.removeConfig("bad/conflict.yaml");

    const answer = await fetchPage(reviewsPage(), { "end-user": "jason" });
    assert.equal((JSON.parse(answer.body) as Reviews).version, "v2");
    const report = await load.stop();
    assert.deepEqual(report.failures, []);
    assert.ok(report.requests > 0);
  });

  test("killing the control plane costs no request, and a new one resyncs", async () => {
    const load = new SteadyLoad(`${mesh.gateway}/productpage`);
    killContainer("istiod", "discovery");
    await eventually("istiod to be restarted", async () => {
      const status = await mesh.run("status", "-o", "json");
      if (status.stdout === "") return undefined;
      const { workloads } = JSON.parse(status.stdout) as {
        workloads: { pod: string; restarts: number; ready: boolean }[];
      };
      return workloads.some((workload) => workload.pod.startsWith("istiod") && workload.restarts > 0 && workload.ready)
        ? true
        : undefined;
    });
    await eventually("every proxy in sync again", async () => {
      const result = await mesh.run("proxy-status");
      return result.code === 0 && result.stdout.includes("productpage-v1") && result.stdout.includes("reviews-v3")
        ? true
        : undefined;
    });
    const report = await load.stop();
    assert.deepEqual(report.failures, []);
    assert.ok(report.requests > 20);
  });

  test("a killed sidecar restarts, gets its configuration and serves again", async () => {
    killContainer("details-v1", "proxy sidecar");
    await eventually("the sidecar of details to be restarted", async () => {
      const status = JSON.parse((await mesh.run("status", "-o", "json")).stdout || '{"workloads":[]}') as {
        workloads: { pod: string; restarts: number; ready: boolean }[];
      };
      return status.workloads.some(
        (workload) => workload.pod.startsWith("details") && workload.restarts > 0 && workload.ready,
      )
        ? true
        : undefined;
    });
    await eventually("details to be served", async () => {
      const page = await fetchPage(`${mesh.gateway}/productpage`);
      return page.body.includes("1234567890") ? true : undefined;
    });
  });

  test("scaling reviews up and down under load fails no request", async () => {
    const load = new SteadyLoad(reviewsPage());
    const scale = (replicas: number): void =>
      mesh.editConfig("bookinfo/bookinfo.yaml", (text) =>
        text.replace(/(name: reviews-v1\n(?:.*\n)*?spec:\n {2}replicas: )\d+/, `$1${replicas}`),
      );
    const endpoints = async (): Promise<number> => {
      const result = await mesh.run(
        "proxy-config",
        "endpoints",
        "productpage-v1",
        "--cluster",
        "outbound|9080|v1|reviews.default.svc.cluster.local",
        "--status",
        "healthy",
      );
      return result.stdout.trim().split("\n").length - 1;
    };
    scale(3);
    await eventually("three endpoints", async () => ((await endpoints()) === 3 ? true : undefined), 60_000);
    scale(1);
    await eventually("one endpoint", async () => ((await endpoints()) === 1 ? true : undefined), 60_000);
    const report = await load.stop();
    assert.deepEqual(report.failures, []);
    assert.ok(report.requests > 20);
  });
});

function virtualService(name: string, host: string, subset: string): string {
  return `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: ${name}
spec:
  hosts:
    - ${host}
  http:
    - route:
        - destination:
            host: ${host}
            subset: ${subset}
`;
}
