// The debug endpoints by Istio's names, as JSON for the CLI and for people. They only read.
import type { DebugAnswer, DebugState, Endpoint } from "./answer.ts";
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
