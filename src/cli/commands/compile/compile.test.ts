import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { type CliResult, run } from "../../testing/run-cli.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-compile-"));
after(() => rmSync(folder, { recursive: true }));

interface Resource {
  readonly name?: string;
  readonly clusterName?: string;
  readonly [field: string]: unknown;
}
type Compiled = Record<"listeners" | "routes" | "clusters" | "endpoints", Resource[]>;

async function compile(yaml: string, ...flags: string[]): Promise<CliResult & { json: Compiled }> {
  const result = await run(["compile", "-f", "-", ...flags], { stdin: yaml, cwd: folder });
  return { ...result, json: JSON.parse(result.stdout) as Compiled };
}

/** `address:port` of the endpoints of a cluster, with the mode of mutual TLS. */
function endpointsOf(compiled: Compiled, cluster: string): string[] {
  const assignment = compiled.endpoints.find(({ clusterName }) => clusterName === cluster);
  const localities = (assignment?.["endpoints"] ?? []) as { lbEndpoints: Record<string, unknown>[] }[];
  return localities.flatMap(({ lbEndpoints }) => lbEndpoints.map(endpointText));
}

function endpointText(entry: Record<string, unknown>): string {
  const { address, portValue } = (
    entry["endpoint"] as { address: { socketAddress: { address: string; portValue: number } } }
  ).address.socketAddress;
  const metadata = JSON.stringify(entry["metadata"]);
  return `${address}:${portValue}${metadata.includes('"tlsMode":"istio"') ? " mtls" : ""}${entry["healthStatus"] === "HEALTHY" ? "" : ` ${String(entry["healthStatus"])}`}`;
}

const service = (name: string, spec: string): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: ${spec}
---`;

const pod = (name: string, ip: string, extra = ""): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${name.replace(/-.*/, "")}, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: sa-${name}, nodeName: node-1, containers: [{name: app, ports: [{name: web, containerPort: 8080}]}]}
status: {podIP: ${ip}${extra}}
---`;

const shop = `${service("api", "{clusterIP: 10.96.0.7, selector: {app: api}, ports: [{name: http, port: 80, targetPort: web}]}")}
${service("db", "{clusterIP: 10.96.0.8, selector: {app: db}, ports: [{name: tcp, port: 5432}]}")}
${pod("api-1", "10.244.0.3")}
${pod("db-1", "10.244.0.4")}
`;

describe("what is compiled", () => {
  test("a sidecar gets the listeners, routes, clusters and endpoints that the control plane would send", async () => {
    const { code, json, stderr } = await compile(shop, "--proxy", "sidecar", "--namespace", "default");
    assert.deepEqual([code, stderr], [0, ""]);
    assert.deepEqual(Object.keys(json), ["listeners", "routes", "clusters", "endpoints"]);
    const names = (list: Resource[]): (string | undefined)[] =>
      list.map(({ name, clusterName }) => name ?? clusterName);
    assert.deepEqual(names(json.listeners), ["0.0.0.0_80", "10.96.0.8_5432", "virtualOutbound", "virtualInbound"]);
    assert.deepEqual(names(json.routes), ["80"]);
    assert.deepEqual(names(json.endpoints), [
      "outbound|80||api.default.svc.cluster.local",
      "outbound|5432||db.default.svc.cluster.local",
    ]);
    assert.ok(names(json.clusters).includes("PassthroughCluster"));
  });

  test("the JSON is proto3's canonical one", async () => {
    const { json } = await compile(shop, "--labels", "app=api");
    const cluster = json.clusters.find(({ name }) => name === "outbound|80||api.default.svc.cluster.local");
    assert.deepEqual([cluster?.["type"], cluster?.["connectTimeout"]], ["EDS", "10s"]);
    const [listener] = json.listeners as unknown as [{ filterChains: { filters: { typedConfig: object }[] }[] }];
    const types = listener.filterChains.flatMap(({ filters }) => filters.map(({ typedConfig }) => typedConfig));
    assert.ok(types.every((config) => "@type" in config && Object.keys(config).length > 1));
  });

  test("a router gets the Gateways that select its labels", async () => {
    const gateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}]
`;
    const yaml = `${shop}${gateway}`;
    const { json } = await compile(yaml, "--proxy", "router", "--labels", "istio=ingressgateway");
    assert.deepEqual(
      json.listeners.map(({ name }) => name),
      ["0.0.0.0_80"],
    );
    assert.deepEqual((await compile(yaml, "--proxy", "router", "--labels", "istio=other")).json.listeners, []);
  });

  test("a Gateway of the Gateway API runs as the control plane would deploy it", async () => {
    const yaml = `${shop}
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec: {gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec: {parentRefs: [{name: web}], rules: [{backendRefs: [{name: api, port: 80}]}]}
`;
    const { json } = await compile(yaml, "--proxy", "router", "--namespace", "default", "--name", "web-istio");
    assert.deepEqual(
      json.listeners.map(({ name }) => name),
      ["0.0.0.0_80"],
    );
    assert.match(JSON.stringify(json.routes), /outbound\|80\|\|api\.default\.svc\.cluster\.local/);
  });

  test("--only leaves the other sections out, and -o yaml says the same", async () => {
    const { json } = await compile(shop, "--only", "endpoints,routes");
    assert.deepEqual(Object.keys(json), ["routes", "endpoints"]);
    const yaml = await run(["compile", "-f", "-", "--only", "routes", "-o", "yaml"], { stdin: shop });
    assert.match(yaml.stdout, /^routes:\n {2}- name: "80"\n/);
  });

  test("equal input gives equal bytes, in whatever order the documents stand", async () => {
    const documents = shop.split("---");
    const answers = await Promise.all([compile(shop), compile(shop), compile(documents.reverse().join("---"))]);
    const [first, again, reversed] = answers.map(({ json }) => JSON.stringify(json).replaceAll(/"line":\d+,?/g, ""));
    assert.equal(again, first);
    assert.equal(reversed, first);
  });

  test("mesh configuration comes from a file or from ConfigMap istio among the files", async () => {
    const settings = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n";
    writeFileSync(join(folder, "mesh.yaml"), settings);
    const configMap = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "${settings.trim()}"}
`;
    for (const { json } of [await compile(shop, "--mesh-config", "mesh.yaml"), await compile(`${shop}${configMap}`)]) {
      const listener = json.listeners.find(({ name }) => name === "virtualOutbound");
      assert.match(JSON.stringify(listener), /"cluster":"BlackHoleCluster"/);
      assert.doesNotMatch(JSON.stringify(listener), /PassthroughCluster/);
    }
  });
});

describe("which proxy", () => {
  /** The inbound listener has the port of the service, and a sidecar's own labels decide what it gets. */
  const inboundClusters = (compiled: Compiled): string[] =>
    compiled.clusters.flatMap(({ name = "" }) => (name.startsWith("inbound|") ? [name] : []));

  test("a pod of the files is found by name, workload, label or address, and says who the proxy is", async () => {
    for (const flags of [
      ["--name", "api-1"],
      ["--name", "api"],
      ["--labels", "app=api"],
      ["--ip", "10.244.0.3"],
    ]) {
      assert.deepEqual(inboundClusters((await compile(shop, ...flags)).json), ["inbound|8080||"], flags.join(" "));
    }
  });

  test("a proxy that is no pod of the files is what the flags say", async () => {
    const { json } = await compile(shop, "--name", "new", "--labels", "app=db", "--ip", "10.1.2.3");
    assert.deepEqual(inboundClusters(json), ["inbound|5432||"]);
    assert.deepEqual(inboundClusters((await compile(shop, "--labels", "app=other")).json), []);
  });

  test("policies follow the labels of the proxy and name the file and line", async () => {
    const policy = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny}
spec: {selector: {matchLabels: {app: api}}, action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]}
`;
    const inbound = async (app: string): Promise<string> => {
      const { json } = await compile(`${shop}${policy}`, "--labels", `app=${app}`);
      return JSON.stringify(json.listeners.find(({ name }) => name === "virtualInbound"));
    };
    assert.match(await inbound("api"), /ns\[default\]-policy\[deny\]-rule\[0\]/);
    assert.match(await inbound("api"), /"file":"stdin"/);
    assert.doesNotMatch(await inbound("db"), /policy\[deny\]/);
  });
});

describe("what a cluster would add", () => {
  test("endpoints follow from the pods that a Service selects, until a slice is written", async () => {
    const { json } = await compile(
      `${shop}${pod("api-2", "10.244.0.9", ", conditions: [{type: Ready, status: 'False'}]")}`,
    );
    const cluster = "outbound|80||api.default.svc.cluster.local";
    assert.deepEqual(endpointsOf(json, cluster), ["10.244.0.3:8080 mtls", "10.244.0.9:8080 mtls UNHEALTHY"]);
    const slice = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-x, labels: {kubernetes.io/service-name: api}}
addressType: IPv4
ports: [{name: http, port: 9999}]
endpoints: [{addresses: [10.9.9.9]}]
`;
    assert.deepEqual(endpointsOf((await compile(`${shop}${slice}`)).json, cluster), ["10.9.9.9:9999"]);
  });

  test("Endpoints written by hand are mirrored", async () => {
    const yaml = `${service("legacy", "{clusterIP: 10.96.0.9, ports: [{name: http, port: 80}]}")}
apiVersion: v1
kind: Endpoints
metadata: {name: legacy}
subsets: [{addresses: [{ip: 192.168.1.7}], notReadyAddresses: [{ip: 192.168.1.8}], ports: [{name: http, port: 8000}]}]
`;
    assert.deepEqual(endpointsOf((await compile(yaml)).json, "outbound|80||legacy.default.svc.cluster.local"), [
      "192.168.1.7:8000",
      "192.168.1.8:8000 UNHEALTHY",
    ]);
  });

  test("workloads become pods, with a sidecar where their namespace is one of the mesh", async () => {
    const workload = (kind: string, name: string, namespace: string): string => `
apiVersion: apps/v1
kind: ${kind}
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  replicas: 2
  serviceName: ${name}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec: {containers: [{name: app, image: x}]}
---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec: {selector: {app: ${name}}, ports: [{name: http, port: 80, targetPort: 8080}]}
---`;
    const yaml = `${workload("Deployment", "web", "default")}${workload("StatefulSet", "store", "outside")}
apiVersion: v1
kind: Namespace
metadata: {name: outside}
`;
    const { json } = await compile(yaml);
    const web = endpointsOf(json, "outbound|80||web.default.svc.cluster.local");
    assert.equal(web.length, 2);
    assert.ok(web.every((endpoint) => endpoint.endsWith(":8080 mtls")));
    const store = endpointsOf(json, "outbound|80||store.outside.svc.cluster.local");
    assert.equal(store.length, 2);
    assert.ok(store.every((endpoint) => endpoint.endsWith(":8080")));
    const named = await compile(yaml, "--name", "web");
    assert.ok(named.json.clusters.some(({ name }) => name === "inbound|8080||"));
  });

  test("a Service without an address gets one that does not depend on the rest of the files", async () => {
    const mail = service("mail", "{selector: {app: mail}, ports: [{name: tcp, port: 25}]}");
    const listener = async (yaml: string): Promise<string | undefined> =>
      (await compile(yaml)).json.listeners.find(({ name }) => name?.endsWith("_25") === true)?.name;
    const alone = await listener(mail);
    assert.match(alone ?? "", /^10\.96\.\d+\.\d+_25$/);
    assert.equal(await listener(`${shop}${mail}`), alone);
  });
});

describe("bad input", () => {
  const broken = `${shop}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: wrong}
spec: {hosts: [db], http: [{rout: []}]}
---
kind: [
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: right}
spec: {hosts: [api], http: [{name: mine, route: [{destination: {host: api}}]}]}
`;

  test("what is wrong costs only itself and is told on standard error", async () => {
    const { code, json, stderr } = await compile(broken);
    assert.equal(code, 0);
    assert.match(JSON.stringify(json.routes), /"name":"mine"/);
    assert.match(stderr, /stdin:\d+:\d+ error IST0106 spec\.http\[0\]\.rout: .*\n.*stdin:\d+:\d+ error OUT0001/);
    assert.equal((await compile(broken, "--strict")).code, 1);
    assert.equal((await compile("kind: [")).code, 1);
  });

  test("files of other tools in a directory are passed over with a note", async () => {
    const path = join(folder, "mixed/deep");
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, "shop.yaml"), shop);
    writeFileSync(join(path, "values.yaml"), "replicas: 2\n");
    writeFileSync(join(path, "tsconfig.json"), "{ // comment\n}");
    writeFileSync(
      join(path, "kustomization.yaml"),
      "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n",
    );
    const { code, stdout, stderr } = await run(["compile", "-f", "mixed", "--strict", "--only", "routes"], {
      cwd: folder,
    });
    assert.equal(code, 0);
    assert.equal((JSON.parse(stdout) as Compiled).routes.length, 1);
    assert.equal(
      stderr.match(/^mixed\/deep\/(values\.yaml|tsconfig\.json|kustomization\.yaml):1:\d+ info OUT0008 /gm)?.length,
      3,
    );
  });

  test("wrong flags are told in one sentence", async () => {
    const told = async (...flags: string[]): Promise<string> =>
      (await run(["compile", ...flags], { stdin: shop })).stderr;
    assert.equal(
      await told("-f", "-", "--proxy", "waypoint"),
      'outrigger: --proxy is sidecar or router, not "waypoint"\n',
    );
    assert.equal(
      await told("-f", "-", "--only", "all"),
      'outrigger: --only knows listeners, routes, clusters, endpoints, extensions, not "all"\n',
    );
    assert.equal(await told("-f", "-", "--labels", "app"), 'outrigger: "app" is no label; write it as app=reviews\n');
    assert.equal(await told("-f", "-", "-o", "table"), "outrigger: compile writes json or yaml\n");
    assert.equal(await told("-f", "nowhere"), "outrigger: nowhere: no such file or directory\n");
    assert.equal(await told(), "outrigger: name a file or directory with -f\n");
  });
});
