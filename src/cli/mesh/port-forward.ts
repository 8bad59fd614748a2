// HTTP to a port inside a pod's network namespace, 127.0.0.1 included, through the API's port-forward.
import { Agent, request as httpRequest } from "node:http";
import type { Duplex } from "node:stream";
import { OutriggerError } from "#base/error.ts";
import type { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";

interface PodResponse {
  readonly status: number;
  readonly body: string;
}

interface PodRequest {
  readonly port: number;
  readonly path: string;
  readonly method?: "GET" | "POST";
}

const timeoutMs = 15_000;

async function requestPod(client: KubernetesClient, pod: KubernetesObject, request: PodRequest): Promise<PodResponse> {
  const { name, namespace } = pod.metadata;
  const path = `/api/v1/namespaces/${namespace ?? "default"}/pods/${name}/portforward?ports=${request.port}`;
  const stream = await client.upgrade(path, "tcp");
  try {
    return await sendOver(stream, request);
  } catch (cause) {
    throw new OutriggerError(
      "POD_UNREACHABLE",
      `pod ${name}.${namespace ?? "default"} port ${request.port}: no answer to ${request.path}`,
      { cause },
    );
  } finally {
    stream.destroy();
  }
}

export async function requestPodJson(
  client: KubernetesClient,
  pod: KubernetesObject,
  request: PodRequest,
): Promise<unknown> {
  return JSON.parse(await requestPodText(client, pod, request));
}

/** The body of an answer with status 200; throws any other. */
export async function requestPodText(
  client: KubernetesClient,
  pod: KubernetesObject,
  request: PodRequest,
): Promise<string> {
  const { status, body } = await requestPod(client, pod, request);
  if (status !== 200)
    throw new OutriggerError(
      "POD_ANSWER",
      `pod ${pod.metadata.name} ${request.path}: status ${status} ${body.slice(0, 200)}`,
    );
  return body;
}

function sendOver(stream: Duplex, request: PodRequest): Promise<PodResponse> {
  return new Promise((resolve, reject) => {
    const agent = new Agent({ maxSockets: 1 });
    // An agent that hands out this one connection.
    agent.createConnection = () => stream;
    const outgoing = httpRequest(
      {
        method: request.method ?? "GET",
        path: request.path,
        agent,
        headers: { host: "localhost", connection: "close" },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("end", () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
        );
        response.once("error", reject);
      },
    );
    outgoing.once("error", reject);
    outgoing.setTimeout(timeoutMs, () => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    outgoing.end();
  });
}
