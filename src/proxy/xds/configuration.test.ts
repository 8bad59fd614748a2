import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { parse } from "yaml";
import { silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import { ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { TypedExtensionConfigSchema } from "#wire/gen/envoy/config/core/v3/extension_pb.ts";
import { ClusterLoadAssignmentSchema } from "#wire/gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { ListenerSchema } from "#wire/gen/envoy/config/listener/v3/listener_pb.ts";
import { RouteConfigurationSchema } from "#wire/gen/envoy/config/route/v3/route_pb.ts";
import { SecretSchema } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { selfSigned } from "#wire/x509/testing/self-signed.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { clusterOf, endpointsOf, httpWithRoutes, listenerOf, routeOf, tcpTo } from "../config/testing/resources.ts";
import { anyRegistry } from "./any-registry.ts";
import { Configuration } from "./configuration.ts";

class Bench {
  readonly clock = new ManualClock(1000);
  readonly secrets = new SecretStore();
  /** What was done to the running parts, in order. */
  readonly log: string[] = [];
  bind: () => Promise<void> | void = () => {};
  readonly configuration = new Configuration({
    targets: {
      clusters: {
        update: (config) => this.log.push(`cluster ${config.name}`),
        setEndpoints: (set) => this.log.push(`endpoints ${set.clusterName} ${set.endpoints.length}`),
        remove: (name) => this.log.push(`-cluster ${name}`),
      },
      routes: {
        set: (config) => this.log.push(`route ${config.name}`),
        remove: (name) => this.log.push(`-route ${name}`),
      },
      listeners: {
        update: (config) => {
          this.log.push(`listener ${config.name}`);
          return this.bind();
        },
        remove: (name) => this.log.push(`-listener ${name}`),
      },
      secrets: this.secrets,
      extensions: {
        set: (config) => this.log.push(`extension ${config.name} ${config.http?.type ?? config.network?.type}`),
        remove: (name) => this.log.push(`-extension ${name}`),
      },
    },
    log: silentLogger,
    clock: this.clock,
    initialFetchTimeoutMs: 15_000,
    removalGraceMs: 5000,
  });

  /** What happened since the last look. */
  took(): string[] {
    return this.log.splice(0);
  }

  clusters(names: readonly string[], removed: readonly string[] = []): ReadonlyMap<string, string> {
    return this.#send(
      typeUrl.cluster,
      names.map((name) => [name, anyPack(ClusterSchema, eds(name))]),
      removed,
    );
  }

  endpoints(names: readonly string[], removed: readonly string[] = []): ReadonlyMap<string, string> {
    return this.#send(
      typeUrl.endpoint,
      names.map((name) => [name, anyPack(ClusterLoadAssignmentSchema, assignment(name))]),
      removed,
    );
  }

  route(name: string, cluster: string): ReadonlyMap<string, string> {
    return this.#send(typeUrl.route, [[name, anyPack(RouteConfigurationSchema, routesTo(name, cluster))]], []);
  }

  routesRemoved(...names: string[]): void {
    this.#send(typeUrl.route, [], names);
  }

  listeners(yaml: readonly string[], removed: readonly string[] = []): ReadonlyMap<string, string> {
    return this.#send(
      typeUrl.listener,
      yaml.map((text) => {
        const listener = listenerOf(text);
        return [listener.name, anyPack(ListenerSchema, listener)];
      }),
      removed,
    );
  }

  /** Null: there is none. */
  secret(name: string, pair: { readonly chain: string; readonly key: string } | null): ReadonlyMap<string, string> {
    if (pair === null) return this.#send(typeUrl.secret, [], [name]);
    const secret = create(SecretSchema, {
      name,
      type: {
        case: "tlsCertificate",
        value: {
          certificateChain: { specifier: { case: "inlineString", value: pair.chain } },
          privateKey: { specifier: { case: "inlineString", value: pair.key } },
        },
      },
    });
    return this.#send(typeUrl.secret, [[name, anyPack(SecretSchema, secret)]], []);
  }

  /** A header_mutation, or what its YAML says. */
  extension(name: string, config = mutation): string | undefined {
    const extension = fromJson(
      TypedExtensionConfigSchema,
      { name, typedConfig: parse(config) as JsonValue },
      { registry: anyRegistry() },
    );
    return this.#send(typeUrl.extensionConfig, [[name, anyPack(TypedExtensionConfigSchema, extension)]], []).get(name);
  }

  extensionsRemoved(...names: string[]): void {
    this.#send(typeUrl.extensionConfig, [], names);
  }

  #send(
    type: string,
    added: readonly (readonly [string, Any])[],
    removed: readonly string[],
  ): ReadonlyMap<string, string> {
    return this.configuration.accept({
      typeUrl: type,
      version: "1",
      added: added.map(([name, resource]) => ({ name, version: "v", resource })),
      removed,
    });
  }
}

const eds = (name: string) =>
  clusterOf(`{ name: ${name}, type: EDS, eds_cluster_config: { eds_config: { ads: {} } } }`);
const assignment = (name: string) =>
  endpointsOf(`
cluster_name: ${name}
endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 10.0.0.1, port_value: 80 } } } }] }]`);
const routesTo = (name: string, cluster: string) =>
  routeOf(`
name: ${name}
virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: ${cluster} } }] }]`);
const httpListener = (name: string, route: string): string => `
name: ${name}
address: { socket_address: { address: 0.0.0.0, port_value: 80 } }
filter_chains:
- filters: ${httpWithRoutes(route)}`;
const tcpListener = (name: string, cluster: string): string => `
name: ${name}
address: { socket_address: { address: 0.0.0.0, port_value: 81 } }
filter_chains:
- filters: ${tcpTo(cluster)}`;

const httpFilters = "type.googleapis.com/envoy.extensions.filters.http";
const mutation = `{ "@type": ${httpFilters}.header_mutation.v3.HeaderMutation }`;
/** A listener whose HTTP chain takes a filter from ECDS. */
const discovering = (name: string, more = ""): string => `
name: ${name}
address: { socket_address: { address: 0.0.0.0, port_value: 82 } }
filter_chains:
- filters:
  - name: http
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: http
      route_config: { name: r, virtual_hosts: [] }
      http_filters:
      - { name: settings, config_discovery: { config_source: { ads: {} }, type_urls: [${httpFilters}.header_mutation.v3.HeaderMutation]${more} } }
      - { name: router, typed_config: { "@type": ${httpFilters}.router.v3.Router } }`;

test("a listener waits for the settings of its filters; they change without it, and go with it", () => {
  const bench = new Bench();
  bench.clusters([]);
  bench.listeners([discovering("l")]);
  assert.deepEqual(bench.took(), []);
  assert.deepEqual([...bench.configuration.wantedExtensions()], ["settings"]);
  assert.equal(bench.extension("settings"), undefined);
  assert.deepEqual(bench.took(), ["extension settings header_mutation", "listener l"]);
  bench.extension("settings", mutation.replace(" }", ", mutations: { request_mutations: [{ remove: x }] } }"));
  assert.deepEqual(bench.took(), ["extension settings header_mutation"]);
  assert.equal(bench.configuration.view().extensions.size, 1);
  bench.listeners([], ["l"]);
  bench.configuration.settle();
  assert.deepEqual(bench.took(), ["-listener l", "-extension settings"]);
  assert.deepEqual([...bench.configuration.wantedExtensions()], []);
});

test("a listener that is to wait for settings as long as it takes goes without those that cannot be made ready", () => {
  const bench = new Bench();
  bench.clusters([]);
  bench.listeners([discovering("l").replace("{ ads: {} }", "{ ads: {}, initial_fetch_timeout: 0s }")]);
  bench.clock.advance(3_600_000);
  assert.deepEqual(bench.took(), []);
  bench.configuration.missed(typeUrl.extensionConfig, "settings");
  assert.deepEqual(bench.took(), ["listener l"]);
});

test("what is no such filter is refused, and a listener does not wait for it", () => {
  const bench = new Bench();
  bench.clusters([]);
  bench.listeners([discovering("l")]);
  assert.match(
    bench.extension("settings", `{ "@type": ${httpFilters}.cors.v3.Cors }`) ?? "",
    /extension settings: typed_config: envoy\.extensions\.filters\.http\.cors\.v3\.Cors is not what is asked for: .*HeaderMutation/,
  );
  assert.deepEqual(bench.took(), ["listener l"], "its default counts, or nothing is let through");
  assert.match(
    bench.extension("settings", `{ "@type": ${httpFilters}.router.v3.Router }`) ?? "",
    /Router ends a chain, and has to stand in it/,
  );
  assert.equal(bench.extension("settings"), undefined);
  assert.match(
    bench.extension("settings", '{ "@type": type.googleapis.com/google.protobuf.Duration, value: 1s }') ?? "",
    /the filter google\.protobuf\.Duration/,
  );
  assert.deepEqual(bench.took(), ["extension settings header_mutation"], "the last good one stays");
  bench.extensionsRemoved("settings");
  assert.deepEqual(bench.took(), ["-extension settings"]);
});

test("a listener goes without settings that do not come, and does not wait where its default counts at once", () => {
  const bench = new Bench();
  bench.clusters([]);
  const atOnce = `, default_config: ${mutation}, apply_default_config_without_warming: true`;
  bench.listeners([discovering("a"), discovering("b", atOnce)]);
  assert.deepEqual(bench.took(), ["listener b"]);
  bench.clock.advance(15_000);
  assert.deepEqual(bench.took(), ["listener a"]);
});

test("a listener whose config_discovery cannot be is refused", () => {
  const refusal = (more: string): string => {
    const yaml = discovering("l").replace(/config_discovery: \{.*\} \}/, `config_discovery: { ${more} } }`);
    return [...new Bench().listeners([yaml]).values()].join();
  };
  const types = `type_urls: [${httpFilters}.header_mutation.v3.HeaderMutation]`;
  const ads = "config_source: { ads: {} }";
  assert.equal(refusal(`${ads}, ${types}`), "");
  assert.match(refusal(types), /http_filters\[0\]\.config_discovery\.config_source: is missing/);
  assert.match(refusal(`config_source: { path_config_source: { path: /a } }, ${types}`), /a source other than ads/);
  assert.match(refusal(ads), /type_urls: is empty/);
  assert.match(
    refusal(`${ads}, ${types}, default_config: { "@type": ${httpFilters}.cors.v3.Cors }`),
    /default_config: envoy\.extensions\.filters\.http\.cors\.v3\.Cors is not among type_urls/,
  );
  assert.match(refusal(`${ads}, ${types}, apply_default_config_without_warming: true`), /default_config: is missing/);
});

test("secrets are asked for by name, readiness waits for the answer, and listeners go without what is not there", () => {
  const bench = new Bench();
  bench.clusters([]);
  const tls = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
  const own = "{ name: kubernetes://web, sds_config: { ads: {} } }";
  const socket = `{ name: tls, typed_config: { "@type": type.googleapis.com/${tls}, common_tls_context: { tls_certificate_sds_secret_configs: [${own}] } } }`;
  bench.listeners([`${tcpListener("l", "a")}\n  transport_socket: ${socket}`]);
  assert.deepEqual(bench.took(), ["listener l"]);
  assert.deepEqual([...bench.configuration.wantedSecrets()], ["kubernetes://web"]);
  assert.deepEqual([...bench.secrets.wanted], ["kubernetes://web"]);
  assert.equal(bench.configuration.isReady, false);
  bench.secret("kubernetes://web", null);
  assert.equal(bench.configuration.isReady, true);
  const { chain, key } = selfSigned();
  assert.equal(bench.secret("kubernetes://web", { chain, key }).size, 0);
  assert.equal(bench.secrets.certificate("kubernetes://web")?.privateKey, key);
  const refusal = bench.secret("kubernetes://web", { chain: selfSigned().chain, key }).get("kubernetes://web");
  assert.equal(refusal, "secret kubernetes://web: has a key that is not that of its certificate");
  assert.equal(bench.secrets.certificate("kubernetes://web")?.certificateChain, chain, "the last good one stays");
  bench.listeners([], ["l"]);
  assert.equal(bench.secrets.certificate("kubernetes://web"), undefined, "nothing names it any more");
});

test("a listener waits for its routes, routes for their clusters, clusters for their endpoints", () => {
  const bench = new Bench();
  bench.clusters(["a"]);
  assert.deepEqual(bench.took(), []);
  assert.deepEqual([...bench.configuration.wantedEndpoints()], ["a"]);
  bench.listeners([httpListener("l", "r")]);
  assert.deepEqual([...bench.configuration.wantedRoutes()], ["r"]);
  bench.route("r", "a");
  assert.deepEqual(bench.took(), []);
  assert.equal(bench.configuration.isReady, false);
  assert.deepEqual(bench.configuration.waiting().length, 3);
  bench.endpoints(["a"]);
  assert.deepEqual(bench.took(), ["endpoints a 1", "cluster a", "route r", "listener l"]);
  assert.equal(bench.configuration.isReady, true);
  assert.deepEqual(bench.configuration.waiting(), []);
});

test("nothing that names clusters is used before the first word about clusters", () => {
  const bench = new Bench();
  bench.listeners([tcpListener("l", "c")]);
  assert.deepEqual(bench.took(), []);
  bench.clusters([]);
  assert.deepEqual(bench.took(), ["listener l"]);
});

test("a route keeps its old target until the new cluster is warm", () => {
  const bench = new Bench();
  bench.clusters(["old"]);
  bench.endpoints(["old"]);
  bench.listeners([httpListener("l", "r")]);
  bench.route("r", "old");
  bench.took();
  bench.clusters(["new"], ["old"]);
  bench.route("r", "new");
  assert.deepEqual(bench.took(), [], "the old cluster stays while the route leads to it");
  bench.endpoints(["new"]);
  assert.deepEqual(bench.took(), ["endpoints new 1", "cluster new", "route r", "-cluster old"]);
});

test("a removed cluster that routes still name goes after the grace", () => {
  const bench = new Bench();
  bench.clusters(["a"]);
  bench.endpoints(["a"]);
  bench.listeners([httpListener("l", "r")]);
  bench.route("r", "a");
  bench.took();
  bench.clusters([], ["a"]);
  assert.deepEqual(bench.took(), []);
  bench.clock.advance(4999);
  assert.deepEqual(bench.took(), []);
  bench.clock.advance(1);
  assert.deepEqual(bench.took(), ["-cluster a"]);
});

test("a removed cluster that comes back in time was never gone", () => {
  const bench = new Bench();
  bench.clusters(["a"]);
  bench.endpoints(["a"]);
  bench.listeners([tcpListener("l", "a")]);
  bench.took();
  bench.clusters([], ["a"]);
  bench.clusters(["a"]);
  bench.clock.advance(60_000);
  assert.deepEqual(
    bench.took().filter((line) => line.startsWith("-")),
    [],
  );
});

test("a refused resource leaves the one before in place, and the others of the update are used", () => {
  const bench = new Bench();
  bench.clusters([]);
  bench.listeners([tcpListener("l", "one")]);
  bench.took();
  const broken = `
name: l
address: { socket_address: { address: 0.0.0.0, port_value: 81 } }
filter_chains:
- filters:
  - { name: mystery, typed_config: { "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster } }`;
  const refusals = bench.listeners([broken, tcpListener("other", "one")]);
  assert.deepEqual([...refusals.keys()], ["l"]);
  assert.match(
    refusals.get("l") ?? "",
    /^listener l: filter_chains\[0\]\.filters\[0\]: the network filter mystery \(envoy\.config\.cluster\.v3\.Cluster\) is not supported/,
  );
  assert.deepEqual(bench.took(), ["listener other"]);
  assert.equal(bench.configuration.view().listeners.has("l"), true);
  assert.equal([...bench.configuration.listeners.refusals()][0]?.name, "l");
  bench.listeners([tcpListener("l", "two")]);
  assert.deepEqual(bench.took(), ["listener l"]);
  assert.deepEqual([...bench.configuration.listeners.refusals()], []);
});

test("equal bytes change nothing", () => {
  const bench = new Bench();
  bench.clusters(["a"]);
  bench.endpoints(["a"]);
  bench.took();
  bench.clusters(["a"]);
  bench.endpoints(["a"]);
  assert.deepEqual(bench.took(), []);
});

test("endpoints that do not exist do not hold a cluster up", () => {
  const bench = new Bench();
  bench.clusters(["a"]);
  bench.endpoints([], ["a"]);
  assert.deepEqual(bench.took(), ["cluster a"]);
});

test("a route that does not exist does not hold its listener up", () => {
  const bench = new Bench();
  bench.clusters([]);
  bench.listeners([httpListener("l", "r")]);
  bench.routesRemoved("r");
  assert.deepEqual(bench.took(), ["listener l"]);
});

test("after the fetch timeout, what waits is used without", () => {
  const bench = new Bench();
  bench.clusters(["a"]);
  bench.listeners([httpListener("l", "r")]);
  bench.clock.advance(14_999);
  assert.deepEqual(bench.took(), []);
  bench.clock.advance(1);
  assert.deepEqual(bench.took(), ["cluster a", "listener l"]);
  assert.equal(bench.configuration.isReady, true);
});

test("what nothing names any more is forgotten: routes and endpoints", () => {
  const bench = new Bench();
  bench.clusters(["a"]);
  bench.endpoints(["a"]);
  bench.listeners([httpListener("l", "r")]);
  bench.route("r", "a");
  bench.took();
  bench.listeners([], ["l"]);
  assert.deepEqual(bench.took(), ["-listener l", "-route r"]);
  assert.deepEqual([...bench.configuration.wantedRoutes()], []);
  bench.clusters([], ["a"]);
  assert.deepEqual(bench.took(), ["-cluster a"]);
  assert.equal(bench.configuration.endpoints.size, 0);
});

test("readiness waits until sockets are bound, and a failed bind is tried again", async () => {
  const bench = new Bench();
  let fail = true;
  bench.bind = async () => {
    if (fail) throw new Error("in use");
  };
  bench.clusters([]);
  bench.listeners([tcpListener("l", "c")]);
  await assert.rejects(bench.configuration.bound(), /can't bind listener l/);
  assert.equal(bench.configuration.isReady, false);
  fail = false;
  bench.clock.advance(1000);
  await bench.configuration.bound();
  assert.equal(bench.configuration.isReady, true);
  assert.deepEqual(bench.took(), ["listener l", "listener l"]);
});

test("an update while a socket is being bound is applied afterwards", async () => {
  const bench = new Bench();
  const { promise, resolve } = Promise.withResolvers<void>();
  bench.bind = () => promise;
  bench.clusters([]);
  bench.listeners([tcpListener("l", "one")]);
  bench.listeners([tcpListener("l", "two")]);
  assert.deepEqual(bench.took(), ["listener l"]);
  bench.bind = () => {};
  resolve();
  await bench.configuration.bound();
  assert.deepEqual(bench.took(), ["listener l"]);
});

test("a part that throws does not keep the others from being applied", () => {
  const bench = new Bench();
  bench.bind = () => {
    throw new Error("broken");
  };
  bench.clusters([]);
  bench.listeners([tcpListener("one", "c"), tcpListener("two", "c")]);
  assert.deepEqual(bench.took(), ["listener one", "listener two"]);
});

test("the envelope's name must be the resource's own", () => {
  const bench = new Bench();
  const refusals = bench.configuration.accept({
    typeUrl: typeUrl.cluster,
    version: "1",
    added: [{ name: "a", version: "1", resource: anyPack(ClusterSchema, eds("b")) }],
    removed: [],
  });
  assert.match(refusals.get("a") ?? "", /cluster a: name: "b" differs/);
});
