// `outrigger kube-inject -f FILE|-`: the pod templates of files with the sidecar in them, without any cluster.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { parse } from "yaml";
import { describeError } from "#base/error.ts";
import { formatIssue, hasErrors } from "#base/issue.ts";
import { injectYaml } from "#mesh/inject/inject-yaml.ts";
import type { InjectionContext, InjectorConfig } from "#mesh/inject/injection.ts";
import { type CliContext, print, printError, UsageError } from "../context.ts";
import { readStdin } from "../read-stdin.ts";

interface Flags {
  readonly filename: string;
  readonly meshConfig?: string;
  readonly values?: string;
  readonly injectConfig?: string;
  readonly revision?: string;
  readonly namespace: string;
}

export function registerKubeInject(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  program
    .command("kube-inject")
    .description("add the sidecar to the workloads of a file and print the result")
    .requiredOption("-f, --filename <file>", "file of YAML, or - for standard input")
    .option("-n, --namespace <namespace>", "namespace of objects that name none", "default")
    .option("--mesh-config, --meshConfigFile <file>", "mesh configuration as YAML")
    .option("--values, --valuesFile <file>", "installation values as YAML")
    .option("--inject-config, --injectConfigFile <file>", "injector configuration as YAML")
    .option("-r, --revision <revision>", "revision of the control plane")
    .action(async (options: Record<string, string>) => finish(await kubeInject(context, readFlags(options))));
}

// commander names an option after its last spelling.
function readFlags(options: Readonly<Record<string, string | undefined>>): Flags {
  const pick = (name: string, value: string | undefined): object => (value === undefined ? {} : { [name]: value });
  return {
    filename: options["filename"] ?? "-",
    namespace: options["namespace"] ?? "default",
    ...pick("meshConfig", options["meshConfigFile"]),
    ...pick("values", options["valuesFile"]),
    ...pick("injectConfig", options["injectConfigFile"]),
    ...pick("revision", options["revision"]),
  };
}

async function kubeInject(context: CliContext, flags: Flags): Promise<number> {
  const read = (file: string): string => readInput(resolve(context.cwd, file), file);
  const settings = (file: string | undefined): object | undefined =>
    file === undefined ? undefined : readMapping(read(file), file);
  const text = flags.filename === "-" ? await readStdin(context) : read(flags.filename);
  const meshConfig = settings(flags.meshConfig);
  const values = settings(flags.values);
  const config = settings(flags.injectConfig);
  const injection: InjectionContext = {
    ...(meshConfig !== undefined && { meshConfig: meshConfig as InjectionContext["meshConfig"] & object }),
    ...(values !== undefined && { values: values as InjectionContext["values"] & object }),
    ...(config !== undefined && { config: config as InjectorConfig }),
    ...(flags.revision !== undefined && { revision: flags.revision }),
  };
  const result = injectYaml(text, { context: injection, namespace: flags.namespace, file: flags.filename });
  for (const sentence of result.skipped) printError(context, sentence);
  for (const issue of result.issues) printError(context, formatIssue(issue));
  print(context, result.text);
  return hasErrors(result.issues) ? 1 : 0;
}

function readInput(path: string, shown: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    throw new UsageError(`${shown}: cannot be read`);
  }
}

function readMapping(text: string, file: string): object {
  let value: unknown;
  try {
    value = parse(text, { version: "1.1" });
  } catch (error) {
    // The parser's first line says what and where; the rest draws it.
    throw new UsageError(`${file}: ${describeError(error).split("\n")[0]?.replace(/:$/, "")}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new UsageError(`${file}: is not a YAML mapping`);
  return value;
}
