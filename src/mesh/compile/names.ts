// Names of everything istiod generates, exactly as Istio spells them: dashboards, EnvoyFilters, istioctl and people
// know them. A name is built and taken apart only here; those that the snapshot needs too are in ../route-names.ts.

export const virtualOutboundListener = "virtualOutbound";
export const virtualInboundListener = "virtualInbound";

export const blackHoleCluster = "BlackHoleCluster";
export const passthroughCluster = "PassthroughCluster";
export const inboundPassthroughCluster = "InboundPassthroughCluster";
export const allowAnyDynamicDnsCluster = "AllowAnyDynamicDNSCluster";

/** Where a backend of the Gateway API leads that is not there: no cluster has this name. */
export const unknownService = "UnknownService";

/** Filter chains of the virtual listeners. */
export const chainNames = {
  outboundBlackhole: "virtualOutbound-blackhole",
  outboundCatchAll: "virtualOutbound-catchall-tcp",
  outboundCatchAllHttp: "virtualOutbound-catchall-http",
  outboundPassthrough: "PassthroughFilterChain",
  inboundBlackhole: "virtualInbound-blackhole",
  inboundPassthroughTcp: "virtualInbound",
  inboundPassthroughHttp: "virtualInbound-catchall-http",
} as const;

export const allowAnyVirtualHost = "allow_any";
export const allowAnyDynamicDnsVirtualHost = "allow_any_dynamic_dns";
export const blockAllVirtualHost = "block_all";
export const defaultRouteName = "default";

/** SDS resource names of the workload's certificate and of the trusted roots. */
export const workloadCertificate = "default";
export const trustedRoots = "ROOTCA";

/** Istio adds this to an alternate stat name so that stats can be told from the port that follows. */
export const statDelimiter = ";";

/** `outbound|9080|v1|reviews.default.svc.cluster.local` */
export function outboundClusterName(port: number, subset: string, host: string): string {
  return `outbound|${port}|${subset}|${host}`;
}

/** `outbound_.9080_.v1_.reviews.default.svc.cluster.local`: the SNI of mutual TLS between sidecars. */
export function mutualTlsSni(port: number, subset: string, host: string): string {
  return `outbound_.${port}_.${subset}_.${host}`;
}

/** `inbound|9080||` */
export function inboundClusterName(targetPort: number): string {
  return `inbound|${targetPort}||`;
}

export interface OutboundClusterKey {
  readonly port: number;
  readonly subset: string;
  readonly host: string;
}

/** Takes an outbound cluster name apart; undefined for every other cluster. */
export function parseOutboundClusterName(name: string): OutboundClusterKey | undefined {
  if (!name.startsWith("outbound|")) return undefined;
  const [, port = "", subset = "", host = "", ...rest] = name.split("|");
  const number = Number(port);
  if (host === "" || rest.length > 0 || !Number.isInteger(number)) return undefined;
  return { port: number, subset, host };
}

/** Takes the SNI of mutual TLS apart; undefined for every other name. */
export function parseMutualTlsSni(name: string): OutboundClusterKey | undefined {
  const [, port = "", subset = "", host] = /^outbound_\.(\d+)_\.(.*?)_\.(.+)$/.exec(name) ?? [];
  return host === undefined ? undefined : { port: Number(port), subset, host };
}

/** DNS cache of a service whose hosts are what clients name: `*.example.com_dfp_dns_cache`. */
export function dnsCacheName(host: string): string {
  return `${host}_dfp_dns_cache`;
}

/** Route configuration of the mesh's HTTP proxy. */
export const httpProxyRoutes = "http_proxy";

/** `0.0.0.0_9080`, `10.96.0.7_9080`: a listener, and the filter chains of an inbound port. */
export function listenerName(bind: string, port: number): string {
  return `${bind}_${port}`;
}

/** Route configuration of a listener whose HTTP serves one service only: `reviews.default.svc.cluster.local:9080`. */
export function serviceRouteName(host: string, port: number): string {
  return `${host}:${port}`;
}

/** Vhost of an inline inbound route: `inbound|http|9080`. */
export function inboundVirtualHostName(servicePort: number): string {
  return `inbound|http|${servicePort}`;
}

/** `ns[default]-policy[allow-productpage]-rule[0]` */
export function rbacPolicyName(namespace: string, name: string, rule: number): string {
  return `ns[${namespace}]-policy[${name}]-rule[${rule}]`;
}

/** `/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews`, as in filter_metadata.istio.config. */
export function configPath(kind: string, namespace: string, name: string): string {
  return `/apis/networking.istio.io/v1/namespaces/${namespace}/${kind}/${name}`;
}

/** SDS name of a certificate kept in a Kubernetes secret: `kubernetes://bookinfo-cert`. */
export function secretName(credential: string): string {
  return credential.includes("://") ? credential : `kubernetes://${credential}`;
}

/** SDS name of the client roots that belong to such a certificate: `kubernetes://bookinfo-cert-cacert`. */
export function secretRootsName(credential: string): string {
  const name = secretName(credential);
  return name.endsWith("-cacert") ? name : `${name}-cacert`;
}

/** SDS name of a certificate in files of the proxy's container, which the agent reads. */
export function fileCertificate(files: { readonly serverCertificate: string; readonly privateKey: string }): string {
  return `file-cert:${files.serverCertificate}~${files.privateKey}`;
}

/** SDS name of roots in a file; of `system` the platform's. */
export function fileRoots(path: string): string {
  return `file-root:${path}`;
}
