// Istio's debug types over xDS, for who is authenticated: `istio.io/debug` answers what /debug answers over HTTP, by the
// resource's name (`syncz`, `config_dump?proxyID=<pod>.<namespace>`); `istio.io/debug/syncz` has a ClientConfig for each
// proxy and `istio.io/debug/config_dump` Envoy's dumps of one, which is what istioctl reads. The control plane's own
// namespace and those that are allowed see the whole mesh, others what their own proxies were given.
import type { JsonObject } from "@bufbuild/protobuf";
import type { Caller } from "../ca/authenticate.ts";
import type { ProxyConnection } from "../xds/connection.ts";
import type { DebugQuery, DebugReply, DebugResource, DebugTypes } from "../xds/debug-requests.ts";
import { type DebugState, debugJson, findProxy } from "./answer.ts";
import { answerDebug, answerOwnProxies } from "./debug-endpoints.ts";

type Refusal = Extract<DebugReply, { refused: unknown }>;

/** `namespaces`: those that see the whole mesh. */
export function debugTypes(state: DebugState, namespaces: readonly string[]): DebugTypes {
  return async (query) => {
    const { caller, typeUrl } = query;
    if (caller === undefined) {
      return { refused: "unauthenticated", message: "debug types need an authenticated caller: connect over TLS" };
    }
    const seesAll = namespaces.includes(caller.identity.namespace);
    switch (typeUrl) {
      case "istio.io/debug":
        return asHttp(state, query, seesAll ? undefined : caller.identity.namespace);
      case "istio.io/debug/syncz":
        return seesAll ? { resources: await clientConfigs(state) } : denied(caller, "syncz");
      case "istio.io/debug/config_dump":
        return configDump(state, query, seesAll ? undefined : caller);
      default:
        return { refused: "invalid", message: `there is no debug type ${typeUrl}` };
    }
  };
}

async function asHttp(state: DebugState, { names }: DebugQuery, namespace: string | undefined): Promise<DebugReply> {
  const name = oneName(names);
  if (typeof name !== "string") return name;
  const [path = "", query = ""] = name.split("?");
  const parameters = new URLSearchParams(query);
  const answer =
    namespace === undefined
      ? await answerDebug(path, parameters, state)
      : await answerOwnProxies(path, parameters, state, namespace);
  if ("code" in answer && answer.code === 403) return { refused: "denied", message: answer.message };
  // As Istio: what there is to say about a failure is the resource.
  const text = "json" in answer ? debugJson(answer.json) : answer.message;
  return { resources: [{ name, typeUrl: "istio.io/debug", value: Buffer.from(text) }] };
}

function oneName(names: readonly string[]): string | Refusal {
  const [name = "", ...more] = names;
  if (name === "")
    return { refused: "invalid", message: "the resource's name says what is asked: syncz, config_dump?..." };
  if (more.length > 0) return { refused: "invalid", message: "only one debug request at a time" };
  return name;
}

function denied(caller: Caller, what: string): Refusal {
  const { namespace, serviceAccount } = caller.identity;
  return { refused: "denied", message: `${what} is not for ${namespace}/${serviceAccount}` };
}

async function clientConfigs({ connections }: DebugState): Promise<DebugResource[]> {
  const { encodeClientConfig } = await import("./client-config.ts");
  return [...connections.values()].map((connection) => {
    const { id, clusterId, namespace, istioVersion } = connection.node;
    const metadata: JsonObject = { CLUSTER_ID: clusterId, NAMESPACE: namespace, ISTIO_VERSION: istioVersion };
    return encodeClientConfig(id, metadata, connection.types);
  });
}

async function configDump(state: DebugState, { names }: DebugQuery, caller: Caller | undefined): Promise<DebugReply> {
  const name = oneName(names);
  if (typeof name !== "string") return name;
  const connection: ProxyConnection | undefined = findProxy(state.connections, name);
  if (caller !== undefined && connection?.node.namespace !== caller.identity.namespace) {
    return denied(caller, `config_dump of ${name}`);
  }
  if (connection === undefined) return { resources: [] };
  const { encodeConfigDump } = await import("./client-config.ts");
  return { resources: encodeConfigDump(connection.session.resources.byType) };
}
