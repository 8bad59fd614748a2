import assert from "node:assert/strict";
import { test } from "node:test";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { TcpProxySchema } from "#wire/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts";
import { selfSigned } from "#wire/x509/testing/self-signed.ts";
import type { BuiltSnapshot } from "../snapshot/build.ts";
import { compiled, gatewayMesh } from "./testing/gateway-mesh.ts";

const pair = selfSigned();
const indented = (text: string): string => text.trimEnd().replace(/^/gm, "    ");
const secret = `
apiVersion: v1
kind: Secret
metadata: {name: cert}
stringData:
  tls.crt: |
${indented(pair.chain)}
  tls.key: |
${indented(pair.key)}
`;

const gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: istio
  listeners:
  - {name: ends, port: 443, protocol: TLS, hostname: ends.example.com, tls: {certificateRefs: [{name: cert}]}}
  - {name: wild, port: 443, protocol: TLS, hostname: "*.wild.example.com", tls: {certificateRefs: [{name: cert}]}}
  - {name: passes, port: 443, protocol: TLS, tls: {mode: Passthrough}}
`;

const route = (name: string, section: string, hostnames: string, backend: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: ${name}}
spec:
  parentRefs: [{name: web, sectionName: ${section}}]
  hostnames: [${hostnames}]
  rules: [{backendRefs: [{name: ${backend}, port: 70}]}]
`;

/** By server name: `ends` or `passes`, and where the bytes go. */
function chains(snapshot: BuiltSnapshot): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { filterChains } of compiled(snapshot).listeners.values()) {
    for (const { filterChainMatch, transportSocket, filters } of filterChains) {
      const config = filters.at(-1)?.configType;
      const proxy = config?.case === "typedConfig" ? anyUnpack(config.value, TcpProxySchema) : undefined;
      const cluster = proxy?.clusterSpecifier.case === "cluster" ? proxy.clusterSpecifier.value : "";
      const to = /^outbound\|70\|\|([^.]+)/.exec(cluster)?.[1] ?? cluster;
      const names = filterChainMatch?.serverNames.join() || "*";
      found[names] = `${transportSocket === undefined ? "passes" : "ends"} ${to}`;
    }
  }
  return found;
}

test("a TLSRoute leads on what its listener passes, and what it has ended, by the hostnames in common", () => {
  const snapshot = gatewayMesh(
    secret,
    gateway,
    route("one", "ends", "ends.example.com", "a"),
    route("two", "wild", "x.wild.example.com, y.wild.example.com", "b"),
    route("three", "passes", "passes.example.com", "c"),
  );
  assert.deepEqual(chains(snapshot), {
    "ends.example.com": "ends a",
    "x.wild.example.com": "ends b",
    "y.wild.example.com": "ends b",
    "passes.example.com": "passes c",
  });
  const status = snapshot.gatewayApiStatuses().find(({ kind }) => kind === "Gateway")?.status;
  const listeners = (status?.["listeners"] ?? []) as { name: string; supportedKinds: { kind: string }[] }[];
  assert.deepEqual(
    listeners.map(({ name, supportedKinds }) => `${name} ${supportedKinds.map(({ kind }) => kind).join()}`),
    ["ends TLSRoute,TCPRoute", "wild TLSRoute,TCPRoute", "passes TLSRoute"],
  );
  const states = snapshot.resourceStates().filter(({ origin }) => origin.kind === "TLSRoute");
  assert.deepEqual(
    states.map(({ state, reasons }) => `${state} ${reasons.join()}`),
    ["in force ", "in force ", "in force "],
  );
});

test("a TLSRoute that has no hostname in common with its listener is told", () => {
  const snapshot = gatewayMesh(secret, gateway, route("one", "ends", "other.example.com", "a"));
  const status = snapshot.gatewayApiStatuses().find(({ kind }) => kind === "TLSRoute")?.status;
  const [parent] = (status?.["parents"] ?? []) as { conditions: { type: string; reason: string }[] }[];
  assert.equal(parent?.conditions.find(({ type }) => type === "Accepted")?.reason, "NoMatchingListenerHostname");
  assert.deepEqual(chains(snapshot), {});
});
