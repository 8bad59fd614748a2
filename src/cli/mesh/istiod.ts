// The debug endpoints of every control-plane instance, over port-forward.
import { hasCode } from "#base/error.ts";
import type { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import { UsageError } from "../context.ts";
import { isReady, listPods, type Pod } from "./pods.ts";
import { requestPodJson } from "./port-forward.ts";

const monitoringPort = 15014;

export interface IstiodAnswer {
  readonly pod: Pod;
  readonly value: unknown;
}

/** Asks each ready istiod pod; throws when there is none. */
export async function askIstiods(client: KubernetesClient, path: string): Promise<IstiodAnswer[]> {
  const pods = await readyIstiods(client);
  return Promise.all(
    pods.map(async (pod) => ({ pod, value: await requestPodJson(client, pod, { port: monitoringPort, path }) })),
  );
}

/** What the control plane generated for a proxy: the answer of the instance that the proxy is connected to. */
export async function askIstiodOf(client: KubernetesClient, proxy: string): Promise<unknown> {
  const path = `/debug/config_dump?proxyID=${encodeURIComponent(proxy)}`;
  for (const pod of await readyIstiods(client)) {
    try {
      return await requestPodJson(client, pod, { port: monitoringPort, path });
    } catch (error) {
      // The other instances answer that they do not know it.
      if (!hasCode(error, "POD_ANSWER")) throw error;
    }
  }
  throw new UsageError(`proxy ${proxy} is connected to no control plane; see: outrigger proxy-status`);
}

/** Names of control planes that cannot be asked: what proxies that are connected to them have is not known. */
export async function silentIstiods(client: KubernetesClient): Promise<string[]> {
  return (await istiods(client)).filter((pod) => !isReady(pod)).map(({ metadata }) => metadata.name);
}

async function readyIstiods(client: KubernetesClient): Promise<Pod[]> {
  const pods = (await istiods(client)).filter(isReady);
  if (pods.length === 0)
    throw new UsageError(
      "no control plane is ready in namespace istio-system; see: outrigger logs deploy/istiod.istio-system",
    );
  return pods;
}

async function istiods(client: KubernetesClient): Promise<Pod[]> {
  return (await listPods(client, "istio-system")).filter((pod) => pod.metadata.labels?.["app"] === "istiod");
}
