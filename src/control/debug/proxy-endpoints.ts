// Debug endpoints about connected proxies.
import type { JsonValue } from "@bufbuild/protobuf";
import { expandHost } from "#mesh/objects/host.ts";
import { objectKey } from "#mesh/objects/mesh-object.ts";
import type { GatewayScope, MeshSnapshot, SidecarScope } from "#mesh/snapshot/snapshot.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { acceptedVersions } from "../status/progress.ts";
import { proxyStatus } from "../status/sync-status.ts";
import { type ProxyConnection, shortTypeNames } from "../xds/connection.ts";
import { sentVersion } from "../xds/type-state.ts";
import { type DebugAnswer, type DebugState, type Endpoint, forProxies, forProxy } from "./answer.ts";
import { loadResourceRenderer } from "./resource-json.ts";

export const proxyEndpoints: Readonly<Record<string, Endpoint>> = {
  syncz: {
    help: "Sync state of every connected proxy, per resource type",
    answer: (state) => ({ json: [...state.connections.values()].map((entry) => proxyStatus(entry, state.now())) }),
  },
  connections: {
    help: "Connected proxies",
    answer: (state) => ({
      json: [...state.connections.values()].map(({ info, identity }) => ({
        connectionId: info.id,
        nodeId: info.node.id,
        peer: info.peer,
        identity,
        connectedAt: new Date(info.connectedAtMs).toISOString(),
      })),
    }),
  },
  adsz: {
    help: "What connected proxies are and what they subscribe to; [?proxyID=<pod>.<namespace>]",
    answer: (state, query) => forProxies(state, query, subscriptions),
  },
  config_dump: {
    help: "Everything that a proxy was given; ?proxyID=<pod>.<namespace>[&types=cds,lds,...]",
    answer: (state, query) => forProxy(state, query, (connection) => dump(connection, query)),
  },
  edsz: {
    help: "Endpoints that a proxy was given; ?proxyID=<pod>.<namespace>",
    answer: (state, query) => forProxy(state, query, (connection) => renderType(connection, typeUrl.endpoint)),
  },
  instancesz: {
    help: "The services that proxies are endpoints of, and on which ports; [?proxyID=<pod>.<namespace>]",
    answer: (state, query) => withScopes(state, query, instances),
  },
  sidecarz: {
    help: "What proxies see: their Sidecar, services and VirtualServices; [?proxyID=<pod>.<namespace>]",
    answer: (state, query) => withScopes(state, query, scopeOf),
  },
  resolve: {
    help: "What a host is for a proxy: service, VirtualServices and DestinationRules; ?proxyID=<pod>.<namespace>&host=",
    answer: (state, query) => resolve(state, query),
  },
  config_distribution: {
    help: "Which proxies have an object, and as it is now; ?resource=<kind>/<namespace>/<name>",
    answer: (state, query) => distribution(state, query),
  },
};

function nameOf({ node }: ProxyConnection): string {
  return `${node.name}.${node.namespace}`;
}

function subscriptions(connection: ProxyConnection): unknown {
  const { info, protocol } = connection;
  const { node } = info;
  return {
    proxy: nameOf(connection),
    connectionId: info.id,
    connectedAt: new Date(info.connectedAtMs).toISOString(),
    address: info.peer,
    protocol,
    proxyType: node.type,
    labels: node.labels,
    locality: node.locality,
    metadata: node.metadata,
    watches: Object.fromEntries(
      [...connection.types].map(([url, { wildcard, subscribed }]) => [
        shortTypeNames[url] ?? url,
        wildcard ? ["*", ...subscribed] : [...subscribed],
      ]),
    ),
  };
}

const dumpNames: Readonly<Record<string, string>> = {
  cds: typeUrl.cluster,
  eds: typeUrl.endpoint,
  lds: typeUrl.listener,
  rds: typeUrl.route,
};

async function dump(connection: ProxyConnection, query: URLSearchParams): Promise<JsonValue> {
  const types = query.get("types")?.split(",") ?? Object.keys(dumpNames);
  const result: Record<string, JsonValue> = {
    proxy: nameOf(connection),
    nodeId: connection.node.id,
    snapshotVersion: connection.session.resources.snapshotVersion,
  };
  for (const type of types) {
    const url = dumpNames[type];
    if (url !== undefined) result[type] = await renderType(connection, url);
  }
  return result;
}

async function renderType(connection: ProxyConnection, url: string): Promise<JsonValue> {
  const render = await loadResourceRenderer();
  const resources = connection.session.resources.byType.get(url)?.values() ?? [];
  const state = connection.types.get(url);
  return [...resources].map((resource) => ({
    name: resource.name,
    version: resource.version,
    /** What the proxy was last sent; the same as version when it is up to date. */
    sentVersion: (state && sentVersion(state, resource.name)) ?? "",
    resource: render(resource),
  }));
}

async function withScopes(
  state: DebugState,
  query: URLSearchParams,
  answer: (connection: ProxyConnection, snapshot: MeshSnapshot) => unknown,
): Promise<DebugAnswer> {
  const snapshot = state.snapshot();
  if (snapshot === undefined) return { code: 503, message: "no snapshot yet" };
  return forProxies(state, query, (connection) => answer(connection, snapshot));
}

function instances(connection: ProxyConnection, snapshot: MeshSnapshot): unknown {
  return {
    proxy: nameOf(connection),
    instances: snapshot.serviceInstances(connection.node).map(({ service, port, targetPort }) => ({
      hostname: service.hostname,
      namespace: service.namespace,
      port: port.number,
      portName: port.name,
      targetPort,
    })),
  };
}

function scopeFor({ node }: ProxyConnection, snapshot: MeshSnapshot): SidecarScope | GatewayScope {
  return node.type === "router" ? snapshot.gateways(node) : snapshot.scope(node);
}

function scopeOf(connection: ProxyConnection, snapshot: MeshSnapshot): unknown {
  const scope = scopeFor(connection, snapshot);
  const isSidecar = "virtualServices" in scope;
  return {
    proxy: nameOf(connection),
    ...(isSidecar && scope.sidecar !== undefined && { sidecar: scope.sidecar.origin }),
    services: scope.services.map(({ hostname }) => hostname),
    virtualServices: virtualServicesIn(scope).map(({ origin }) => origin),
  };
}

function virtualServicesIn(scope: SidecarScope | GatewayScope): SidecarScope["virtualServices"] {
  if ("virtualServices" in scope) return scope.virtualServices;
  return scope.listeners.flatMap(({ servers }) =>
    servers.flatMap((server) => server.virtualServices.map(({ virtualService }) => virtualService)),
  );
}

async function resolve(state: DebugState, query: URLSearchParams): Promise<DebugAnswer> {
  const snapshot = state.snapshot();
  const host = query.get("host");
  if (snapshot === undefined) return { code: 503, message: "no snapshot yet" };
  if (host === null || host === "") return { code: 400, message: "host=<name> is missing" };
  return forProxy(state, query, (connection) => {
    const hostname = expandHost(host, connection.node.namespace, snapshot.domain);
    const scope = scopeFor(connection, snapshot);
    const service = scope.service(hostname);
    return {
      proxy: nameOf(connection),
      hostname,
      service: service ?? null,
      virtualServices: virtualServicesIn(scope)
        .filter(({ spec }) => spec.hosts.some((name) => name.toLowerCase() === hostname))
        .map(({ origin }) => origin),
      destinationRules: service && (scope.destinationRule(service)?.rules ?? []).map(({ origin }) => origin),
    };
  });
}

function distribution(state: DebugState, query: URLSearchParams): DebugAnswer {
  const [kind, namespace, name] = (query.get("resource") ?? "").split("/");
  if (kind === undefined || namespace === undefined || name === undefined || name === "") {
    return { code: 400, message: "resource=<kind>/<namespace>/<name> is missing" };
  }
  const key = objectKey({ kind, namespace, name });
  return {
    json: [...state.connections.values()].flatMap((connection) => {
      const resources = acceptedVersions(connection, key);
      return resources.length === 0 ? [] : [{ proxy: nameOf(connection), resources }];
    }),
  };
}
