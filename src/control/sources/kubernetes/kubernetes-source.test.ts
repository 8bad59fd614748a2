import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { systemClock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { KubernetesClient } from "./client.ts";
import { KubernetesSource } from "./kubernetes-source.ts";
import { startFakeApiServer } from "./testing/fake-api-server.ts";

const maps = "/api/v1/configmaps";

function configMap(namespace: string, name: string, data: Readonly<Record<string, string>>): KubernetesObject {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data };
}

test("of ConfigMaps those with settings of the mesh or with trusted roots are kept", async (t) => {
  const api = await startFakeApiServer([maps]);
  t.after(() => api.stop());
  api.put(maps, configMap("istio-system", "istio", { mesh: "{}" }));
  api.put(maps, configMap("shop", "roots", { "ca.crt": "pem" }));
  api.put(maps, configMap("shop", "settings", { mode: "fast" }));
  const client = new KubernetesClient({ socketPath: api.socketPath });
  const source = new KubernetesSource({ client, rootNamespace: "istio-system", log: silentLogger, clock: systemClock });
  t.after(async () => {
    await source.stop();
    client.close();
  });
  let heard: () => void = () => {};
  const changed = (): Promise<void> =>
    new Promise((resolve) => {
      heard = resolve;
    });
  await source.start(() => heard());
  const names = (): string[] => [...source.objects()].map(({ object }) => object.metadata.name).sort();
  assert.deepEqual(names(), ["istio", "roots"]);

  let next = changed();
  api.put(maps, configMap("shop", "settings", { cacert: "pem" }));
  await next;
  assert.deepEqual(names(), ["istio", "roots", "settings"]);
  next = changed();
  api.put(maps, configMap("shop", "roots", {}));
  await next;
  assert.deepEqual(names(), ["istio", "settings"]);
});
