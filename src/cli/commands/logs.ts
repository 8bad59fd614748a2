// `outrigger logs POD [-c CONTAINER] [-f]`: what a container wrote.
import type { Command } from "commander";
import { type CliContext, UsageError } from "../context.ts";
import { withMesh } from "../mesh/connection.ts";
import { containerNames, findPod } from "../mesh/pods.ts";

interface LogsOptions {
  readonly namespace: string;
  readonly container?: string;
  readonly follow: boolean;
  readonly previous: boolean;
  readonly tail?: string;
}

export function registerLogs(program: Command, context: CliContext): void {
  program
    .command("logs <pod>")
    .description("print what a container of a pod wrote; the access log is that of container istio-proxy")
    .option("-n, --namespace <namespace>", "namespace of the pod", "default")
    .option("-c, --container <container>", "container; default the first")
    .option("-f, --follow", "go on as it writes", false)
    .option("-p, --previous", "the container's run before its last restart", false)
    .option("--tail <lines>", "only the last lines")
    .action((pod: string, options: LogsOptions) => logs(context, pod, options));
}

async function logs(context: CliContext, argument: string, options: LogsOptions): Promise<void> {
  await withMesh(context, async (client) => {
    const pod = await findPod(client, argument, options.namespace);
    const names = [...containerNames(pod), ...(pod.spec.initContainers ?? []).map((container) => container.name)];
    const container = options.container ?? names[0] ?? "";
    if (!names.includes(container)) {
      throw new UsageError(
        `pod ${pod.metadata.name} has no container "${container}"; it has ${[...new Set(names)].join(", ")}`,
      );
    }
    const query = new URLSearchParams({
      container,
      follow: String(options.follow),
      previous: String(options.previous),
      ...(options.tail !== undefined && { tailLines: options.tail }),
    });
    const stream = await client.stream(
      `/api/v1/namespaces/${pod.metadata.namespace ?? "default"}/pods/${pod.metadata.name}/log?${query}`,
    );
    for await (const chunk of stream) context.stdout.write(chunk as Buffer);
  });
}
