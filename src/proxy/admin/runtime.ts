// `/runtime` and `/runtime_modify`: the layers of the runtime, and changes to the one above all others.

import type { ProxyState } from "./proxy-state.ts";
import { json, type Reply, text } from "./reply.ts";

export function runtimeValues({ runtime }: ProxyState): Reply {
  const { layers } = runtime;
  const keys = [...new Set(layers.flatMap(({ values }) => [...values.keys()]))].sort();
  const entries = keys.map((key) => {
    const values = layers.map((layer) => layer.values.get(key) ?? "");
    return [key, { final_value: values.findLast((value) => value !== "") ?? "", layer_values: values }];
  });
  return json({ layers: layers.map(({ name }) => name), entries: Object.fromEntries(entries) });
}

const usage = `usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN
       or send the parameters as form values
use an empty value to remove a previously added override`;

export function modifyRuntime({ runtime, modifyRuntime: modify }: ProxyState, query: URLSearchParams): Reply {
  const changes = [...query];
  if (changes.length === 0) return text(usage, 400);
  if (!runtime.hasAdmin) return text("No admin layer specified", 503);
  modify(changes);
  return text("OK\n");
}
