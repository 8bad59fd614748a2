// `outrigger proxy-config listeners|routes|clusters|endpoints|eds|ecds|secret|bootstrap|all|log POD`: what a proxy has loaded.
// JSON and YAML are the protobuf messages as istioctl prints them.
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import { type CliContext, print, UsageError } from "../../context.ts";
import { withMesh } from "../../mesh/connection.ts";
import { findPod } from "../../mesh/pods.ts";
import { requestPodJson, requestPodText } from "../../mesh/port-forward.ts";
import { readStdin } from "../../read-stdin.ts";
import { parseOutputFormat, renderOutput } from "../../render/output.ts";
import { bootstrapSummary } from "./bootstrap-summary.ts";
import { clusterTable, selectClusters } from "./cluster-table.ts";
import { type ConfigDump, readConfigDump, text } from "./config-dump.ts";
import { assignmentTable, type EndpointFilter, hostTable, selectAssignments, selectHosts } from "./endpoint-table.ts";
import { extensionTable } from "./extension-table.ts";
import { listenerTable, selectListeners } from "./listener-table.ts";
import { loggingPath } from "./log-levels.ts";
import { routeTable } from "./route-table.ts";
import { secretTable } from "./secret-table.ts";

interface Options {
  readonly namespace: string;
  readonly output: string;
  readonly file?: string;
  readonly proxyAdminPort: string;
  readonly fqdn?: string;
  readonly port?: string;
  readonly subset?: string;
  readonly direction?: string;
  readonly address?: string;
  readonly name?: string;
  readonly cluster?: string;
  readonly status?: string;
}

interface View {
  readonly value: unknown;
  readonly table: () => string;
}

export function registerProxyConfig(program: Command, context: CliContext): void {
  const group = program.command("proxy-config").aliases(["pc"]).description("show what a proxy has loaded");
  const add = (
    name: string,
    aliases: string[],
    description: string,
    flags: [string, string][],
    view: (dump: ConfigDump, options: Options) => View,
  ): void => {
    const command = addOptions(group.command(`${name} [pod]`).aliases(aliases).description(description), flags);
    command.action(async (pod: string | undefined, options: Options) => {
      const dump = readConfigDump(await loadDump(context, pod, options));
      show(context, options, view(dump, options));
    });
  };
  add(
    "listeners",
    ["listener", "l"],
    "listeners and their filter chains",
    [
      ["address", "listeners on this address"],
      ["port", "listeners on this port"],
    ],
    (dump, options) => {
      const selected = selectListeners(dump.listeners, { address: options.address, port: options.port });
      return { value: selected, table: () => listenerTable(selected) };
    },
  );
  add("routes", ["route", "r"], "routes by virtual host", [["name", "this route configuration"]], (dump, options) => {
    const selected = dump.routes.filter((route) => options.name === undefined || text(route["name"]) === options.name);
    return { value: selected, table: () => routeTable(selected) };
  });
  add(
    "clusters",
    ["cluster", "c"],
    "clusters",
    [
      ["fqdn", "host name"],
      ["port", "service port"],
      ["subset", "subset"],
      ["direction", "inbound or outbound"],
    ],
    (dump, options) => {
      const { fqdn, port, subset, direction } = options;
      const selected = selectClusters(dump.clusters, { fqdn, port, subset, direction });
      return { value: selected, table: () => clusterTable(selected) };
    },
  );
  add("secret", ["secrets", "s"], "certificates", [], (dump) => ({
    value: dump.secretSection,
    table: () => secretTable(dump.secrets, Date.now()),
  }));
  add("eds", [], "endpoints as the control plane sent them", endpointFlags, (dump, options) => {
    const selected = selectAssignments(dump.endpoints, endpointFilter(options));
    return { value: selected, table: () => assignmentTable(selected) };
  });
  add("ecds", ["ec"], "settings of filters that came by themselves", [], (dump) => ({
    value: dump.extensions,
    table: () => extensionTable(dump.extensions),
  }));
  add("all", ["a"], "everything", [], (dump) => ({
    value: dump.whole,
    table: () =>
      [
        clusterTable(dump.clusters),
        listenerTable(dump.listeners),
        routeTable(dump.routes),
        ...(dump.extensions.length === 0 ? [] : [extensionTable(dump.extensions)]),
        secretTable(dump.secrets, Date.now()),
      ].join("\n"),
  }));
  registerBootstrap(group, context);
  registerEndpoints(group, context);
  registerLog(group, context);
}

function registerBootstrap(group: Command, context: CliContext): void {
  const command = group.command("bootstrap [pod]").aliases(["b"]).description("the bootstrap; -o short for a summary");
  addOptions(command, [], "json").action(async (pod: string | undefined, options: Options) => {
    const { bootstrapSection } = readConfigDump(await loadDump(context, pod, options));
    show(context, options, { value: bootstrapSection, table: () => bootstrapSummary(bootstrapSection) });
  });
}

const endpointFlags: [string, string][] = [
  ["address", "endpoints with this address"],
  ["port", "endpoints with this port"],
  ["cluster", "endpoints of this cluster"],
  ["status", "endpoints in this state, as healthy"],
];

function endpointFilter({ address, port, cluster, status }: Options): EndpointFilter {
  return { address, port, cluster, status };
}

function registerEndpoints(group: Command, context: CliContext): void {
  const command = group
    .command("endpoints [pod]")
    .aliases(["endpoint", "ep"])
    .description("endpoints and their health");
  addOptions(command, endpointFlags).action(async (pod: string | undefined, options: Options) => {
    const clusters = await load(context, pod, options, "/clusters?format=json");
    const selected = selectHosts(clusters, endpointFilter(options));
    show(context, options, { value: selected, table: () => hostTable(selected) });
  });
}

interface LogOptions {
  readonly namespace: string;
  readonly level?: string;
  readonly reset: boolean;
  readonly proxyAdminPort: string;
}

function registerLog(group: Command, context: CliContext): void {
  group
    .command("log <pod>")
    .alias("o")
    .description("show or change the log levels of a proxy")
    .option("-n, --namespace <namespace>", "namespace of the pod", "default")
    .option("--level <levels>", "level for all, as debug, or for some, as xds:debug,listener:warning")
    .option("-r, --reset", "back to the level that proxies start with", false)
    .option("--proxy-admin-port <port>", "admin port of the proxy", "15000")
    .action(async (argument: string, options: LogOptions) => {
      const path = loggingPath(options.level, options.reset);
      const levels = await withMesh(context, async (client) => {
        const pod = await findPod(client, argument, options.namespace);
        const port = adminPort(options.proxyAdminPort);
        const answer = await requestPodText(client, pod, { port, path, method: "POST" });
        return `${pod.metadata.name}.${pod.metadata.namespace ?? "default"}:\n${answer}`;
      });
      print(context, levels);
    });
}

function addOptions(command: Command, flags: readonly [string, string][], output = "table"): Command {
  command
    .option("-n, --namespace <namespace>", "namespace of the pod", "default")
    .option("-o, --output <format>", "table (short, summary), json or yaml", output)
    .option("-f, --file <file>", "read a saved config dump instead of a pod")
    .option("--proxy-admin-port <port>", "admin port of the proxy", "15000");
  for (const [flag, description] of flags) command.option(`--${flag} <${flag}>`, description);
  return command;
}

function loadDump(context: CliContext, pod: string | undefined, options: Options): Promise<unknown> {
  return load(context, pod, options, "/config_dump?include_eds");
}

async function load(
  context: CliContext,
  argument: string | undefined,
  options: Options,
  path: string,
): Promise<unknown> {
  if (options.file !== undefined) return readSaved(context, options.file);
  if (argument === undefined)
    throw new UsageError("name a pod, as productpage-v1.default, or a saved dump with --file");
  return withMesh(context, async (client) => {
    const pod = await findPod(client, argument, options.namespace);
    return requestPodJson(client, pod, { port: adminPort(options.proxyAdminPort), path });
  });
}

async function readSaved(context: CliContext, file: string): Promise<unknown> {
  let saved: string;
  try {
    saved = file === "-" ? await readStdin(context) : await readFile(resolve(context.cwd, file), "utf8");
  } catch {
    throw new UsageError(`${file}: cannot be read`);
  }
  try {
    return JSON.parse(saved);
  } catch {
    throw new UsageError(`${file}: is not JSON`);
  }
}

function adminPort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new UsageError(`"${text}" is not a port from 1 to 65535`);
  return port;
}

function show(context: CliContext, options: Options, view: View): void {
  print(context, renderOutput(parseOutputFormat(options.output), view.value, view.table));
}
