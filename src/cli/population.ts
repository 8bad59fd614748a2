// Whom a question is about: the running mesh, or the one that files describe.
import { Severity } from "#base/issue.ts";
import type { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import type { CliContext } from "./context.ts";
import type { ChangeableMesh } from "./mesh/changeable-mesh.ts";
import { withMesh } from "./mesh/connection.ts";
import { listPods, type Pod } from "./mesh/pods.ts";
import { readChangeableMesh } from "./mesh/snapshot.ts";
import { printIssues } from "./render/issues.ts";

export interface PopulationFlags {
  readonly filename: readonly string[];
  readonly meshConfig?: string;
}

export interface Population extends ChangeableMesh {
  readonly pods: readonly Pod[];
  /** Nothing says which pods have a sidecar, and all were given one. */
  readonly assumesSidecars: boolean;
}

/** Runs with the mesh that the flags name. `client` is that of the running one; undefined for files. */
export async function withPopulation<T>(
  context: CliContext,
  { filename, meshConfig }: PopulationFlags,
  run: (mesh: Population, client: KubernetesClient | undefined) => Promise<T> | T,
): Promise<T> {
  if (filename.length > 0) {
    const { readOfflineMesh } = await import("./offline/offline-mesh.ts");
    const sources = { paths: filename, meshConfigFile: meshConfig, mayAssumeSidecars: true };
    const mesh = await readOfflineMesh(context, sources);
    printIssues(
      context,
      mesh.issues.filter(({ severity }) => severity === Severity.Error),
    );
    return run(mesh, undefined);
  }
  return withMesh(context, async (client) => {
    const [mesh, pods] = await Promise.all([readChangeableMesh(client), listPods(client)]);
    return run({ ...mesh, pods, assumesSidecars: false }, client);
  });
}
