// The control plane as a process: `outrigger pilot discovery`. In a pod it reads the API server of its cluster; with
// --files it runs without one.
import { parseArgs } from "node:util";
import { Lifecycle } from "#base/lifecycle.ts";
import { type LogLevel, LogRegistry, levels } from "#base/log/log.ts";
import { systemClock } from "#base/time/clock.ts";
import type { ControlPlaneOptions } from "#control/options.ts";
import type { ConfigSource } from "#control/sources/config-source.ts";
import { FileSource } from "#control/sources/files/file-source.ts";
import { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import { inClusterAddress } from "#control/sources/kubernetes/connection.ts";
import { KubernetesSource } from "#control/sources/kubernetes/kubernetes-source.ts";
import { startControlPlane } from "#control/start.ts";
import { parseDuration } from "#mesh/objects/duration.ts";
import { type CliContext, UsageError } from "../context.ts";
import { pilotSettings } from "./pilot-settings.ts";
import { terminated } from "./terminated.ts";

const ports = { plaintext: 15010, tls: 15012, monitoring: 15014, webhook: 15017, http: 8080 };

export async function runPilot(argv: readonly string[], context: CliContext): Promise<number> {
  const { values } = parseArgs({
    args: argv.filter((word) => word !== "discovery"),
    options: {
      files: { type: "string", short: "f", multiple: true },
      log_output_level: { type: "string", default: "default:info" },
      shutdownDuration: { type: "string", default: "10s" },
    },
  });
  const log = new LogRegistry({ level: parseLevel(values.log_output_level) });
  const ended = terminated();
  const lifecycle = new Lifecycle();
  const plane = await startControlPlane({
    ...sourcesOf(context, values.files, log),
    ports,
    log,
    ...pilotSettings(context.env, log.scope("control")),
    environment: context.env,
    // Where Istio's chart mounts jwksResolverExtraRootCA.
    keyRootsFile: "/cacerts/extra.pem",
    // Istio's flag.
    drainMs: parseDuration(values.shutdownDuration) ?? 10_000,
  });
  lifecycle.add(plane);
  await ended;
  await lifecycle.stop();
  return 0;
}

function sourcesOf(
  context: CliContext,
  files: readonly string[] | undefined,
  log: LogRegistry,
): Pick<ControlPlaneOptions, "sources" | "client" | "namespace" | "revision" | "replica"> {
  const sources: ConfigSource[] = [];
  if (files !== undefined)
    sources.push(new FileSource({ paths: files, log: log.scope("files"), relativeTo: context.cwd }));
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = context.env;
  const { POD_NAMESPACE, POD_NAME, HOSTNAME, REVISION } = context.env;
  const replica = POD_NAME ?? HOSTNAME;
  const where = {
    namespace: POD_NAMESPACE ?? "istio-system",
    ...(REVISION !== undefined && { revision: REVISION }),
    ...(replica !== undefined && { replica }),
  };
  if (host === undefined || port === undefined) {
    if (sources.length === 0) throw new UsageError("no configuration: run in a cluster, or name files with --files");
    return { sources, ...where };
  }
  const client = new KubernetesClient(inClusterAddress(host, port));
  sources.push(
    new KubernetesSource({ client, log: log.scope("kubernetes"), clock: systemClock, rootNamespace: where.namespace }),
  );
  return { sources, client, ...where };
}

// Istio's flag: `default:info,ads:debug`; only the default is taken.
function parseLevel(value: string): LogLevel {
  const level = /(?:^|,)default:(\w+)/.exec(value)?.[1] ?? "info";
  return levels.find((known) => known === level) ?? "info";
}
