// The proxy under the real control plane: a gateway gets its configuration over TLS with a token, follows edits, keeps
// serving when the control plane dies, and catches up with the next one.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { after, test } from "node:test";
import { LogRegistry } from "#base/log/log.ts";
import { freePort } from "#base/net/testing/free-port.ts";
import type { Clock } from "#base/time/clock.ts";
import { endpointSlice, startTestControlPlane, type TestControlPlane } from "#control/testing/test-control-plane.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import type { RunningProxy } from "./options.ts";
import { startProxy } from "./start.ts";

const upstream = createServer((request, response) => response.end(`${request.url} for ${request.headers.host}`));
await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
const upstreamPort = (upstream.address() as AddressInfo).port;
const gatewayPort = await freePort();

const meshYaml = (rewrite: string): string => `
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  clusterIP: 10.96.0.2
  selector: {istio: ingressgateway}
  ports: [{name: http, port: ${gatewayPort}, targetPort: ${gatewayPort}}]
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec:
  clusterIP: 10.96.0.20
  selector: {app: reviews}
  ports: [{name: http, port: 9080, targetPort: ${upstreamPort}}]
---
${endpointSlice("reviews", ["127.0.0.1"], upstreamPort)}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: ${gatewayPort}, name: http, protocol: HTTP}, hosts: ["*"]}]
---
${virtualService(rewrite)}
`;

const virtualService = (rewrite: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all, namespace: default}
spec:
  hosts: ["*"]
  gateways: [gateway]
  http:
  - match: [{uri: {prefix: /api}}]
    rewrite: {uri: ${rewrite}}
    route: [{destination: {host: reviews, port: {number: 9080}}}]
`;

/** Real time, but no wait is longer than a moment. */
const impatientClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, Math.min(delayMs, 20)).unref();
    return () => clearTimeout(timer);
  },
};

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2));
}

let plane: TestControlPlane = await startTestControlPlane(meshYaml("/one"));
/** Where the proxy looks for its control plane: the first one's place. */
const discoveryPort = plane.control.addresses.tls?.port ?? 0;
let roots = plane.control.rootCertificates;
let proxy: RunningProxy;

after(async () => {
  await proxy.stop();
  await plane.control.stop();
  upstream.close();
  upstream.closeAllConnections();
});

const ask = async (path: string): Promise<{ readonly status: number; readonly text: string }> => {
  const response = await fetch(`http://127.0.0.1:${gatewayPort}${path}`);
  return { status: response.status, text: await response.text() };
};

test("a gateway becomes ready and routes as the VirtualService says", { timeout: 20_000 }, async () => {
  proxy = await startProxy({
    node: {
      id: "router~127.0.0.1~gateway-1.istio-system~istio-system.svc.cluster.local",
      cluster: "istio-ingressgateway",
      locality: { region: "", zone: "", subZone: "" },
      metadata: {
        NAMESPACE: "istio-system",
        LABELS: { istio: "ingressgateway" },
        WORKLOAD_NAME: "istio-ingressgateway",
      },
    },
    role: "router",
    version: "1.31.0",
    ads: {
      address: `127.0.0.1:${discoveryPort}`,
      tls: { rootCertificates: () => roots, serverName: "istiod.istio-system.svc" },
      token: async () => "istio-system/gateway",
    },
    secrets: new SecretStore(),
    log: new LogRegistry({ level: "none" }),
    servers: { admin: { host: "127.0.0.1", port: 0 } },
    clock: impatientClock,
  });
  await until(() => proxy.ready());
  assert.deepEqual(await ask("/api/x"), { status: 200, text: `/one/x for 127.0.0.1:${gatewayPort}` });
  assert.equal((await ask("/other")).status, 404);
  assert.equal(proxy.adsStatus()?.connected, true);
});

test("the dump has the configuration with the control plane's versions", { timeout: 20_000 }, async () => {
  const dump = (await (await fetch(`http://127.0.0.1:${proxy.adminPort}/config_dump?include_eds`)).json()) as {
    configs: {
      "@type": string;
      dynamic_listeners?: { active_state: { version_info: string } }[];
      dynamic_endpoint_configs?: unknown[];
    }[];
  };
  const section = (name: string) => dump.configs.find((config) => config["@type"].endsWith(name));
  assert.notEqual(section("ListenersConfigDump")?.dynamic_listeners?.[0]?.active_state.version_info ?? "", "");
  assert.notEqual(section("EndpointsConfigDump")?.dynamic_endpoint_configs?.length ?? 0, 0);
});

test("an edit reaches the traffic without a lost request", { timeout: 20_000 }, async () => {
  plane.source.apply(virtualService("/two"));
  await until(async () => {
    const { status, text } = await ask("/api/x");
    assert.equal(status, 200);
    return text.startsWith("/two/x");
  });
});

test("traffic goes on while the control plane is dead, and the next one is followed", { timeout: 20_000 }, async () => {
  await plane.control.stop();
  await until(() => proxy.adsStatus()?.connected === false);
  assert.equal((await ask("/api/x")).status, 200);
  assert.equal(proxy.ready(), true);
  plane = await startTestControlPlane(meshYaml("/three"), {
    ports: { plaintext: 0, tls: discoveryPort, monitoring: 0, webhook: 0, http: 0 },
  });
  roots = plane.control.rootCertificates;
  await until(async () => {
    const { status, text } = await ask("/api/x");
    assert.equal(status, 200);
    return text.startsWith("/three/x");
  });
  assert.equal(proxy.adsStatus()?.connected, true);
});
