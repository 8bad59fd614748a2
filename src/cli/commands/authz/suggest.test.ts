import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { parseAllDocuments } from "yaml";
import type { InboundCaller } from "#proxy/stats/inbound-traffic.ts";
import { observedFiles, shopId, smallMesh, smallTraffic } from "../../testing/observed-files.ts";
import { type CliResult, run } from "../../testing/run-cli.ts";
import { proposePolicies } from "./propose.ts";

const files = observedFiles();
after(() => files.remove());

const suggest = (yaml: string, ...argv: string[]): Promise<CliResult> =>
  run(["authz", "suggest", "-f", "-", "--observed", files.observed(), ...argv], { stdin: `${smallMesh}---\n${yaml}` });

const proposed = {
  apiVersion: "security.istio.io/v1",
  kind: "AuthorizationPolicy",
  metadata: { name: "allow-observed-api", namespace: "default" },
  spec: {
    selector: { matchLabels: { app: "api" } },
    action: "ALLOW",
    rules: [
      {
        from: [{ source: { principals: ["cluster.local/ns/default/sa/shop"] } }],
        to: [
          { operation: { ports: ["8080"], methods: ["GET", "HEAD"], paths: ["/users/{*}"] } },
          { operation: { ports: ["8080"], methods: ["POST"], paths: ["/orders"] } },
        ],
      },
      {
        from: [{ source: { principals: ["cluster.local/ns/default/sa/shop"] } }],
        to: [{ operation: { ports: ["9000"] } }],
      },
    ],
  },
};

test("identities, ports, methods and classes of paths that were seen become one policy for the application", async () => {
  const { code, stdout } = await suggest("");
  assert.equal(code, 0);
  const [policy, ...others] = parseAllDocuments(stdout)
    .map((document) => document.toJS() as unknown)
    .filter((it) => it !== null);
  assert.deepEqual(policy, proposed);
  assert.deepEqual(others, []);
  assert.match(stdout, /^# Observed from 2026-01-01\S+ to 2026-01-02\S+, in 1 workloads/);
  assert.match(
    stdout,
    /^# api\.default: 4 connections without a certificate of the mesh are left out, from 10\.244\.0\.3$/m,
  );
  assert.match(stdout, /^# api\.default: 1 requests that the sidecar answered itself are left out$/m);
  assert.match(stdout, /^# Replayed: 12 of 66 requests and connections would have been denied/m);
});

test("what is proposed can be applied: the same files with it are in order", async () => {
  const { stdout } = await suggest("");
  const { code, stderr, stdout: said } = await run(["validate", "-f", "-"], { stdin: `${smallMesh}${stdout}` });
  assert.equal(code, 0, stderr + said);
});

test("a replay tells what would have been denied, with the reason, and makes the exit code 1", async () => {
  const { code, stdout } = await suggest("", "--replay");
  assert.equal(code, 1);
  assert.match(
    stdout,
    /^denied +api\.default +8080 +batch\.default \(10\.244\.0\.3, no certificate\) +GET +\/metrics +12 +no policy allows an unauthenticated client; nearest is ns\[default\]-policy\[allow-observed-api\]/m,
  );
  assert.match(stdout, /^12 of 66 requests and connections would have been denied\.$/m);
});

test("policies of a file are replayed instead, by the proxy's own decisions", async () => {
  const policy = files.write(
    "policy.yaml",
    `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  rules:
  - to: [{operation: {ports: ["8080"], methods: [GET]}}]
  - from: [{source: {namespaces: [default]}}]
    to: [{operation: {ports: ["9000"]}}]
`,
  );
  const { code, stdout } = await suggest("", "--with", policy, "-o", "json");
  assert.equal(code, 1);
  const { rows, denied, allowed } = JSON.parse(stdout) as {
    rows: { verdict: string; method: string; count: number }[];
    denied: number;
    allowed: number;
  };
  assert.deepEqual([allowed, denied], [59, 7]);
  assert.deepEqual(
    rows.filter(({ verdict }) => verdict === "denied").map(({ method, count }) => [method, count]),
    [
      ["HEAD", 2],
      ["POST", 5],
    ],
  );
});

describe("a gateway", () => {
  const edge = `${smallMesh}---
apiVersion: v1
kind: Pod
metadata:
  name: edge
  labels: {app: edge, istio: edge}
spec:
  serviceAccountName: edge
  containers: [{name: istio-proxy, image: x, args: [proxy, router]}]
status: {podIP: 10.244.0.9}
---
apiVersion: v1
kind: Service
metadata: {name: edge}
spec: {clusterIP: 10.96.0.9, selector: {istio: edge}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: edge}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.example"]}
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*.example"], tls: {mode: SIMPLE, credentialName: c}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge}
spec: {hosts: ["*.example"], gateways: [edge], http: [{route: [{destination: {host: api, port: {number: 80}}}]}]}
`;
  const request = (host: string, path: string, forwarded = 1, refused = 0) => ({
    host,
    method: "GET",
    path,
    forwarded,
    refused,
  });
  const caller = (port: number, protection: "plaintext" | "tls", requests: readonly object[]) =>
    ({ ...smallTraffic[2]!, port, protection, address: "", requests }) as InboundCaller;
  const seen = [
    caller(8080, "plaintext", [
      request("a.example", "/shop", 3),
      request("b.example", "/shop", 2),
      request("admin.example", "/users/{*}", 1),
      { method: "GET", path: "/x", forwarded: 0, refused: 9 },
    ]),
    caller(443, "tls", [request("a.example", "/shop", 5)]),
  ];
  const ask = (...argv: string[]): Promise<CliResult> =>
    run(["authz", "suggest", "-f", "-", "--observed", files.observed(seen, "edge.default"), ...argv], { stdin: edge });

  test("hosts, methods and paths that were seen, from everybody", async () => {
    const { code, stdout, stderr } = await ask();
    assert.equal(code, 0, stderr);
    const [policy] = parseAllDocuments(stdout).flatMap((document) => (document.toJS() as unknown) ?? []);
    assert.deepEqual(policy, {
      apiVersion: "security.istio.io/v1",
      kind: "AuthorizationPolicy",
      metadata: { name: "allow-observed-edge", namespace: "default" },
      spec: {
        selector: { matchLabels: { app: "edge" } },
        action: "ALLOW",
        rules: [
          {
            to: [
              { operation: { hosts: ["a.example", "b.example"], ports: ["8080"], methods: ["GET"], paths: ["/shop"] } },
              { operation: { hosts: ["admin.example"], ports: ["8080"], methods: ["GET"], paths: ["/users/{*}"] } },
              { operation: { hosts: ["a.example"], ports: ["443"], methods: ["GET"], paths: ["/shop"] } },
            ],
          },
        ],
      },
    });
    assert.match(stdout, /^# edge\.default is a gateway: whoever may come now may come then/m);
    assert.match(stdout, /^# Replayed: 0 of 11 requests/m);
    const applied = await run(["validate", "-f", "-"], { stdin: `${edge}${stdout}` });
    assert.equal(applied.code, 0, applied.stderr + applied.stdout);
  });

  test("a replay asks the gateway's own listeners, by host, plaintext and TLS", async () => {
    const policy = files.write(
      "edge.yaml",
      `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: edge}
spec:
  selector: {matchLabels: {app: edge}}
  rules: [{to: [{operation: {hosts: [a.example]}}, {operation: {hosts: [b.example], ports: ["443"]}}]}]
`,
    );
    const { code, stdout } = await ask("--with", policy);
    assert.equal(code, 1);
    const denied = [...stdout.matchAll(/^denied +edge\.default +(\d+) +\S+ +GET +(\S+) +(\d+) /gm)];
    assert.deepEqual(
      denied.map(([, ...cells]) => cells),
      [
        ["8080", "b.example/shop", "2"],
        ["8080", "admin.example/users/{*}", "1"],
      ],
    );
    assert.match(stdout, /^3 of 11 requests and connections would have been denied\.$/m);
  });

  test("a gateway of the Gateway API is the policy's target", () => {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: "web-istio",
        namespace: "default",
        labels: { "gateway.networking.k8s.io/gateway-name": "web" },
      },
      spec: { containers: [{ name: "istio-proxy", image: "x", args: ["proxy", "router"] }] },
    };
    const [policy] = proposePolicies(
      [{ workload: "web-istio.default", since: "", until: "", callers: seen }],
      [pod],
    ).policies;
    assert.ok(policy);
    assert.deepEqual((policy["spec"] as { targetRefs: unknown }).targetRefs, [
      { group: "gateway.networking.k8s.io", kind: "Gateway", name: "web" },
    ]);
  });
});

test("what depends on something that is not counted is not judged", async () => {
  const policy = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: only-us}
spec:
  action: DENY
  selector: {matchLabels: {app: api}}
  rules: [{to: [{operation: {methods: [POST]}}], when: [{key: "request.headers[x-us]", notValues: ["1"]}]}]
`;
  const { stdout } = await suggest(policy, "--replay");
  assert.match(stdout, /^not judged +api\.default +8080 +\S+\/sa\/shop +POST +\/orders +5/m);
  assert.match(stdout, /12 of 66 .*; 12 depend on more than was observed/);
});

test("a policy with a mistake is refused with its place", async () => {
  const wrong = files.write(
    "wrong.yaml",
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}\nspec: {rules: [{to: [{operation: {ports: [x]}}]}]}\n",
  );
  const { code, stderr } = await suggest("", "--with", wrong);
  assert.equal(code, 1);
  assert.match(stderr, /ports\[0\]/);
  assert.match(
    (await suggest("", "--with", files.write("none.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"))).stderr,
    /holds no AuthorizationPolicy/,
  );
  assert.match(
    (await run(["authz", "suggest", "-f", "-"], { stdin: smallMesh })).stderr,
    /name what was observed with --observed FILE/,
  );
});

test("many paths of one caller are written by their first segments, or not at all", () => {
  const request = (path: string) => ({ method: "GET", path, forwarded: 1, refused: 0 });
  const letters = "abcdefghijklmnopqrstuvwxyz";
  const paths = (count: number, form: (letter: string) => string) => [...letters].slice(0, count).map(form);
  const operationsFor = (all: readonly string[]) => {
    const caller = { ...smallTraffic[0]!, principal: shopId, requests: all.map(request) };
    const observed = [{ workload: "api.default", since: "", until: "", callers: [caller] }];
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "api", namespace: "default", labels: { app: "api" } },
      spec: { containers: [] },
    };
    const [policy] = proposePolicies(observed, [pod]).policies;
    assert.ok(policy !== undefined);
    const { rules } = policy["spec"] as { rules: { to: { operation: { paths?: string[] } }[] }[] };
    return rules[0]?.to[0]?.operation.paths;
  };
  assert.deepEqual(operationsFor([...paths(15, (it) => `/a/${it}`), ...paths(15, (it) => `/b/${it}`), "/c"]), [
    "/a/{**}",
    "/b/{**}",
    "/c",
  ]);
  assert.deepEqual(operationsFor(paths(20, (it) => `/${it}`))?.length, 20);
  const tooMany = [...paths(20, (it) => `/${it}`), ...paths(20, (it) => `/${it}/x`)];
  assert.equal(operationsFor(tooMany), undefined);
});
