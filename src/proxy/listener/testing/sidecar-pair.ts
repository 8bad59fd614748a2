// Two sidecars with mutual TLS between them, configured as Istio configures a client's outbound and a server's inbound.
import { type Logger, silentLogger } from "#base/log/log.ts";
import type { ClusterConfig } from "../../config/cluster.ts";
import type { ForwardAction, HttpConnectionManagerConfig } from "../../config/http.ts";
import type { FilterChainConfig } from "../../config/listener.ts";
import {
  type DownstreamTlsConfig,
  plainDownstreamTls,
  plainUpstreamTls,
  type SanMatcher,
  type UpstreamTlsConfig,
} from "../../config/tls.ts";
import type { TestAuthority } from "./certificates.ts";
import {
  chain,
  clusterOn,
  dataPath,
  filterConfig,
  forward,
  httpFilter,
  listenerConfig,
  managerConfig,
  routeEntry,
  type TestDataPath,
} from "./data-path.ts";

export function idOf(name: string): string {
  return `spiffe://cluster.local/ns/default/sa/${name}`;
}

function prefix(value: string): SanMatcher {
  return { type: "uri", oid: "", matches: (text) => text.startsWith(value), description: `prefix "${value}"` };
}

function exact(value: string): SanMatcher {
  return { type: "uri", oid: "", matches: (text) => text === value, description: `exact "${value}"` };
}

export const serverTls: DownstreamTlsConfig = {
  ...plainDownstreamTls,
  alpnProtocols: ["h2", "http/1.1"],
  certificateNames: ["default"],
  validationName: "ROOTCA",
  requireClientCertificate: true,
  sanMatchers: [prefix("spiffe://cluster.local/")],
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.3",
  ciphers: ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"],
};

export const clientTls: UpstreamTlsConfig = {
  ...plainUpstreamTls,
  sni: "outbound_.80_._.server.default.svc.cluster.local",
  alpnProtocols: ["istio-peer-exchange", "istio"],
  certificateName: "default",
  validationName: "ROOTCA",
  sanMatchers: [exact(idOf("server"))],
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.3",
};

export const everyPort: { disabledForPort(): boolean } = { disabledForPort: () => false };

/** Istio's inbound chains for an HTTP port. */
function inboundChains(mode: "strict" | "permissive", manager: HttpConnectionManagerConfig): FilterChainConfig[] {
  const filters = [httpFilter(manager)];
  const none = chain([]).match;
  const secured = chain(filters, { name: "mtls", tls: serverTls, match: { ...none, transportProtocol: "tls" } });
  if (mode === "strict") return [secured];
  const istioOnly = ["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"];
  return [
    { ...secured, match: { ...none, transportProtocol: "tls", applicationProtocols: istioOnly } },
    chain(filters, { name: "plain", match: { ...none, transportProtocol: "raw_buffer" } }),
  ];
}

export function identify(
  path: TestDataPath,
  authority: TestAuthority,
  name: string,
  from: TestAuthority = authority,
): void {
  path.secrets.setTrustedRoots("ROOTCA", authority.roots);
  path.secrets.setCertificate("default", from.issue(idOf(name)));
}

export interface ServerSidecar {
  readonly mode: "strict" | "permissive";
  /** Of the application. */
  readonly port: number;
  readonly log?: Logger;
  readonly cluster?: Partial<ClusterConfig>;
}

export async function startServerSidecar(
  authority: TestAuthority,
  { mode, port, log = silentLogger, cluster = {} }: ServerSidecar,
): Promise<TestDataPath> {
  const path = dataPath({ log });
  identify(path, authority, "server");
  path.clusters.update(clusterOn("app", [port], cluster));
  const chains = inboundChains(mode, managerConfig([routeEntry("/", forward("app"))]));
  const listener = listenerConfig(chains, { direction: 1, tlsInspector: everyPort, httpInspector: everyPort });
  await path.listeners.update(listener);
  return path;
}

export interface ClientSidecar {
  /** Of the server's sidecar. */
  readonly port: number;
  /** Of further ones. */
  readonly otherPorts?: readonly number[];
  readonly tls?: Partial<UpstreamTlsConfig>;
  readonly cluster?: Partial<ClusterConfig>;
  readonly route?: Partial<ForwardAction>;
  readonly manager?: Partial<HttpConnectionManagerConfig>;
}

export async function startClientSidecar(
  authority: TestAuthority,
  { port, otherPorts = [], tls = {}, cluster = {}, route = {}, manager = {} }: ClientSidecar,
): Promise<TestDataPath> {
  const path = dataPath();
  identify(path, authority, "client");
  const transports = [{ name: "tlsMode-istio", match: {}, tls: { ...clientTls, ...tls }, proxyProtocol: null }];
  path.clusters.update(clusterOn("server", [port, ...otherPorts], { transports, ...cluster }));
  const httpFilters = [filterConfig("istio_alpn", {}), filterConfig("router", {})];
  const routes = [routeEntry("/", forward("server", route))];
  const config = managerConfig(routes, { httpFilters, serverHeader: "pass_through", ...manager });
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])], { direction: 2 }));
  return path;
}
