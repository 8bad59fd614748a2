// For tests: a mesh as commands see it, without any process of it: an API server, pods that are only objects, and one
// HTTP server that answers for every port of every pod.
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname } from "node:path";
import { type LocalCluster, setReady, startLocalCluster } from "#cluster/controllers/local-cluster.test-support.ts";
import { pods } from "#cluster/store/resources.ts";
import type { ObjectStore } from "#cluster/store/store.ts";
import { type CliResult, run } from "./run-cli.ts";

export interface MeshApi {
  readonly cluster: LocalCluster;
  /** `METHOD path` of everything that was asked of pods. */
  readonly asked: string[];
  /** Body, or status code, by path without query. */
  readonly answers: Map<string, unknown>;
  run(...argv: string[]): Promise<CliResult>;
  stop(): Promise<void>;
}

/** With a sidecar in every pod; `name.namespace`. */
export async function startMeshApi(podNames: readonly string[]): Promise<MeshApi> {
  const asked: string[] = [];
  const answers = new Map<string, unknown>();
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const answer = answers.get(pathOf(request)) ?? 404;
    if (typeof answer === "number") response.writeHead(answer);
    response.end(typeof answer === "string" ? answer : typeof answer === "number" ? "no\n" : JSON.stringify(answer));
  });
  await listen(server);
  const cluster = await startLocalCluster({
    controllers: false,
    dialPort: (server.address() as AddressInfo).port,
  });
  const stop = async (): Promise<void> => {
    await cluster.stop();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  try {
    for (const pod of podNames) createPod(cluster.store, pod);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    cluster,
    asked,
    answers,
    run: (...argv) => run(argv, { env: { OUTRIGGER_STATE_DIR: dirname(cluster.socketPath) } }),
    stop,
  };
}

// Past admission, which would want a service account.
function createPod(store: ObjectStore, fullName: string): void {
  const [name = "", namespace = ""] = fullName.split(".");
  const containers = ["app", "istio-proxy"].map((container) => ({ name: container, image: "x" }));
  store.create(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { app: name } },
    spec: { containers },
  });
  setReady(store, namespace, name, true);
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").replace(/\?.*$/, "");
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
}
