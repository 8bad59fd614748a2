// The debug endpoints by Istio's names, as JSON for the CLI and for people. They only read.
import { type DebugAnswer, type DebugState, type Endpoint, findProxy } from "./answer.ts";
import { meshEndpoints } from "./mesh-endpoints.ts";
import { proxyEndpoints } from "./proxy-endpoints.ts";

const endpoints: Readonly<Record<string, Endpoint>> = { ...proxyEndpoints, ...meshEndpoints };
const aliases: Readonly<Record<string, string>> = { endpointShardz: "endpointz", list: "" };

/** Answers `/debug/<name>`; the empty name lists all. */
export async function answerDebug(name: string, query: URLSearchParams, state: DebugState): Promise<DebugAnswer> {
  const key = aliases[name] ?? name;
  if (key === "") {
    const list = Object.entries(endpoints).map(([path, { help }]) => ({ path: `/debug/${path}`, help }));
    return { json: list };
  }
  const endpoint = Object.hasOwn(endpoints, key) ? endpoints[key] : undefined;
  return endpoint?.answer(state, query) ?? { code: 404, message: `there is no /debug/${key}; see /debug` };
}

/** What a namespace may ask about its own proxies, and no other. */
const ofOwnProxies: ReadonlySet<string> = new Set(["config_dump", "edsz"]);

/** Answers a caller that may see the proxies of one namespace only. */
export async function answerOwnProxies(
  name: string,
  query: URLSearchParams,
  state: DebugState,
  namespace: string,
): Promise<DebugAnswer> {
  if (!ofOwnProxies.has(name)) {
    const open = [...ofOwnProxies].join(", ");
    return { code: 403, message: `callers of namespace ${namespace} may ask for ${open} of their own proxies` };
  }
  const wanted = query.get("proxyID");
  // Of proxies elsewhere not even their being there is told.
  if (wanted !== null && wanted !== "" && findProxy(state.connections, wanted)?.node.namespace !== namespace) {
    return { code: 403, message: `${wanted} is no proxy of namespace ${namespace} that is connected to this instance` };
  }
  return answerDebug(name, query, state);
}
