// `outrigger analyze [FILE...]`: everything that can be said about a configuration, advice included, with istioctl's codes,
// shape and exit code: 79 when something is as bad as `--failure-threshold`.
import type { Command } from "commander";
import { formatObjectRef, type Issue, Severity } from "#base/issue.ts";
import { type CliContext, print, UsageError } from "../context.ts";
import { withMesh } from "../mesh/connection.ts";
import { analyzeMesh } from "../mesh/snapshot.ts";
import { parseOutputFormat, renderOutput } from "../render/output.ts";
import { collect } from "../repeated-flag.ts";

interface Flags {
  readonly filename: readonly string[];
  readonly meshConfig?: string;
  readonly namespace?: string;
  readonly suppress: readonly string[];
  readonly outputThreshold: string;
  readonly failureThreshold: string;
  readonly output: string;
}

const levels = { Info: Severity.Info, Warning: Severity.Warning, Error: Severity.Error } as const;
type Level = keyof typeof levels;
const names = Object.keys(levels) as Level[];

const failed = 79;

export function registerAnalyze(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  program
    .command("analyze [files...]")
    .description("tell what is wrong and what was most likely not meant, in files or in the running mesh")
    .option("-f, --filename <path>", "as an argument; may be repeated", collect, [])
    .option("--mesh-config, --meshConfigFile <file>", "with files: mesh configuration as YAML")
    .option("-n, --namespace <namespace>", "only objects of this namespace")
    .option(
      "-S, --suppress <code=object>",
      "leave out, as IST0118=Service a.default; * for any; may be repeated",
      collect,
      [],
    )
    .option("--output-threshold <level>", "show what is at least Info, Warning or Error", "Info")
    .option("--failure-threshold <level>", `exit with ${failed} for what is at least Info, Warning or Error`, "Error")
    .option("-o, --output <format>", "log, json or yaml", "log")
    .action(async (files: readonly string[], options: Flags & { meshConfigFile?: string }) =>
      finish(await runAnalyze(context, [...files, ...options.filename], options)),
    );
}

async function runAnalyze(
  context: CliContext,
  paths: readonly string[],
  flags: Flags & { readonly meshConfigFile?: string },
): Promise<number> {
  const format = flags.output === "log" ? "table" : parseOutputFormat(flags.output);
  const shownFrom = rankOf(flags.outputThreshold);
  const failsFrom = rankOf(flags.failureThreshold);
  const found = (paths.length > 0 ? await ofFiles(context, paths, flags.meshConfigFile) : await ofMesh(context)).filter(
    (issue) => isAsked(issue, flags),
  );
  const shown = found.filter((issue) => rankOf(levelOf(issue)) >= shownFrom);
  print(
    context,
    renderOutput(format, shown.map(toMessage), () => shown.map(toLine).join("\n") || "✔ No validation issues found."),
  );
  return found.some((issue) => rankOf(levelOf(issue)) >= failsFrom) ? failed : 0;
}

async function ofFiles(
  context: CliContext,
  paths: readonly string[],
  meshConfigFile: string | undefined,
): Promise<readonly Issue[]> {
  const { readOfflineMesh } = await import("../offline/offline-mesh.ts");
  return (await readOfflineMesh(context, { paths, meshConfigFile, advice: true })).issues;
}

async function ofMesh(context: CliContext): Promise<readonly Issue[]> {
  return withMesh(context, analyzeMesh);
}

function isAsked(issue: Issue, { namespace, suppress }: Flags): boolean {
  if (namespace !== undefined && issue.object !== undefined && issue.object.namespace !== namespace) return false;
  return !suppress.some((rule) => {
    const [code, object = "*"] = rule.split("=");
    return code === issue.code && (object === "*" || object === originOf(issue));
  });
}

function levelOf({ severity }: Issue): Level {
  return names.find((name) => levels[name] === severity) ?? "Info";
}

function rankOf(name: string): number {
  const rank = names.findIndex((level) => level.toLowerCase() === name.toLowerCase());
  if (rank === -1) throw new UsageError(`a threshold is ${names.join(", ")}, not "${name}"`);
  return rank;
}

/** As istioctl names objects: `Service a.default`. */
function originOf({ object }: Issue): string | undefined {
  if (object === undefined) return undefined;
  return object.namespace === "" ? formatObjectRef(object) : `${object.kind} ${object.name}.${object.namespace}`;
}

function placeOf({ position }: Issue): string {
  return position === undefined ? "" : `${position.file}:${position.line}`;
}

function toMessage(issue: Issue): object {
  return {
    code: issue.code,
    documentationUrl: issue.code.startsWith("IST")
      ? `https://istio.io/latest/docs/reference/config/analysis/${issue.code.toLowerCase()}/`
      : "",
    level: levelOf(issue),
    message: textOf(issue),
    ...(issue.object !== undefined && { origin: originOf(issue) }),
    ...(issue.position !== undefined && { reference: placeOf(issue) }),
  };
}

function toLine(issue: Issue): string {
  const where = [originOf(issue), placeOf(issue)].filter((part) => part !== undefined && part !== "").join(" ");
  return `${levelOf(issue)} [${issue.code}]${where === "" ? "" : ` (${where})`} ${textOf(issue)}`;
}

function textOf({ path, message, fix }: Issue): string {
  return `${path === undefined ? "" : `${path}: `}${message}${fix === undefined ? "" : ` (fix: ${fix})`}`;
}
