// The inside of the sandbox as tests run it: a whole cluster in memory. What the command line does besides is left out.

import { describeError } from "#base/error.ts";
import { LogRegistry } from "#base/log/log.ts";
import type { ImageCatalog } from "../../images.ts";
import { startCluster } from "../../start.ts";
import { openSandboxChannel } from "../channel.ts";
import { startPortForward } from "../port-forward.ts";

interface EntryOptions {
  readonly stateDirectory: string;
  readonly packageRoot: string;
  readonly images: ImageCatalog;
  readonly directories: readonly string[];
  readonly egress: boolean;
}

const channel = await openSandboxChannel();
const options = channel.options as EntryOptions; // of the test that has started this
const log = new LogRegistry({ level: "warn" }).scope("cluster");
try {
  const { egress, ...clusterOptions } = options;
  const onProblem = (egressProblem: string): void => channel.send({ egressProblem });
  const cluster = await startCluster({
    ...clusterOptions,
    ...(egress && { egress: { dial: channel.dial, onProblem } }),
    inMemory: true,
    outriggerCommand: [process.execPath, `${options.packageRoot}/bin/outrigger.ts`],
    log,
    ...(channel.resolver === undefined ? {} : { resolver: channel.resolver }),
  });
  const forward = startPortForward({ channel, pick: cluster.pick, log });
  channel.send({ ready: true });
  await channel.ending;
  await forward.stop();
  await cluster.stop(8_000);
} catch (error) {
  log.error(describeError(error));
  process.exitCode = 1;
}
channel.close();
