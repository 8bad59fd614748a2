import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { buildBootstrap, type ProxyBootstrap } from "./bootstrap.ts";
import { parseDuration } from "./duration.ts";
import { parsePodInfo } from "./pod-info.ts";
import { type ProxyArguments, parseProxyArguments } from "./proxy-arguments.ts";

const baseEnv = {
  POD_NAME: "reviews-v1-abc",
  POD_NAMESPACE: "default",
  INSTANCE_IP: "10.244.0.7",
  SERVICE_ACCOUNT: "bookinfo-reviews",
  CA_ADDR: "istiod.istio-system.svc:15012",
  PROXY_CONFIG: '{"discoveryAddress":"istiod-b.mesh.svc:15012","concurrency":2,"terminationDrainDuration":"8s"}\n',
  ISTIO_META_CLUSTER_ID: "Kubernetes",
  ISTIO_META_WORKLOAD_NAME: "reviews-v1",
  ISTIO_META_INTERCEPTION_MODE: "REDIRECT",
  ISTIO_KUBE_APP_PROBERS: '{"/app-health/reviews/livez":{"httpGet":{"path":"/health","port":9080}}}',
  ISTIO_PROMETHEUS_ANNOTATIONS: '{"scrape":"true","path":"/m","port":"9090"}',
  TRUST_DOMAIN: "cluster.local",
};

const labels = 'app="reviews"\nservice.istio.io/canonical-name="reviews"\nversion="v1"\n';

function args(...argv: string[]): ProxyArguments {
  const parsed = parseProxyArguments(argv);
  assert.ok("arguments" in parsed, JSON.stringify(parsed));
  return parsed.arguments;
}

function build(env: Record<string, string>, role = "sidecar"): ProxyBootstrap {
  const result = buildBootstrap({
    arguments: args("proxy", role, "--domain", "default.svc.cluster.local", "--proxyLogLevel=debug"),
    env,
    podLabels: labels,
    podAnnotations: 'note="line\\n\\"two\\""\n',
    cpuCount: 8,
  });
  assert.ok("bootstrap" in result, JSON.stringify(result));
  return result.bootstrap;
}

describe("bootstrap", () => {
  test("the xDS node says who the pod is under Istio's keys", () => {
    const { node } = build(baseEnv);
    assert.equal(node.id, "sidecar~10.244.0.7~reviews-v1-abc.default~default.svc.cluster.local");
    assert.equal(node.cluster, "reviews.default");
    assert.deepEqual(
      ["NAME", "NAMESPACE", "SERVICE_ACCOUNT", "CLUSTER_ID", "WORKLOAD_NAME", "INTERCEPTION_MODE", "INSTANCE_IPS"].map(
        (key) => node.metadata[key],
      ),
      ["reviews-v1-abc", "default", "bookinfo-reviews", "Kubernetes", "reviews-v1", "REDIRECT", "10.244.0.7"],
    );
    assert.deepEqual(node.metadata["LABELS"], {
      app: "reviews",
      "service.istio.io/canonical-name": "reviews",
      version: "v1",
    });
    assert.deepEqual(node.metadata["ANNOTATIONS"], { note: 'line\n"two"' });
    assert.equal(node.metadata["ISTIO_VERSION"], "1.31.0");
  });

  test("addresses, times and ports come from ProxyConfig and the environment", () => {
    const bootstrap = build({ ...baseEnv, SECRET_TTL: "10s", EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true" });
    assert.equal(bootstrap.discoveryAddress, "istiod-b.mesh.svc:15012");
    assert.equal(bootstrap.caAddress, "istiod.istio-system.svc:15012");
    assert.equal(bootstrap.spiffeId, "spiffe://cluster.local/ns/default/sa/bookinfo-reviews");
    assert.equal(bootstrap.secretTtlMs, 10_000);
    assert.equal(bootstrap.terminationDrainMs, 8_000);
    assert.equal(bootstrap.exitOnZeroActiveConnections, true);
    assert.equal(bootstrap.concurrency, 2);
    assert.equal(bootstrap.proxyLogLevel, "debug");
    assert.deepEqual(bootstrap.scrapeTargets, [{ port: 9090, path: "/m" }]);
    assert.equal(bootstrap.appProbers["/app-health/reviews/livez"]?.httpGet?.port, 9080);
    assert.deepEqual([bootstrap.adminPort, bootstrap.statusPort, bootstrap.readinessPort], [15000, 15020, 15021]);
  });

  test("keys and renewal of the certificate follow Istio's variables", () => {
    const plain = build(baseEnv);
    assert.deepEqual(plain.keyKind, { type: "ec", curve: "P-256" });
    assert.deepEqual(plain.renewal, { graceRatio: 0.5, jitterRatio: 0.01 });
    assert.deepEqual(
      [plain.sdsSocket, plain.needsExternalSds, plain.outputCerts],
      ["/var/run/secrets/workload-spiffe-uds/socket", false, ""],
    );
    const other = build({
      ...baseEnv,
      ECC_SIGNATURE_ALGORITHM: "ECDSA",
      ECC_CURVE: "P384",
      WORKLOAD_RSA_KEY_SIZE: "4096",
      SECRET_GRACE_PERIOD_RATIO: "0.8",
      SECRET_GRACE_PERIOD_RATIO_JITTER: "0",
      WORKLOAD_IDENTITY_SOCKET_FILE: "spire.sock",
      OUTPUT_CERTS: "/certs",
    });
    assert.deepEqual(other.keyKind, { type: "ec", curve: "P-384" });
    assert.deepEqual(other.renewal, { graceRatio: 0.8, jitterRatio: 0 });
    assert.deepEqual(
      [other.sdsSocket, other.needsExternalSds, other.outputCerts],
      ["/var/run/secrets/workload-spiffe-uds/spire.sock", true, "/certs"],
    );
    assert.deepEqual(build({ ...baseEnv, WORKLOAD_RSA_KEY_SIZE: "2048" }).keyKind, { type: "rsa", bits: 2048 });
  });

  test("concurrency follows the CPU limit unless it is configured, and never exceeds the machine", () => {
    const { PROXY_CONFIG: _, ...env } = baseEnv;
    assert.equal(build({ ...env, ISTIO_CPU_LIMIT: "2" }).concurrency, 2);
    assert.equal(build({ ...env, ISTIO_CPU_LIMIT: "64" }).concurrency, 8);
    assert.equal(build({ ...env, PROXY_CONFIG: '{"concurrency":0}' }).concurrency, 8);
  });

  test("a broken environment is reported as issues that name the variables", () => {
    const result = buildBootstrap({
      arguments: args("sidecar"),
      env: {
        POD_NAME: "a",
        PROXY_CONFIG: "{",
        SECRET_TTL: "soon",
        SECRET_GRACE_PERIOD_RATIO: "2",
        WORKLOAD_RSA_KEY_SIZE: "1024",
      },
      podLabels: "",
      podAnnotations: "",
      cpuCount: 1,
    });
    assert.ok("issues" in result);
    const text = result.issues.map((issue) => issue.message).join("\n");
    const names = ["POD_NAMESPACE", "INSTANCE_IP", "PROXY_CONFIG", "SECRET_TTL", "SECRET_GRACE_PERIOD_RATIO"];
    for (const name of [...names, "WORKLOAD_RSA_KEY_SIZE"]) assert.match(text, new RegExp(name));
  });

  test("durations are Go's", () => {
    assert.equal(parseDuration("24h0m0s"), 86_400_000);
    assert.equal(parseDuration("1.5s"), 1_500);
    assert.equal(parseDuration("90"), 90_000);
    assert.equal(parseDuration("5 apples"), undefined);
  });

  test("quoted values of the downward API keep their characters", () => {
    assert.deepEqual(parsePodInfo('a="x=\\"y\\""\nb="\\u00e9\\x41"\n'), { a: 'x="y"', b: "éA" });
  });

  test("pilot-agent's arguments are understood, and unknown ones are named", () => {
    const parsed = args("proxy", "router", "--domain", "x", "--log_as_json", "--proxyComponentLogLevel=misc:error");
    assert.deepEqual([parsed.role, parsed.domain, parsed.logAsJson], ["router", "x", true]);
    const wrong = parseProxyArguments(["proxy", "sidecar", "--wrong=1"]);
    assert.ok("issues" in wrong && /--wrong/.test(wrong.issues[0]?.message ?? ""));
  });
});
