// HOT: per request. envoy.filters.http.dynamic_forward_proxy: looks up the host of requests that go to a dynamic forward
// proxy with the same DNS cache, and keeps them until its address is known. Other requests pass.
import {
  FilterConfigSchema,
  PerRouteConfigSchema,
} from "#wire/gen/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy_pb.ts";
import type { DnsCacheConfig } from "../../../config/dns-cache.ts";
import { parseDnsCache } from "../../../config/parse/dns-cache.ts";
import { addStep } from "../../../config/trace.ts";
import { type DynamicHost, forwardedHost } from "../../../decide/dynamic-host.ts";
import { rewrittenAuthority } from "../../../decide/rewrite.ts";
import type { Cluster } from "../../../upstream/cluster.ts";
import type { DnsCache, DnsWaiter, ResolvedHost } from "../../../upstream/dns/dns-cache.ts";
import {
  CONTINUE,
  DONE,
  defineHttpFilter,
  type FilterContext,
  type HttpFilter,
  type HttpFilterType,
  PAUSE,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { dnsCacheOverflow, dnsPendingOverflow, dnsResolutionFailure, type LocalReply } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";
import { type HostRewrite, hostOf, parseHostRewrite } from "./host-rewrite.ts";

export const dynamicForwardProxy: HttpFilterType = defineHttpFilter<DnsCacheConfig, HostRewrite>({
  type: "dynamic_forward_proxy",
  messages: [
    settingsFrom(FilterConfigSchema, ({ implementationSpecifier: specifier, saveUpstreamAddress }, place) => {
      const { path, problems } = place;
      if (specifier.case === "subClusterConfig") {
        problems.unsupported(`${path}.sub_cluster_config`, "a cluster for each host");
        return null;
      }
      if (saveUpstreamAddress) problems.leftOut(`${path}.save_upstream_address`, "filter state");
      const cache = specifier.case === "dnsCacheConfig" ? specifier.value : undefined;
      return parseDnsCache(cache, `${path}.dns_cache_config`, problems);
    }),
  ],
  routeMessages: [settingsFrom(PerRouteConfigSchema, parseHostRewrite)],
  decide: (cache) => (subject, routeSettings, trace) => {
    const rewrite = (routeSettings[0] as HostRewrite | undefined) ?? null;
    const authority = rewrite === null ? undefined : hostOf(rewrite, (name) => subject.header?.(name));
    if (trace !== null && authority !== undefined) addStep(trace, "host", `${authority} is put in place of the host`);
    return {
      refusal: null,
      authorization: null,
      dnsCache: cache.name,
      ...(authority !== undefined && { authority }),
    };
  },
  configure: (cache, context) => sharedFilter(new DynamicForwardProxyFilter(cache, context)),
});

class DynamicForwardProxyFilter implements HttpFilter {
  readonly #context: FilterContext<HostRewrite>;
  readonly #cacheName: string;
  readonly #cache: DnsCache;

  constructor(config: DnsCacheConfig, context: FilterContext<HostRewrite>) {
    this.#context = context;
    this.#cacheName = config.name;
    this.#cache = context.environment.clusters.dnsCaches.get(config);
  }

  onRequestHeaders(stream: Stream): Verdict {
    const name = stream.decision?.cluster?.name;
    const cluster = name === undefined ? undefined : this.#context.environment.clusters.get(name);
    if (cluster?.config.forwardProxy?.cache.name !== this.#cacheName) return CONTINUE;
    const rewrite = this.#context.routeSettings(stream);
    const replaced = rewrite === null ? undefined : hostOf(rewrite, (header) => stream.header(header));
    if (replaced !== undefined) stream.setAuthority(replaced);
    const authority = upstreamAuthority(stream);
    const host = forwardedHost(cluster.config, authority);
    if (host === null) {
      return answer(stream, cluster, dnsResolutionFailure("not_a_host"), `"${authority}" is no host`);
    }
    const waiting = new WaitingRequest(this.#cache, stream, cluster, host);
    const loaded = this.#cache.load(host, waiting);
    switch (loaded) {
      case "loading":
        stream.attach(this, waiting);
        return PAUSE;
      case "too many hosts":
      case "too many requests": {
        const { maxHosts, maxPendingRequests } = this.#cache.config;
        const isFull = loaded === "too many hosts";
        const why = isFull
          ? `the DNS cache ${this.#cacheName} has ${maxHosts} hosts and takes no more`
          : `${maxPendingRequests} requests wait for lookups of the DNS cache ${this.#cacheName}`;
        return answer(stream, cluster, isFull ? dnsCacheOverflow : dnsPendingOverflow, `${host.key}: ${why}`);
      }
      default:
        return take(stream, cluster, loaded) ? CONTINUE : DONE;
    }
  }
}

/** A request whose host is being looked up. */
class WaitingRequest implements HttpFilter, DnsWaiter {
  readonly #cache: DnsCache;
  readonly #stream: Stream;
  readonly #cluster: Cluster;
  readonly #host: DynamicHost;

  constructor(cache: DnsCache, stream: Stream, cluster: Cluster, host: DynamicHost) {
    this.#cache = cache;
    this.#stream = stream;
    this.#cluster = cluster;
    this.#host = host;
  }

  onHostLoaded(host: ResolvedHost): void {
    if (take(this.#stream, this.#cluster, host)) this.#stream.resumeRequest();
  }

  onComplete(): void {
    this.#cache.cancel(this.#host.key, this);
  }
}

/** False when the request is answered. */
function take(stream: Stream, cluster: Cluster, host: ResolvedHost): boolean {
  if (host.addresses.length > 0) {
    stream.dynamicHost = host.key;
    return true;
  }
  answer(stream, cluster, dnsResolutionFailure(host.error), `${host.host} can't be resolved: ${host.error}`);
  return false;
}

/** What the route will make of the host, so that the host that is looked up is the one that is asked. */
function upstreamAuthority(stream: Stream): string {
  const action = stream.decision?.route.action;
  if (action?.type !== "forward") return stream.authority;
  return rewrittenAuthority(action.forward, stream.authority, stream.path, (name) => stream.header(name));
}

function answer(stream: Stream, { config }: Cluster, reply: LocalReply, why: string): Verdict {
  stream.sendLocalReply(reply, `cluster ${config.name}: ${why}`, config.provenance.origins);
  return DONE;
}
