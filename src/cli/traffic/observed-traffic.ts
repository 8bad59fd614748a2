// What sidecars have counted of the traffic to their workloads, and gateways of theirs, asked of all of them or read from a file that an earlier
// answer was written to.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describeError } from "#base/error.ts";
import type { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import { type InboundCaller, mergeCallers } from "#proxy/stats/inbound-traffic.ts";
import { type CliContext, UsageError } from "../context.ts";
import { hasProxy, isReady, type Pod } from "../mesh/pods.ts";
import { requestPodJson } from "../mesh/port-forward.ts";
import { decodeTraffic } from "./decode-traffic.ts";
import { workloadName } from "./workload-name.ts";

export interface ObservedWorkload {
  /** `reviews-v1.default` */
  readonly workload: string;
  /** From when the first of its sidecars started until they were asked. */
  readonly since: string;
  readonly until: string;
  readonly callers: readonly InboundCaller[];
}

export interface ObservedTraffic {
  readonly workloads: readonly ObservedWorkload[];
  /** Sidecars that did not answer, in words: what their workloads got is missing. */
  readonly problems: readonly string[];
}

interface TrafficSource {
  /** Written earlier; goes before the sidecars. */
  readonly file: string | undefined;
  /** Undefined: there is no mesh to ask. */
  readonly client: KubernetesClient | undefined;
  readonly pods: readonly Pod[];
}

export function findObserved(context: CliContext, { file, client, pods }: TrafficSource): Promise<ObservedTraffic> {
  if (file !== undefined) return Promise.resolve(readTrafficFile(context, file));
  return client === undefined ? Promise.resolve({ workloads: [], problems: [] }) : askSidecars(client, pods);
}

const adminPort = 15000;
const maxFileBytes = 64 * 1024 * 1024;

/** What the sidecars say now. */
async function askSidecars(client: KubernetesClient, pods: readonly Pod[]): Promise<ObservedTraffic> {
  const asked = pods.filter((pod) => hasProxy(pod) && isReady(pod));
  const answers = await Promise.all(asked.map((pod) => askSidecar(client, pod)));
  const byWorkload = new Map<string, ObservedWorkload[]>();
  for (const answer of answers) {
    if (typeof answer === "string") continue;
    byWorkload.set(answer.workload, [...(byWorkload.get(answer.workload) ?? []), answer]);
  }
  return {
    workloads: [...byWorkload].map(([workload, all]) => ({
      workload,
      since: all.map(({ since }) => since).sort()[0] ?? "",
      until:
        all
          .map(({ until }) => until)
          .sort()
          .at(-1) ?? "",
      callers: mergeCallers(all.map(({ callers }) => callers)),
    })),
    problems: answers.filter((answer) => typeof answer === "string"),
  };
}

async function askSidecar(client: KubernetesClient, pod: Pod): Promise<ObservedWorkload | string> {
  const name = `${pod.metadata.name}.${pod.metadata.namespace ?? "default"}`;
  try {
    const answer = await requestPodJson(client, pod, { port: adminPort, path: "/inbound_traffic" });
    const { since, until, callers } = decodeTraffic(answer, name);
    return { workload: workloadName(pod), since, until, callers };
  } catch (error) {
    return `${name}: its sidecar does not say what it has seen: ${describeError(error)}`;
  }
}

/** From a file that `-o json` wrote. */
function readTrafficFile(context: CliContext, path: string): ObservedTraffic {
  let value: unknown;
  try {
    const text = readFileSync(resolve(context.cwd, path), "utf8");
    if (text.length > maxFileBytes) throw new RangeError(`it has more than ${maxFileBytes} characters`);
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${path}: ${describeError(error)}`);
  }
  const list = isRecord(value) ? value["observed"] : undefined;
  if (!Array.isArray(list)) {
    throw new UsageError(`${path}: no observed traffic; write it with: outrigger mtls report -o json > ${path}`);
  }
  const workloads = list.map((item: unknown, index): ObservedWorkload => {
    const place = `${path}: observed[${index}]`;
    const workload = isRecord(item) ? item["workload"] : undefined;
    if (typeof workload !== "string") throw new UsageError(`${place}.workload is not a name as reviews-v1.default`);
    return { workload, ...decodeTraffic(item, place) };
  });
  return { workloads, problems: [] };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
