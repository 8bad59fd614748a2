// The commands that people know from istioctl, about files and, where a cluster is asked, about one.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { mutatingWebhooks, namespaces } from "#cluster/store/resources.ts";
import { injectionWebhookConfiguration } from "#mesh/inject/webhook-configuration.ts";
import { type MeshApi, startMeshApi } from "../../testing/mesh-api.ts";
import { observedFiles, smallMesh } from "../../testing/observed-files.ts";
import { type CliResult, run } from "../../testing/run-cli.ts";

const files = observedFiles();
after(() => files.remove());

const policies = `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers}
spec:
  selector: {matchLabels: {app: api}}
  rules: [{to: [{operation: {methods: [GET]}}]}, {to: [{operation: {methods: [HEAD]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: istio-system}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/admin*]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: trial, annotations: {istio.io/dry-run: "true"}}
spec: {action: DENY, rules: [{from: [{source: {namespaces: [x]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: watched}
spec: {action: AUDIT, rules: [{}]}
`;

const about = (yaml: string, ...argv: string[]): Promise<CliResult> =>
  run([...argv, "-f", "-"], { stdin: `${smallMesh}${yaml}` });

describe("x authz check", () => {
  const expected = [
    "ACTION             AuthorizationPolicy       RULES",
    "DENY               no-admin.istio-system     1",
    "DENY (dry-run)     trial.default             1",
    "ALLOW              readers.default           2",
    "LOG                watched.default           1",
  ];

  test("lists the policies of a workload by action, with the number of their rules", async () => {
    const { code, stdout } = await about(policies, "x", "authz", "check", "api");
    assert.equal(code, 0);
    assert.deepEqual(stdout.trimEnd().split("\n"), expected);
  });

  test("a saved config dump has them too; a policy without rules matches nothing", async () => {
    const compiled = await about(policies, "compile", "--name", "api", "--only", "listeners");
    const { listeners } = JSON.parse(compiled.stdout) as { listeners: object[] };
    const dynamicListeners = listeners.map((listener) => ({ active_state: { listener } }));
    const configs = [
      { "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump", dynamic_listeners: dynamicListeners },
    ];
    const dump = files.write("dump.json", JSON.stringify({ configs }));
    const { stdout } = await run(["x", "authz", "check", "-f", dump]);
    assert.deepEqual(stdout.trimEnd().split("\n"), expected);
    const closed =
      "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: closed}\nspec: {}\n";
    assert.match((await about(closed, "x", "authz", "check", "api")).stdout, /^ALLOW +closed\.default +1$/m);
  });

  test("a pod has to be named, and to have a sidecar", async () => {
    assert.match((await about("", "x", "authz", "check")).stderr, /name a pod, or a saved config dump with -f/);
    assert.match((await about("", "x", "authz", "check", "batch")).stderr, /batch\.default has no sidecar/);
    assert.match((await run(["x", "authz", "check", "a", "-f", "/nowhere"])).stderr, /\/nowhere: /);
  });
});

describe("x describe", () => {
  const rules = `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api}
spec:
  host: api
  trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: ISTIO_MUTUAL}}]}
  subsets: [{name: mine, labels: {app: api}}, {name: other, labels: {app: x}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api}
spec:
  hosts: [api]
  http:
  - route: [{destination: {host: api, subset: mine}, weight: 70}, {destination: {host: api, subset: other}, weight: 30}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: api}
spec: {selector: {matchLabels: {app: api}}, mtls: {mode: STRICT}, portLevelMtls: {9000: {mode: DISABLE}}}
${policies}`;

  test("a pod: its ports, its services with rules and routes, and the mutual TLS that holds", async () => {
    const { code, stdout } = await about(rules, "x", "describe", "pod", "api");
    assert.equal(code, 0);
    for (const line of [
      /^Pod: api$/m,
      /^ {3}Pod Revision: default$/m,
      /^Service: api$/m,
      /^ {3}Port: http 80\/HTTP targets pod port 8080$/m,
      /^ {3}Port: tcp 9000\/TCP targets pod port 9000$/m,
      /^80:\n {3}DestinationRule: api for "api\.default\.svc\.cluster\.local" \(stdin:\d+\)\n {6}Matching subsets: mine\n {9}\(Non-matching subsets other\)\n {6}Traffic Policy TLS Mode: ISTIO_MUTUAL$/m,
      /^ {3}VirtualService: api \(stdin:\d+\)\n {6}Route to host "api\.default\.svc\.cluster\.local" subset "mine" with weight 70%$/m,
      /^RBAC policies: .*ns\[default\]-policy\[readers\]-rule\[1\]/m,
      /^Effective PeerAuthentication:\n {3}Workload mTLS mode: STRICT\n {3}Port Level mTLS mode:\n {6}9000: DISABLE\nApplied PeerAuthentication:\n {3}api\.default \(stdin:\d+\)$/m,
    ]) {
      assert.match(stdout, line);
    }
  });

  test("a service, one without pods, and a pod outside of the mesh", async () => {
    assert.match((await about(rules, "x", "describe", "svc", "api")).stdout, /^Service: api$/m);
    const empty =
      "---\napiVersion: v1\nkind: Service\nmetadata: {name: empty}\nspec: {selector: {app: nobody}, ports: [{port: 80}]}\n";
    assert.match((await about(empty, "x", "describe", "service", "empty")).stdout, /^Service "empty" has no pods\.$/m);
    const outside =
      "---\napiVersion: v1\nkind: Service\nmetadata: {name: batch}\nspec: {selector: {app: batch}, ports: [{port: 80}]}\n";
    assert.match(
      (await about(outside, "x", "describe", "service", "batch")).stdout,
      /has no Istio pods\. {2}\(1 pods in service\)/,
    );
    assert.match(
      (await about("", "x", "describe", "pod", "batch")).stdout,
      /WARNING: batch is not part of mesh; no Istio sidecar/,
    );
    assert.doesNotMatch((await about("", "x", "des", "po", "batch", "--ignoreUnmeshed")).stdout, /WARNING|Warning/);
    assert.match(
      (await about("", "x", "describe", "service", "nobody")).stderr,
      /no service "nobody" in namespace default; there are: api/,
    );
  });
});

describe("authn tls-check", () => {
  test("what fits is OK, with the policy and the rule that say so", async () => {
    const strict =
      "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default}\nspec: {mtls: {mode: STRICT}}\n";
    const { code, stdout } = await about(strict, "authn", "tls-check", "shop", "api");
    assert.equal(code, 0);
    assert.match(stdout, /^HOST:PORT +STATUS +SERVER +CLIENT +AUTHN POLICY +DESTINATION RULE$/m);
    assert.match(stdout, /^api\.default\.svc\.cluster\.local:80 +OK +STRICT +ISTIO_MUTUAL +default\/default +-$/m);
  });

  test("plaintext to STRICT, and mutual TLS to DISABLE or to no sidecar, are conflicts with their reasons", async () => {
    const clash = (tls: string, mode: string, host = "api"): string => `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: own}
spec: {host: ${host}, trafficPolicy: {tls: {mode: ${tls}}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: ${mode}}}
---
apiVersion: v1
kind: Service
metadata: {name: batch}
spec: {selector: {app: batch}, ports: [{name: http, port: 80}]}
`;
    const plain = await about(clash("DISABLE", "STRICT"), "authn", "tls-check", "shop");
    assert.equal(plain.code, 1);
    assert.match(
      plain.stdout,
      /^api\.default\.svc\.cluster\.local:80 +CONFLICT +STRICT +DISABLE +default\/default +default\/own$/m,
    );
    assert.match(
      plain.stdout,
      /^shop\.default → api\.default\.svc\.cluster\.local:80: 10\.244\.0\.1:8080: plaintext to port 8080 is refused: .* \[PeerAuthentication default\/default \(stdin:\d+\), DestinationRule default\/own \(stdin:\d+\)\]$/m,
    );
    const mutual = await about(clash("ISTIO_MUTUAL", "DISABLE"), "authn", "tls-check", "shop");
    assert.match(mutual.stdout, /:80 +CONFLICT +DISABLE +ISTIO_MUTUAL/);
    assert.match(mutual.stdout, /the sidecar there does not take it/);
    const unmeshed = await about(clash("ISTIO_MUTUAL", "PERMISSIVE", "batch"), "authn", "tls-check", "shop", "batch");
    assert.match(unmeshed.stdout, /batch\S+:80 +CONFLICT +- +ISTIO_MUTUAL/);
    assert.match(unmeshed.stdout, /there is no sidecar that could take it/);
  });

  test("without a pod all proxies are looked at; what is not there is told", async () => {
    assert.match((await about("", "authn", "tls-check")).stdout, /^POD +HOST:PORT[^]*^shop\.default +api\./m);
    assert.match((await about("", "authn", "tls-check", "batch")).stderr, /batch\.default has no sidecar/);
    assert.match(
      (await about("", "authn", "tls-check", "shop", "nobody")).stderr,
      /no service "nobody" for namespace default/,
    );
  });
});

describe("x precheck", () => {
  const check = (yaml: string, ...argv: string[]): Promise<CliResult> =>
    run(["x", "precheck", "--filename", "-", ...argv], { stdin: `${smallMesh}${yaml}` });

  test("what is wrong, or without effect, makes the exit code 1; nothing does not", async () => {
    const fine = await check("");
    assert.deepEqual([fine.code, fine.stdout], [0, "✔ No issues found.\n"], fine.stderr);
    const wrong = await check(
      "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec: {host: nowhere}\n",
    );
    assert.equal(wrong.code, 1);
    assert.match(wrong.stdout, /stdin:\d+:\d+ \w+ IST0174/);
  });

  test("a Zipkin that the old default sent traces to is told to who comes from 1.21", async () => {
    const zipkin =
      "---\napiVersion: v1\nkind: Service\nmetadata: {name: zipkin, namespace: istio-system}\nspec: {ports: [{name: http, port: 9411}]}\n";
    const { code, stdout } = await check(zipkin, "-f", "1.21");
    assert.equal(code, 1);
    assert.match(stdout, /IST0168/);
    assert.doesNotMatch((await check(zipkin, "-f", "1.22")).stdout, /IST0168/);
    assert.match((await check("", "-f", "two")).stderr, /"two" is no version of Istio; write it as 1\.21/);
    assert.match((await check("", "--output-threshold", "loud")).stderr, /a threshold is Info, Warning or Error/);
  });
});

describe("x check-inject", () => {
  let mesh: MeshApi;
  before(async () => {
    mesh = await startMeshApi(["shop.team"]);
    const { store } = mesh.cluster;
    store.create(mutatingWebhooks, injectionWebhookConfiguration());
    store.create(namespaces, {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "team", labels: { "istio-injection": "enabled" } },
    });
  });
  after(() => mesh.stop());

  test("a pod of the mesh, and one that is not there yet", async () => {
    const { code, stdout } = await mesh.run("x", "check-inject", "shop.team");
    assert.equal(code, 0);
    assert.match(stdout, /^istio-sidecar-injector +default +✔ +Namespace label istio-injection=enabled matches$/m);
    const kept = await mesh.run("x", "check-inject", "-n", "team", "-l", "sidecar.istio.io/inject=false");
    assert.match(kept.stdout, /✘ +Pod has sidecar\.istio\.io\/inject=false label, preventing injection/);
    assert.match(
      (await mesh.run("x", "check-inject", "-n", "nowhere", "-l", "a=b")).stderr,
      /there is no namespace nowhere/,
    );
  });

  test("files: by the labels of their namespaces and pods; several webhooks, and none, are errors", async () => {
    const ask = (yaml: string, ...argv: string[]): Promise<CliResult> =>
      run(["x", "check-inject", "-f", "-", ...argv], { stdin: yaml });
    const namespace = (labels: string): string =>
      `apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {${labels}}}\n`;
    const none = await ask(namespace(""), "-l", "app=a");
    assert.match(
      none.stdout,
      /✘ +No matching namespace labels \(istio\.io\/rev=default, istio-injection=enabled\) or pod labels/,
    );
    const off = await ask(namespace("istio-injection: disabled"), "-l", "sidecar.istio.io/inject=true");
    assert.match(off.stdout, /✘ +Namespace has istio-injection=disabled label, preventing injection/);
    const both = [injectionWebhookConfiguration(), injectionWebhookConfiguration({ tag: "default" })].map((it) =>
      JSON.stringify(it),
    );
    const twice = await ask(`${namespace("istio-injection: enabled")}---\n${both.join("\n---\n")}`, "-l", "app=a");
    assert.equal(twice.code, 1);
    assert.match(twice.stderr, /multiple webhooks will inject/);
    assert.match(
      (await ask(smallMesh, "shop", "-n", "elsewhere")).stderr,
      /no pod or workload "shop" in namespace elsewhere/,
    );
  });
});
