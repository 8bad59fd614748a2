// `outrigger compile -f PATH... --proxy sidecar|router`: what one proxy would get, from files alone. What is wrong in
// them goes to standard error and costs only itself: the exit code is 0 as long as something was read, unless `--strict`.
import type { Command } from "commander";
import { hasErrors } from "#base/issue.ts";
import { type CliContext, print, UsageError } from "../../context.ts";
import { parseLabels } from "../../labels-argument.ts";
import { printIssues } from "../../render/issues.ts";
import { parseOutputFormat, renderOutput } from "../../render/output.ts";
import { collect } from "../../repeated-flag.ts";
import type { ProxyWish } from "./choose-proxy.ts";
import type { Section } from "./compile.ts";

interface Flags {
  readonly filename: readonly string[];
  readonly proxy: string;
  readonly namespace?: string;
  readonly labels?: string;
  readonly ip?: string;
  readonly serviceAccount?: string;
  readonly name?: string;
  readonly meshConfig?: string;
  readonly only?: string;
  readonly strict: boolean;
  readonly output: string;
}

export function registerCompile(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  program
    .command("compile")
    .description("tell from files alone what one proxy would get: listeners, routes, clusters, endpoints")
    .requiredOption("-f, --filename <path>", "file, directory, or - for standard input; may be repeated", collect, [])
    .option("--proxy <type>", "sidecar or router (a gateway)", "sidecar")
    .option(
      "-n, --namespace <namespace>",
      "namespace of the proxy (default: its pod's; without one default, or istio-system for a router)",
    )
    .option("--name <pod>", "the proxy of this pod of the files; a workload's name or app label will do")
    .option("-l, --labels <labels>", "labels of the proxy's workload, as app=reviews,version=v1")
    .option("--ip <address>", "IP address of the proxy")
    .option("--service-account <name>", "service account of the proxy")
    .option("--mesh-config <file>", "mesh configuration as YAML, in place of a ConfigMap istio among the files")
    .option("--only <sections>", "some of listeners,routes,clusters,endpoints,extensions")
    .option("--strict", "exit with 1 when the files have errors", false)
    .option("-o, --output <format>", "json or yaml", "json")
    .addHelpText("after", exitCodes)
    .action(async (flags: Flags) => finish(await compile(context, flags)));
}

const exitCodes = `
Exit code 0: something was compiled; what is wrong in the files is told on standard error.
Exit code 1: a flag is wrong, nothing could be read, or --strict and the files have errors.`;

async function compile(context: CliContext, flags: Flags): Promise<number> {
  const format = parseOutputFormat(flags.output);
  if (format === "table") throw new UsageError("compile writes json or yaml");
  const { compileToJson, sections } = await import("./compile.ts");
  const { chooseProxy } = await import("./choose-proxy.ts");
  const { readOfflineMesh } = await import("../../offline/offline-mesh.ts");
  const only = flags.only === undefined ? sections : parseSections(flags.only, sections);
  const wish = readWish(flags);
  const mesh = await readOfflineMesh(context, { paths: flags.filename, meshConfigFile: flags.meshConfig });
  const compiled = compileToJson(mesh.snapshot, chooseProxy(wish, mesh), only);
  printIssues(context, mesh.issues);
  print(
    context,
    renderOutput(format, compiled, () => ""),
  );
  const isFailure = hasErrors(mesh.issues) && (flags.strict || mesh.objectCount === 0);
  return isFailure ? 1 : 0;
}

function readWish(flags: Flags): ProxyWish {
  const { proxy: type, name, ip, serviceAccount } = flags;
  if (type !== "sidecar" && type !== "router") throw new UsageError(`--proxy is sidecar or router, not "${type}"`);
  return { type, name, namespace: flags.namespace, ip, serviceAccount, labels: parseLabels(flags.labels ?? "") };
}

function parseSections(text: string, sections: readonly Section[]): Section[] {
  const wanted = text.split(",").map((name) => name.trim());
  const unknown = wanted.find((name) => !sections.some((section) => section === name));
  if (unknown !== undefined) throw new UsageError(`--only knows ${sections.join(", ")}, not "${unknown}"`);
  return sections.filter((section) => wanted.includes(section));
}
