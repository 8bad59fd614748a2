// The way from a command to the mesh that runs here: the embedded cluster's API over its Unix socket.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import { type CatalogEntry, findKind } from "#mesh/catalog.ts";
import { type CliContext, stateDirectory, UsageError } from "../context.ts";

function apiSocket(context: CliContext): string {
  return join(stateDirectory(context), "api.sock");
}

/** Whether there is a mesh to ask. */
export function meshRuns(context: CliContext): boolean {
  return existsSync(apiSocket(context));
}

/** Runs with a client of the running mesh and closes it afterwards. */
export async function withMesh<T>(context: CliContext, run: (client: KubernetesClient) => Promise<T>): Promise<T> {
  const socketPath = apiSocket(context);
  if (!existsSync(socketPath)) {
    throw new UsageError(`no mesh runs here (looked for ${socketPath}); start one with: outrigger up -f DIRECTORY`);
  }
  const client = new KubernetesClient({ socketPath });
  try {
    return await run(client);
  } finally {
    client.close();
  }
}

export function kind(apiVersion: string, name: string): CatalogEntry {
  const entry = findKind(apiVersion, name);
  if (entry === undefined) throw new UsageError(`${apiVersion} ${name} is not a kind that is served here`);
  return entry;
}

export const podKind: CatalogEntry = kind("v1", "Pod");
export const deploymentKind: CatalogEntry = kind("apps/v1", "Deployment");
