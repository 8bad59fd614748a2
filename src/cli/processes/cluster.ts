// The process inside the sandbox: the embedded cluster, and the ports of the host that lead into it. Started by
// `outrigger up` and by nothing else; what it is told comes over the channel.
import { describeError } from "#base/error.ts";
import { type LogLevel, LogRegistry } from "#base/log/log.ts";
import { type ImageCatalog } from "#cluster/images.ts";
import { openSandboxChannel } from "#cluster/sandbox/channel.ts";
import { startPortForward } from "#cluster/sandbox/port-forward.ts";
import { startCluster } from "#cluster/start.ts";

/** What `up` hands over. */
export interface ClusterProcessOptions {
  readonly stateDirectory: string;
  readonly packageRoot: string;
  readonly images: ImageCatalog;
  readonly directories: readonly string[];
  /** Starts Outrigger inside of a container. */
  readonly outriggerCommand: readonly string[];
  readonly logLevel: LogLevel;
  /** Whether pods may reach what is outside of the cluster. */
  readonly egress: boolean;
}

/** What the cluster tells `up`. */
export interface ClusterEvent {
  /** A connection to the outside that was not made: who, where, why. */
  readonly egressProblem: string;
}

/** On Ctrl-C nobody waits for the grace periods of a cluster: pods get SIGTERM and this long. */
const stopDeadlineMs = 3000;

export async function runCluster(): Promise<number> {
  const channel = await openSandboxChannel();
  const options = channel.options as ClusterProcessOptions;
  const logs = new LogRegistry({ level: options.logLevel });
  const log = logs.scope("cluster");
  // The host decides about the end; a signal to the group is not for this process.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
  process.on("unhandledRejection", (reason) => log.error(`unhandled: ${describeError(reason)}`));
  const { egress, ...clusterOptions } = options;
  const onProblem = (egressProblem: string): void => channel.send({ egressProblem } satisfies ClusterEvent);
  const cluster = await startCluster({
    ...clusterOptions,
    log,
    ...(egress && { egress: { dial: channel.dial, onProblem } }),
    ...(channel.resolver !== undefined && { resolver: channel.resolver }),
  });
  const forward = startPortForward({ channel, pick: (target) => cluster.pick(target), log });
  await channel.ending;
  await forward.stop();
  await cluster.stop(stopDeadlineMs);
  channel.close();
  return 0;
}
