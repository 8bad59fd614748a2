// `outrigger analyze [FILE...]`: everything that can be said about a configuration, advice included, with istioctl's codes,
// shape and exit code: 79 when something is as bad as `--failure-threshold`.
import type { Command } from "commander";
import { formatObjectRef, type Issue, type ObjectRef, Severity } from "#base/issue.ts";
import type { Analyzer } from "#mesh/analyze/context.ts";
import { type CliContext, print, UsageError } from "../context.ts";
import { meshRuns, withMesh } from "../mesh/connection.ts";
import { analyzeMesh, readWrittenObjects } from "../mesh/snapshot.ts";
import { parseOutputFormat, renderOutput } from "../render/output.ts";
import { collect } from "../repeated-flag.ts";

interface Flags {
  readonly filename: readonly string[];
  readonly meshConfig?: string;
  readonly meshConfigFile?: string;
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly useKube?: string | boolean;
  readonly listAnalyzers?: boolean;
  readonly analyzer: readonly string[];
  readonly color?: string | boolean;
  readonly suppress: readonly string[];
  readonly outputThreshold: string;
  readonly failureThreshold: string;
  readonly output: string;
}

const levels = { Info: Severity.Info, Warning: Severity.Warning, Error: Severity.Error } as const;
type Level = keyof typeof levels;
const names = Object.keys(levels) as Level[];

const failed = 79;

const colors: Readonly<Record<Level, string>> = { Info: "\u001b[34m", Warning: "\u001b[33m", Error: "\u001b[31m" };

export function registerAnalyze(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  program
    .command("analyze [files...]")
    .description("tell what is wrong and what was most likely not meant, in files or in the running mesh")
    .option("-f, --filename <path>", "as an argument; may be repeated", collect, [])
    .option("--mesh-config, --meshConfigFile <file>", "with files: mesh configuration as YAML")
    .option(
      "-k, --use-kube [boolean]",
      "with files: also the mesh that runs here, as if they were applied (default: true)",
    )
    .option("-n, --namespace <namespace>", "only objects of this namespace")
    .option("-A, --all-namespaces", "objects of all namespaces; so it is without -n too")
    .option("-R, --recursive", "accepted: directories are read with all below")
    .option("-L, --list-analyzers", "list what is looked at, and look at nothing")
    .option("--analyzer <name>", "only what this analyzer can find; may be repeated", collect, [])
    .option("--color [boolean]", "levels in colour; by default on a terminal")
    .option(
      "-S, --suppress <code=object>",
      "leave out, as IST0118=Service a.default; * for any; may be repeated",
      collect,
      [],
    )
    .option("--output-threshold <level>", "show what is at least Info, Warning or Error", "Info")
    .option("--failure-threshold <level>", `exit with ${failed} for what is at least Info, Warning or Error`, "Error")
    .option("-o, --output <format>", "log, json or yaml", "log")
    .action(async (files: readonly string[], options: Flags) =>
      finish(await runAnalyze(context, [...files, ...options.filename], options)),
    );
}

async function runAnalyze(context: CliContext, paths: readonly string[], flags: Flags): Promise<number> {
  const { analyzers } = await import("#mesh/analyze/analyzers.ts");
  if (flags.listAnalyzers === true) {
    print(context, analyzers.map(({ name, description }) => `* ${name}:\n    ${description}`).join("\n"));
    return 0;
  }
  const codes = wantedCodes(flags.analyzer, analyzers);
  const hasColor = colorOf(context, flags.color);
  const format = flags.output === "log" ? "table" : parseOutputFormat(flags.output);
  const shownFrom = rankOf(flags.outputThreshold);
  const failsFrom = rankOf(flags.failureThreshold);
  const all = paths.length > 0 ? await ofFiles(context, paths, flags) : await ofMesh(context);
  const found = all.filter((issue) => isAsked(issue, flags) && (codes === undefined || codes.has(issue.code)));
  const shown = found.filter((issue) => rankOf(levelOf(issue)) >= shownFrom);
  print(
    context,
    renderOutput(
      format,
      shown.map(toMessage),
      () => shown.map((issue) => toLine(issue, hasColor)).join("\n") || "✔ No validation issues found.",
    ),
  );
  return found.some((issue) => rankOf(levelOf(issue)) >= failsFrom) ? failed : 0;
}

async function ofFiles(
  context: CliContext,
  paths: readonly string[],
  { meshConfigFile, meshConfig, useKube }: Flags,
): Promise<readonly Issue[]> {
  const { readOfflineMesh } = await import("../offline/offline-mesh.ts");
  const isWanted = booleanOf("--use-kube", useKube);
  // istioctl would fail without a cluster; files alone have a meaning too.
  const observed =
    isWanted === true || (isWanted === undefined && meshRuns(context))
      ? await withMesh(context, readWrittenObjects)
      : undefined;
  const sources = { paths, meshConfigFile: meshConfigFile ?? meshConfig, advice: true };
  return (await readOfflineMesh(context, observed === undefined ? sources : { ...sources, observed })).issues;
}

function wantedCodes(names: readonly string[], analyzers: readonly Analyzer[]): ReadonlySet<string> | undefined {
  if (names.length === 0) return undefined;
  return new Set(
    names.flatMap((name) => {
      const analyzer = analyzers.find((candidate) => candidate.name === name);
      if (analyzer === undefined) throw new UsageError(`there is no analyzer "${name}"; see: outrigger analyze -L`);
      return analyzer.codes;
    }),
  );
}

function booleanOf(flag: string, value: string | boolean | undefined): boolean | undefined {
  if (value === undefined || typeof value === "boolean") return value;
  if (value !== "true" && value !== "false") throw new UsageError(`${flag} is true or false, not "${value}"`);
  return value === "true";
}

function colorOf({ env, stdout }: CliContext, flag: string | boolean | undefined): boolean {
  return booleanOf("--color", flag) ?? (stdout.isTTY === true && (env["NO_COLOR"] ?? "") === "");
}

async function ofMesh(context: CliContext): Promise<readonly Issue[]> {
  return withMesh(context, analyzeMesh);
}

function isAsked(issue: Issue, { namespace, allNamespaces, suppress }: Flags): boolean {
  const isElsewhere = namespace !== undefined && issue.object !== undefined && namespaceOf(issue.object) !== namespace;
  if (isElsewhere && allNamespaces !== true) return false;
  return !suppress.some((rule) => {
    const [code, object = "*"] = rule.split("=");
    return code === issue.code && (object === "*" || object === originOf(issue));
  });
}

function namespaceOf({ kind, namespace, name }: ObjectRef): string {
  return kind === "Namespace" ? name : namespace;
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

function toLine(issue: Issue, hasColor: boolean): string {
  const where = [originOf(issue), placeOf(issue)].filter((part) => part !== undefined && part !== "").join(" ");
  const level = levelOf(issue);
  const shown = hasColor ? `${colors[level]}${level}\u001b[0m` : level;
  return `${shown} [${issue.code}]${where === "" ? "" : ` (${where})`} ${textOf(issue)}`;
}

function textOf({ path, message, fix }: Issue): string {
  return `${path === undefined ? "" : `${path}: `}${message}${fix === undefined ? "" : ` (fix: ${fix})`}`;
}
