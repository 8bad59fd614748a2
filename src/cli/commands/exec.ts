// `outrigger exec POD [-c CONTAINER] [-i] -- COMMAND`: runs a command in a container and ends with its exit code.
import type { Duplex } from "node:stream";
import type { Command } from "commander";
import { ExecChannel, encodeFrame, execProtocol, FrameReader, maxFrameBytes } from "#wire/exec/frames.ts";
import { type CliContext, UsageError } from "../context.ts";
import { withMesh } from "../mesh/connection.ts";
import { containerNames, findPod } from "../mesh/pods.ts";

interface Flags {
  readonly namespace: string;
  readonly container?: string;
  readonly stdin: boolean;
}

export function registerExec(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  program
    .command("exec <pod> <command...>")
    .description("run a command in a container")
    .option("-n, --namespace <namespace>", "namespace of the pod", "default")
    .option("-c, --container <container>", "container; default the first")
    .option("-i, --stdin", "pass standard input on", false)
    .action(async (pod: string, command: string[], flags: Flags) => finish(await exec(context, pod, command, flags)));
}

function exec(context: CliContext, argument: string, command: readonly string[], flags: Flags): Promise<number> {
  return withMesh(context, async (client) => {
    const pod = await findPod(client, argument, flags.namespace);
    const names = containerNames(pod);
    const container = flags.container ?? names[0] ?? "";
    if (!names.includes(container)) {
      throw new UsageError(`pod ${pod.metadata.name} has no container "${container}"; it has ${names.join(", ")}`);
    }
    const query = new URLSearchParams([["container", container], ...command.map((word) => ["command", word])]);
    const path = `/api/v1/namespaces/${pod.metadata.namespace ?? "default"}/pods/${pod.metadata.name}/exec?${query}`;
    const stream = await client.upgrade(path, execProtocol);
    return relay(stream, context, flags.stdin);
  });
}

function relay(stream: Duplex, context: CliContext, passInput: boolean): Promise<number> {
  const send = (data: Uint8Array): boolean => stream.write(encodeFrame(ExecChannel.Input, data));
  if (passInput) {
    context.stdin.on("data", (data: Buffer) => {
      for (let at = 0; at < data.length; at += maxFrameBytes) send(data.subarray(at, at + maxFrameBytes));
    });
    context.stdin.once("end", () => send(Buffer.alloc(0)));
  } else send(Buffer.alloc(0));
  return new Promise((resolve, reject) => {
    const reader = new FrameReader((channel, data) => {
      if (channel === ExecChannel.Output) context.stdout.write(data);
      else if (channel === ExecChannel.Errors) context.stderr.write(data);
      else if (channel === ExecChannel.ExitCode) resolve(Number(data.toString()));
    });
    stream.on("data", (bytes: Buffer) => {
      if (!reader.push(bytes)) stream.destroy(new Error("the API server sent a frame that is too long"));
    });
    stream.once("error", reject);
    stream.once("close", () => reject(new UsageError("the connection ended before the command did")));
  });
}
