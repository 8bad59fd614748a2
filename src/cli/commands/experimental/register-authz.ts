// `outrigger x authz check`.
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { describeError } from "#base/error.ts";
import { type CliContext, print, UsageError } from "../../context.ts";
import { withMesh } from "../../mesh/connection.ts";
import { findPod, hasProxy } from "../../mesh/pods.ts";
import { requestPodJson } from "../../mesh/port-forward.ts";
import { withPopulation } from "../../population.ts";
import { parseOutputFormat, renderOutput } from "../../render/output.ts";
import { type ConfigDump, readConfigDump } from "../proxy-config/config-dump.ts";
import { appliedPolicies, dumpOfText, renderPolicies } from "./authz-check.ts";

interface Flags {
  readonly file?: string;
  readonly meshConfig?: string;
  readonly proxyAdminPort: string;
  readonly namespace: string;
  readonly output: string;
}

export function registerAuthzCheck(parent: Command, context: CliContext): void {
  parent
    .command("authz")
    .description("look into authorization policies")
    .command("check [pod]")
    .description("list the AuthorizationPolicies that are applied in a pod's proxy")
    .option("-f, --file <path>", "a saved config dump, or files of configuration, instead of the running mesh")
    .option("--mesh-config <file>", "with files of configuration: mesh configuration as YAML")
    .option("--proxy-admin-port <port>", "admin port of the proxy", "15000")
    .option("-n, --namespace <namespace>", "namespace of the pod", "default")
    .option("-o, --output <format>", "table, json or yaml", "table")
    .action(async (pod: string | undefined, flags: Flags) => {
      const format = parseOutputFormat(flags.output);
      const policies = appliedPolicies(await findDump(context, pod, flags));
      print(
        context,
        renderOutput(format, policies, () => renderPolicies(policies)),
      );
    });
}

async function findDump(context: CliContext, pod: string | undefined, flags: Flags): Promise<ConfigDump> {
  const saved = flags.file === undefined ? undefined : readSaved(context, flags.file);
  if (saved !== undefined) return saved;
  if (pod === undefined) throw new UsageError("name a pod, or a saved config dump with -f");
  if (flags.file !== undefined) return compiledFor(context, pod, flags.file, flags);
  return withMesh(context, async (client) => {
    const found = await findPod(client, pod, flags.namespace);
    if (!hasProxy(found)) throw new UsageError(`pod ${found.metadata.name} has no sidecar`);
    const port = Number(flags.proxyAdminPort);
    if (!Number.isInteger(port)) throw new UsageError(`"${flags.proxyAdminPort}" is not a port`);
    return readConfigDump(await requestPodJson(client, found, { port, path: "/config_dump" }));
  });
}

function readSaved(context: CliContext, file: string): ConfigDump | undefined {
  const path = resolve(context.cwd, file);
  try {
    return file === "-" || statSync(path).isDirectory() ? undefined : dumpOfText(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UsageError(`${file}: ${describeError(error)}`);
  }
}

/** What the pod's proxy would have, in the shape of a dump. */
function compiledFor(context: CliContext, pod: string, file: string, flags: Flags): Promise<ConfigDump> {
  const population = {
    filename: [file],
    ...(flags.meshConfig !== undefined && { meshConfig: flags.meshConfig }),
  };
  return withPopulation(context, population, async ({ snapshot, pods }) => {
    const { findWorkload } = await import("../explain/workload.ts");
    const { compileToJson } = await import("../compile/compile.ts");
    const { node, name } = findWorkload(pods, pod, flags.namespace, snapshot.meshConfig.trustDomain);
    if (node === undefined) throw new UsageError(`${name} has no sidecar`);
    const { listeners = [] } = compileToJson(snapshot, node, ["listeners"]) as { listeners?: readonly object[] };
    const dynamicListeners = listeners.map((listener) => ({ activeState: { listener } }));
    return readConfigDump({ configs: [{ "@type": "envoy.admin.v3.ListenersConfigDump", dynamicListeners }] });
  });
}
