// Reads what `-f` names: files and directories (recursively) of YAML or JSON, `-` for standard input. `images.yaml`
// files among them are kept apart: they are for the embedded cluster, not for its API.
import { isUtf8 } from "node:buffer";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, relative, resolve } from "node:path";
import { type Issue, Severity } from "#base/issue.ts";
import { type ParsedObject, parseYamlDocuments } from "#mesh/objects/yaml.ts";
import { UsageError } from "../context.ts";

export interface LoadedConfiguration {
  readonly objects: readonly ParsedObject[];
  readonly issues: readonly Issue[];
  /** Absolute paths of images.yaml files. */
  readonly imageFiles: readonly string[];
}

/** Paths are resolved against `cwd` and shown relative to it. */
export function loadConfiguration(paths: readonly string[], cwd: string, stdin?: string): LoadedConfiguration {
  const objects: ParsedObject[] = [];
  const issues: Issue[] = [];
  const imageFiles: string[] = [];
  const read = (name: string, text: string, isFound = false): void => {
    const parsed = parseYamlDocuments(name, text);
    objects.push(...parsed.objects);
    issues.push(...(isFound ? foreignAsNotes(parsed.issues, name, text) : parsed.issues));
  };
  for (const path of paths) {
    if (path === "-") {
      read("stdin", stdin ?? "");
      continue;
    }
    const absolute = resolve(cwd, path);
    for (const file of configurationFiles(absolute, path)) {
      if (isImagesFile(file)) imageFiles.push(file);
      else {
        const bytes = readFileSync(file);
        if (!isUtf8(bytes)) issues.push(notUtf8(displayName(file, cwd), bytes));
        else read(displayName(file, cwd), bytes.toString("utf8"), file !== absolute);
      }
    }
  }
  return { objects, issues, imageFiles };
}

/** Other bytes would silently become other text. */
function notUtf8(file: string, bytes: Buffer): Issue {
  const text = bytes.toString("utf8");
  const before = text.slice(0, Math.max(0, text.indexOf("\uFFFD"))).split("\n");
  return {
    code: "OUT0001",
    severity: Severity.Error,
    message: "the file is not UTF-8",
    fix: "save it as UTF-8",
    position: { file, line: before.length, column: (before.at(-1) ?? "").length + 1 },
  };
}

/** What belongs to other tools is passed over in a directory; a file that is named is to hold objects. */
function foreignAsNotes(issues: readonly Issue[], file: string, text: string): Issue[] {
  const [first] = issues;
  if (file.endsWith(".json") && first?.code === "OUT0001" && !text.includes('"apiVersion"')) {
    return [{ ...first, code: "OUT0008", severity: Severity.Info, message: "passed over: no object of Kubernetes" }];
  }
  return issues.map((issue) => {
    if (issue.code !== "OUT0008") return issue;
    return { ...issue, severity: Severity.Info, message: `passed over: ${issue.message}` };
  });
}

/** The files of which something could not be read. */
export function brokenFiles(issues: readonly Issue[]): Set<string> {
  const errors = issues.filter((issue) => issue.severity === Severity.Error);
  return new Set(errors.flatMap(({ position }) => position?.file ?? []));
}

/** Directories that a watcher has to look at: those of the paths and all below. A path that is not there may come. */
export function configurationDirectories(paths: readonly string[], cwd: string): string[] {
  return paths.flatMap((path) => {
    const absolute = resolve(cwd, path);
    if (statSync(absolute, { throwIfNoEntry: false })?.isDirectory() !== true) return [resolve(absolute, "..")];
    const below = readdirSync(absolute, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name));
    return [absolute, ...below].filter((folder) => !isIgnored(relative(absolute, folder)));
  });
}

function configurationFiles(absolute: string, shown: string): string[] {
  if (!statOf(absolute, shown).isDirectory()) return [absolute];
  return readdirSync(absolute, { recursive: true, encoding: "utf8" })
    .filter((path) => /\.(ya?ml|json)$/.test(path) && !isIgnored(path))
    .map((path) => join(absolute, path))
    .filter((path) => statSync(path).isFile())
    .sort();
}

function statOf(absolute: string, shown: string): ReturnType<typeof statSync> & object {
  try {
    return statSync(absolute);
  } catch {
    throw new UsageError(`${shown}: no such file or directory`);
  }
}

function isIgnored(path: string): boolean {
  return path.split("/").some((part) => part === "node_modules" || (part.startsWith(".") && part !== "."));
}

function isImagesFile(path: string): boolean {
  return basename(path) === "images.yaml" || basename(path) === "images.yml";
}

function displayName(file: string, cwd: string): string {
  const path = relative(cwd, file);
  return path.startsWith("..") ? file : path;
}
