// `explain -f` as scripts call it: the whole shape of an answer, and each way of asking.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { run } from "../../testing/run-cli.ts";
import type { Explanation } from "./explain.ts";

const shop = `apiVersion: v1
kind: Service
metadata: {name: api}
spec: {clusterIP: 10.96.0.7, selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {serviceAccountName: api, containers: [{name: app, image: x, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: shop, labels: {app: shop}}
spec: {serviceAccountName: shop, containers: [{name: app, image: x}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers}
spec:
  selector: {matchLabels: {app: api}}
  rules:
  - from: [{source: {principals: [cluster.local/ns/default/sa/admin]}}]
  - from: [{source: {principals: [cluster.local/ns/default/sa/shop]}}]
    to: [{operation: {methods: [GET]}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]}
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.example], tls: {mode: MUTUAL, credentialName: c}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge}
spec: {hosts: [shop.example], gateways: [edge], http: [{route: [{destination: {host: api}}]}]}
`;

async function ask(...argv: string[]): Promise<{ code: number; answer: Explanation; stderr: string }> {
  const { code, stdout, stderr } = await run(["explain", "-f", "-", "-o", "json", ...argv], { stdin: shop });
  return { code, stderr, answer: stdout === "" ? ({} as Explanation) : (JSON.parse(stdout) as Explanation) };
}

test("a listener or route that the proxy refuses is told with the EnvoyFilter that asks for what it cannot do", async () => {
  const patch = (text: string): string => `---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: script}
spec: {configPatches: [${text}]}
`;
  const lua = `{"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, inlineCode: ""}`;
  const refusalsOf = async (text: string): Promise<[number, Explanation["steps"]]> => {
    const argv = ["explain", "-f", "-", "-o", "json", "GET", "http://api/x", "--from", "shop"];
    const { code, stdout } = await run(argv, { stdin: `${shop}${patch(text)}` });
    return [code, (JSON.parse(stdout) as Explanation).steps.filter(({ what }) => what === "refusal")];
  };
  const [code, steps] = await refusalsOf(`{applyTo: HTTP_FILTER, match: {context: SIDECAR_INBOUND},
    patch: {operation: INSERT_FIRST, value: {name: envoy.filters.http.lua, typed_config: ${lua}}}}`);
  assert.deepEqual([code, steps.map(({ where }) => where)], [1, ["shop.default", "api-0.default"]]);
  for (const { decision, origin } of steps) {
    assert.match(decision, /^the proxy refuses listener virtualInbound, and keeps what it had: .*Lua/);
    assert.deepEqual([origin?.kind, origin?.name], ["EnvoyFilter", "script"]);
  }
  const [, [route]] = await refusalsOf(`{applyTo: VIRTUAL_HOST, match: {context: SIDECAR_OUTBOUND},
    patch: {operation: MERGE, value: {require_tls: EXTERNAL_ONLY}}}`);
  assert.match(route?.decision ?? "", /^the proxy refuses route 80, and keeps what it had: a redirect to TLS/);
  assert.deepEqual([route?.origin?.kind, route?.origin?.name], ["EnvoyFilter", "script"]);
});

describe("the answer", () => {
  test("names everything that decided, with file and line", async () => {
    const { code, answer } = await ask("GET", "http://api/x", "--from", "shop");
    assert.equal(code, 0);
    const { steps, hops, authorization, outcomes, ...flat } = answer;
    assert.deepEqual(flat, {
      outcome: "forwarded",
      status: 200,
      reason: "",
      listener: "0.0.0.0_80",
      filterChain: "",
      virtualHost: "api.default.svc.cluster.local:80",
      route: "default",
      cluster: "outbound|80||api.default.svc.cluster.local",
      endpoints: [answer.endpoints[0]],
      tls: "mutual",
    });
    assert.deepEqual(
      hops.map(({ proxy, listener, cluster, tls }) => [proxy, listener, cluster, tls]),
      [
        ["shop.default", "0.0.0.0_80", "outbound|80||api.default.svc.cluster.local", "mutual"],
        ["api-0.default", "virtualInbound", "inbound|8080||", "mutual"],
      ],
    );
    const origin = { kind: "AuthorizationPolicy", namespace: "default", name: "readers", file: "stdin", line: 27 };
    assert.deepEqual(authorization, [
      {
        proxy: "api-0.default",
        layer: "http",
        allowed: true,
        policy: "default/readers",
        rule: 1,
        origin,
        nearestMiss: null,
      },
    ]);
    assert.deepEqual(outcomes, [{ share: 1, outcome: "forwarded", status: 200, reason: "", cluster: flat.cluster }]);
    assert.ok(steps.some((step) => step.what === "authorization" && step.origin?.line === 27));
    assert.ok(steps.every(({ where, what, decision }) => [where, what, decision].every((text) => text !== "")));
  });

  test("a refusal names the policy and rule that came nearest, and what it needs", async () => {
    const { code, answer } = await ask("POST", "http://api/x", "--from", "shop");
    assert.deepEqual([code, answer.outcome, answer.status], [1, "refused", 403]);
    const [verdict] = answer.authorization;
    assert.deepEqual([verdict?.allowed, verdict?.policy], [false, null]);
    assert.deepEqual(verdict?.nearestMiss, {
      policy: "default/readers",
      rule: 1,
      needs: ['method exact "GET"'],
      origin: { kind: "AuthorizationPolicy", namespace: "default", name: "readers", file: "stdin", line: 27 },
    });
    assert.match(answer.reason, /nearest is .*readers.* needs method exact "GET" \(.*stdin:27\)/);
  });
});

describe("the ways of asking", () => {
  test("into a workload: plaintext, TLS with names, mutual TLS with an identity, and bytes without HTTP", async () => {
    const into = async (...argv: string[]): Promise<unknown[]> => {
      const { answer } = await ask("--to", "api", "--port", "8080", ...argv);
      return [answer.outcome, answer.status, answer.tls, answer.cluster];
    };
    const arrived = ["forwarded", 200, "mutual", "inbound|8080||"];
    assert.deepEqual(await into("--tls", "mutual", "--identity", "default/shop"), arrived);
    assert.deepEqual(
      await into("--identity", "spiffe://cluster.local/ns/default/sa/admin", "POST", "http://api/"),
      arrived,
    );
    assert.deepEqual(await into("--from", "shop"), arrived);
    assert.deepEqual(await into(), ["refused", 403, "none", null]);
    assert.deepEqual(await into("--identity", "default/other"), ["refused", 403, "mutual", null]);
    assert.deepEqual((await into("--tls", "simple", "--sni", "api", "--alpn", "h2"))[0], "refused");
    assert.deepEqual((await into("--protocol", "tcp", "--identity", "default/shop"))[0], "refused");
  });

  test("the method stands before the URL or in a flag", async () => {
    assert.equal((await ask("POST", "http://api/x", "--from", "shop")).answer.status, 403);
    assert.equal((await ask("http://api/x", "--from", "shop", "--method", "POST")).answer.status, 403);
    assert.equal((await ask("http://api/x", "--from", "shop", "--method", "get")).answer.status, 200);
  });

  test("a port that is not given is that of the URL behind the service, or the only one", async () => {
    for (const argv of [[], ["GET", "http://api:80/"], ["http://api:8080/"]]) {
      const { answer } = await ask("--to", "api", "--from", "shop", ...argv);
      assert.equal(answer.cluster, "inbound|8080||", argv.join(" "));
    }
  });

  test("through a gateway, named by its resource or by labels, with and without TLS", async () => {
    const routed = "outbound|80||api.default.svc.cluster.local";
    for (const gateway of ["edge", "default/edge", "istio=ingressgateway"]) {
      const { answer } = await ask("GET", "http://shop.example/", "--gateway", gateway);
      assert.deepEqual([answer.cluster, answer.status], [routed, 403], gateway);
    }
    assert.equal((await ask("http://other.example/", "--gateway", "edge")).answer.status, 404);
    const url = "https://shop.example/";
    const withCertificate = await ask(url, "--gateway", "edge", "--tls", "mutual", "--identity", "a/b");
    assert.equal(withCertificate.answer.cluster, routed);
    assert.match((await ask(url, "--gateway", "edge")).answer.reason, /wants a client certificate/);
    assert.match((await ask(url, "--gateway", "edge", "--sni", "other")).answer.reason, /no filter chain takes/);
    assert.match((await ask("http://shop.example:81/", "--gateway", "edge")).answer.reason, /ports: 80, 443/);
  });

  test("workloads go by name, type and namespace", async () => {
    for (const from of ["shop", "shop.default", "default/shop", "pod/shop", "pod/shop.default"]) {
      assert.equal((await ask("GET", "http://api/", "--from", from)).answer.status, 200, from);
    }
    for (const to of ["api", "deploy/api", "svc/api.default", "default/api"]) {
      assert.equal((await ask("--to", to, "--identity", "default/shop")).answer.status, 200, to);
    }
    assert.match(
      (await ask("GET", "http://api/", "--from", "other/shop")).stderr,
      /no workload "shop" in namespace other/,
    );
  });

  test("a client need not stand in the files", async () => {
    const { answer } = await ask("GET", "http://api/", "--service-account", "admin");
    assert.deepEqual([answer.status, answer.authorization[0]?.rule], [200, 0]);
    const wrong = await ask("GET", "http://api/", "--from", "nobody");
    assert.equal(
      wrong.stderr,
      'outrigger: no workload "nobody" in namespace default; there are: shop.default, api.default\n',
    );
  });

  test("questions that make no sense are told in a sentence", async () => {
    assert.equal((await ask("--from", "shop")).stderr, "outrigger: name a URL, as http://reviews:9080/path\n");
    assert.match((await ask("--to", "api", "--tls", "some")).stderr, /--tls is none, simple or mutual, not "some"/);
    assert.match((await ask("--to", "shop")).stderr, /name a port of shop\.default with --port; it serves no service/);
    assert.match((await ask("--to", "api", "--port", "x")).stderr, /"x" is not a port from 1 to 65535/);
    const nothing = await run(["explain", "GET", "http://api/"]);
    assert.match(nothing.stderr, /^outrigger: .+\n$/);
  });
});

describe("sidecars", () => {
  const files = (pod: string, namespace = ""): string => `apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api${pod}}}
spec: {serviceAccountName: api, containers: [{name: app, image: x}]}
status: {podIP: 10.1.0.9}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop${namespace}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
`;
  const askAbout = async (stdin: string): Promise<[number, string | undefined]> => {
    const argv = ["explain", "-f", "-", "-o", "json", "--to", "api.shop", "--port", "80", "--tls", "none"];
    const { code, stdout } = await run(argv, { stdin });
    return [code, (JSON.parse(stdout) as Explanation).steps[0]?.decision];
  };

  test("are taken to be everywhere where files say nothing of them, and the answer says so", async () => {
    const assumed = "nothing says which pods have a sidecar: all are taken to have one";
    assert.deepEqual(await askAbout(files("")), [1, assumed]);
  });

  test("are only where the files have them as soon as they tell one pod or namespace from others", async () => {
    const plain = "api.shop has no sidecar: the application gets what is sent as it is";
    assert.deepEqual(await askAbout(files(', sidecar.istio.io/inject: "false"')), [0, plain]);
    assert.deepEqual(await askAbout(files("", ", labels: {istio-injection: enabled}")), [0, plain]);
  });
});

test("a server that asks for no certificate knows nobody by one", async () => {
  const files = (mode: string): string => `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: ${mode}, credentialName: c}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge}
spec: {hosts: ["*"], gateways: [edge], http: [{directResponse: {status: 204}}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: known, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  rules: [{from: [{source: {principals: ["*"]}}]}]
`;
  const status = async (mode: string): Promise<number | null> => {
    const caller = ["--tls", "mutual", "--identity", "spiffe://example.org/client"];
    const argv = ["explain", "-f", "-", "-o", "json", "--gateway", "edge", ...caller, "https://shop.example/"];
    return (JSON.parse((await run(argv, { stdin: files(mode) })).stdout) as Explanation).status;
  };
  assert.deepEqual([await status("MUTUAL"), await status("SIMPLE")], [204, 403]);
});

test("a way through an egress gateway is walked to its end, and a gateway may refuse in the middle of it", async () => {
  const egress = (host: string): string => `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext}
spec: {hosts: [ext.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
---
apiVersion: v1
kind: Service
metadata: {name: egress}
spec: {clusterIP: 10.96.0.9, selector: {istio: egress}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: egress}
spec:
  selector: {matchLabels: {istio: egress}}
  template:
    metadata:
      labels: {istio: egress, sidecar.istio.io/inject: "true"}
      annotations: {inject.istio.io/templates: gateway}
    spec: {serviceAccountName: egress, containers: [{name: istio-proxy, image: auto}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: out}
spec:
  selector: {istio: egress}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [ext.example]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: out}
spec:
  hosts: [ext.example]
  gateways: [mesh, out]
  http:
  - match: [{gateways: [mesh]}]
    route: [{destination: {host: egress, port: {number: 80}}}]
  - match: [{gateways: [out], uri: {prefix: /open}}]
    route: [{destination: {host: ${host}, port: {number: 80}}}]
`;
  const ask = async (path: string, host = "ext.example"): Promise<Explanation> => {
    const argv = ["explain", "-f", "-", "-o", "json", "--from", "shop", `http://ext.example${path}`];
    const labelled = shop.replace("labels: {app: shop}", 'labels: {app: shop, sidecar.istio.io/inject: "true"}');
    return JSON.parse((await run(argv, { stdin: `${labelled}${egress(host)}` })).stdout) as Explanation;
  };
  const open = await ask("/open");
  assert.deepEqual([open.outcome, open.status], ["forwarded", 200]);
  assert.deepEqual(
    open.hops.map(({ proxy, cluster }) => [proxy, cluster]),
    [
      ["shop.default", "outbound|80||egress.default.svc.cluster.local"],
      ["egress-0.default", "outbound|80||ext.example"],
    ],
  );
  const closed = await ask("/closed");
  assert.deepEqual([closed.outcome, closed.status], ["refused", 404]);
  const loop = await ask("/open", "egress.default.svc.cluster.local");
  assert.equal(loop.outcome, "refused");
});

describe("policies that are only tried", () => {
  const policy = (name: string, spec: string, annotations = ""): string => `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}${annotations}}
spec: {selector: {matchLabels: {app: api}}, ${spec}}
`;
  const tried = ', annotations: {istio.io/dry-run: "true"}';
  const end = async (yaml: string, ...argv: string[]): Promise<Explanation> => {
    const { stdout } = await run(["explain", "-f", "-", "-o", "json", "--from", "shop", ...argv, "http://api/x"], {
      stdin: `${shop}${yaml}`,
    });
    return JSON.parse(stdout) as Explanation;
  };

  test("one verdict says what all of them together would do, beside those in force", async () => {
    const both =
      policy("closed", "{}".replace("{}", "rules: []"), tried) +
      policy("no-x", "action: DENY, rules: [{to: [{operation: {paths: [/x]}}]}]", tried);
    const { status, dryRun } = await end(both);
    assert.equal(status, 200);
    assert.deepEqual([dryRun?.outcome, dryRun?.status], ["refused", 403]);
    assert.match(dryRun?.reason ?? "", /denied by ns\[default\]-policy\[no-x\]-rule\[0\]/);
    const harmless = await end(policy("no-y", "action: DENY, rules: [{to: [{operation: {paths: [/y]}}]}]", tried));
    assert.deepEqual([harmless.status, harmless.dryRun?.status], [200, 200]);
    const more = await end(policy("all", "rules: [{}]", tried), "--method", "POST");
    assert.deepEqual([more.status, more.dryRun?.status], [403, 200]);
  });

  test("connections without HTTP are asked about too", async () => {
    const data = `---
apiVersion: v1
kind: Service
metadata: {name: data}
spec: {clusterIP: 10.96.0.8, selector: {app: api}, ports: [{name: tcp-data, port: 9000}]}
${policy("data", "rules: [{to: [{operation: {ports: ['9000']}}]}]")}${policy("no-data", "action: DENY, rules: [{}]", tried)}`;
    const argv = ["explain", "-f", "-", "-o", "json", "--from", "shop", "--protocol", "tcp", "data:9000"];
    const { stdout } = await run(argv, { stdin: `${shop}${data}` });
    const { outcome, steps, authorization, dryRun } = JSON.parse(stdout) as Explanation;
    assert.deepEqual([outcome, dryRun?.outcome], ["forwarded", "refused"]);
    const [step] = steps.filter(({ what }) => what === "dry run");
    assert.match(step?.decision ?? "", /policy\[no-data\]-rule\[0\] matches: would be denied/);
    assert.equal(step?.origin?.name, "no-data");
    assert.deepEqual(
      authorization.map(({ layer, policy: name }) => [layer, name]),
      [["network", "default/data"]],
    );
  });

  test("without any there is no such verdict, and AUDIT is none: it only marks", async () => {
    const audited = await end(policy("watched", "action: AUDIT, rules: [{}]"));
    assert.deepEqual([audited.status, audited.dryRun], [200, undefined]);
    assert.ok(audited.steps.some(({ decision }) => decision.startsWith("logged by ns[default]-policy[watched]")));
  });

  test("the text has it in a line", async () => {
    const yaml = `${shop}${policy("no-x", "action: DENY, rules: [{to: [{operation: {paths: [/x]}}]}]", tried)}`;
    const { stdout } = await run(["explain", "-f", "-", "--from", "shop", "http://api/x"], { stdin: yaml });
    assert.match(stdout, /^with the policies in force that are only tried: 403: \S+\/sa\/shop is denied by .*no-x/m);
  });
});

test("a CUSTOM policy is no policy that is only tried: whom it asks about is said, and that its answer decides", async () => {
  const custom = `${shop}---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders: [{name: ask, envoyExtAuthzGrpc: {service: asked.local, port: "9191"}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: asked}
spec: {hosts: [asked.local], ports: [{name: grpc, number: 9191, protocol: GRPC}], resolution: STATIC, endpoints: [{address: 127.0.0.1}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask}
spec: {selector: {matchLabels: {app: api}}, action: CUSTOM, provider: {name: ask}, rules: [{to: [{operation: {paths: [/asked]}}]}]}
`;
  const end = async (path: string): Promise<string> =>
    (await run(["explain", "-f", "-", "--from", "shop", `http://api${path}`], { stdin: custom })).stdout;
  const asked = await end("/asked");
  assert.match(
    asked,
    /^ {2}external authz asks the authorization service outbound\|9191\|\|asked\.local \(gRPC\) about it for .*policy\[ask\]/m,
  );
  assert.match(asked, /\nreaches the application, unless an external authorization service refuses it\n*$/);
  assert.doesNotMatch(asked, /dry run|only tried/);
  const free = await end("/free");
  assert.match(free, /\nreaches the application\n*$/);
  assert.doesNotMatch(free, /dry run|only tried|external/);
});

test("rules about HTTP say of a connection without it why they let nobody in, or what is left of them", async () => {
  const data = (spec: string): string => `${shop.replace(/---\napiVersion: security[^]*?---/, "---")}---
apiVersion: v1
kind: Service
metadata: {name: data}
spec: {clusterIP: 10.96.0.8, selector: {app: api}, ports: [{name: tcp-data, port: 9000}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web}
spec:
  selector: {matchLabels: {app: api}}
${spec}
`;
  const end = async (spec: string): Promise<Explanation> => {
    const argv = ["explain", "-f", "-", "-o", "json", "--from", "shop", "--protocol", "tcp", "data:9000"];
    return JSON.parse((await run(argv, { stdin: data(spec) })).stdout) as Explanation;
  };
  const place = (line: number): string => `\\(AuthorizationPolicy default/web \\(stdin:${line}\\)\\)`;
  const dropped = await end("  rules:\n  - to: [{operation: {methods: [GET], notPaths: [/x]}}]");
  assert.equal(dropped.outcome, "refused");
  const line = data("").split("\n").length;
  const why = `ns\\[default\\]-policy\\[web\\]-rule\\[0\\] ${place(line)} asks for methods and notPaths, and a connection without HTTP has none`;
  assert.match(dropped.reason ?? "", new RegExp(`^no policy allows .*/sa/shop: ${why}$`));
  const [step] = dropped.steps.filter(({ what }) => what === "authorization");
  assert.match(step?.decision ?? "", new RegExp(`^denied: no ALLOW policy matches; ${why}$`));
  assert.deepEqual([step?.origin?.name, step?.origin?.line], ["web", line]);
  const mixed = await end(
    `  rules:\n  - when: [{key: "request.headers[x]", values: [v]}]\n  - to: [{operation: {ports: ["1"]}}]`,
  );
  assert.match(
    mixed.reason ?? "",
    /; nearest is ns\[default\]-policy\[web\]-rule\[1\], which needs port 1 .*; ns\[default\]-policy\[web\]-rule\[0\] .* asks for request\.headers\[x\], and/,
  );
  const denied = await end("  action: DENY\n  rules:\n  - to: [{operation: {methods: [GET], ports: ['9000']}}]");
  assert.equal(denied.outcome, "refused");
  assert.match(
    denied.reason ?? "",
    /is denied by ns\[default\]-policy\[web\]-rule\[0\]: without HTTP methods is left aside/,
  );
  assert.equal(
    (await end("  action: DENY\n  rules:\n  - to: [{operation: {methods: [GET], ports: ['1']}}]")).outcome,
    "forwarded",
  );
});

test("every property of a caller and a request that policies can ask for has a flag", async () => {
  const allowed = async (rule: string, ...argv: string[]): Promise<boolean> => {
    const yaml = `${shop.replace(/---\napiVersion: security[^]*?---/, "---")}---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: issuer}
spec: {selector: {matchLabels: {app: api}}, jwtRules: [{issuer: me, jwks: '{"keys": []}'}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: one}
spec: {selector: {matchLabels: {app: api}}, rules: [${rule}]}
`;
    const into = ["explain", "-f", "-", "-o", "json", "--to", "api", "--port", "8080", ...argv];
    const { stdout, stderr } = await run(into, { stdin: yaml });
    assert.notEqual(stdout, "", stderr);
    return (JSON.parse(stdout) as Explanation).status === 200;
  };
  const rows: readonly [rule: string, right: readonly string[], wrong: readonly string[]][] = [
    ["{from: [{source: {principals: [cluster.local/ns/a/sa/b]}}]}", ["--identity", "a/b"], ["--identity", "a/c"]],
    ["{from: [{source: {namespaces: [a]}}]}", ["--identity", "a/b"], ["--tls", "none"]],
    ["{from: [{source: {ipBlocks: [10.9.0.0/16]}}]}", ["--source-ip", "10.9.1.1"], ["--source-ip", "10.8.1.1"]],
    [
      "{from: [{source: {remoteIpBlocks: [203.0.113.7]}}]}",
      ["--remote-ip", "203.0.113.7"],
      ["--remote-ip", "203.0.113.8"],
    ],
    [
      '{from: [{source: {requestPrincipals: ["me/*"]}}]}',
      ["--claims", '{"iss":"me","sub":"x"}'],
      ["--identity", "a/b"],
    ],
    [
      '{when: [{key: "request.auth.claims[g][h]", values: [v]}]}',
      ["--claims", '{"iss":"me","sub":"x","g":{"h":"v"}}'],
      ["--claims", '{"iss":"me","sub":"x"}'],
    ],
    ["{to: [{operation: {methods: [PUT]}}]}", ["--method", "PUT"], ["--method", "GET"]],
    ["{to: [{operation: {hosts: [one.example]}}]}", ["http://one.example/"], ["http://two.example/"]],
    ["{to: [{operation: {hosts: [one.example]}}]}", ["-H", "host: one.example"], ["-H", "host: two.example"]],
    ["{to: [{operation: {paths: [/a/*]}}]}", ["http://api/a/b"], ["http://api/b"]],
    ['{to: [{operation: {ports: ["8080"]}}]}', [], ["--port", "9090"]],
    ['{when: [{key: "request.headers[x-a]", values: ["1"]}]}', ["-H", "x-a: 1"], ["-H", "x-a: 2"]],
    [
      "{when: [{key: connection.sni, values: [one.example]}]}",
      ["--identity", "a/b", "--sni", "one.example"],
      ["--identity", "a/b"],
    ],
  ];
  for (const [rule, right, wrong] of rows) {
    assert.equal(await allowed(rule, ...right), true, `${rule} ${right.join(" ")}`);
    assert.equal(await allowed(rule, ...wrong), false, `${rule} ${wrong.join(" ")}`);
  }
});

test("where DNS is captured a host goes to the address that was allocated for it", async () => {
  const files = (capture: string): string => `apiVersion: v1
kind: Pod
metadata:
  name: shop
  labels: {app: shop}
spec:
  containers:
  - {name: app, image: x}
  - {name: istio-proxy, image: x, args: [proxy, sidecar], env: [{name: ISTIO_META_DNS_CAPTURE, value: "${capture}"}]}
status: {podIP: 10.244.0.2}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: one}
spec: {hosts: [one.example], resolution: STATIC, ports: [{number: 5432, name: tcp, protocol: TCP}], endpoints: [{address: 192.0.2.11}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: two}
spec: {hosts: [two.example], resolution: STATIC, ports: [{number: 5432, name: tcp, protocol: TCP}], endpoints: [{address: 192.0.2.12}]}
`;
  const cluster = async (host: string, capture: string): Promise<string | null> => {
    const argv = ["explain", "-f", "-", "-o", "json", "--from", "shop", "TCP", `${host}:5432`];
    return (JSON.parse((await run(argv, { stdin: files(capture) })).stdout) as Explanation).cluster;
  };
  assert.equal(await cluster("one.example", "true"), "outbound|5432||one.example");
  assert.equal(await cluster("two.example", "true"), "outbound|5432||two.example");
  // Without it both share the listener of the port, and the first one has it.
  assert.equal(await cluster("two.example", "false"), "outbound|5432||one.example");
});

describe("names and paths as people write them", () => {
  const database = `${shop}---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: mysql, port: 3306}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: db, image: x}]}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
`;
  const explainIn = async (...argv: string[]): Promise<Explanation> => {
    const { stdout } = await run(["explain", "-f", "-", "-o", "json", ...argv], { stdin: database });
    return JSON.parse(stdout) as Explanation;
  };
  const decisionOf = ({ steps }: Explanation, what: string): string =>
    steps.find((step) => step.what === what)?.decision ?? "";

  test("a pod of a StatefulSet goes by its name in the headless Service", async () => {
    const answer = await explainIn("tcp://db-1.db.default.svc:3306", "--from", "shop");
    assert.match(decisionOf(answer, "name"), /^db-1\.db\.default\.svc is pod db-1\.default, 10\./);
    assert.equal(answer.hops[1]?.proxy, "db-1.default");
    const nobody = await explainIn("tcp://db-2.db:3306", "--from", "shop");
    assert.match(decisionOf(nobody, "name"), /^db-2\.db is no service of the mesh/);
  });

  test("what REGISTRY_ONLY keeps in is told, over TCP and HTTP", async () => {
    const why = /: outboundTrafficPolicy REGISTRY_ONLY lets out .* \(Sidecar default\/default \(.*:\d+\)\)$/;
    const closed = await explainIn("tcp://outside.example:5432", "--from", "shop");
    assert.equal(closed.outcome, "refused");
    assert.match(closed.reason, why);
    const answered = await explainIn("GET", "http://outside.example/", "--from", "shop");
    assert.equal(answered.status, 502);
    assert.match(answered.reason, why);
  });

  test("with --to a path is enough", async () => {
    const answer = await explainIn("GET", "/x", "--to", "api", "--identity", "default/shop");
    assert.deepEqual([answer.outcome, answer.hops[0]?.proxy], ["forwarded", "api-0.default"]);
  });
});
