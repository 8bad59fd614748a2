// Configuration from YAML files: a directory (with its sub-directories) or single files, with file and line kept.
// Watches directories, not files: an editor that replaces a file and Kubernetes' swap of `..data` are seen only there.
// A file that cannot be read keeps what it said before and gives an issue. A document that is no longer valid costs
// only itself, and what it said before stays in force too.
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { describeError } from "#base/error.ts";
import { DirectoryWatcher } from "#base/files/directory-watcher.ts";
import { hasErrors, type Issue, Severity } from "#base/issue.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import { findKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { type ParsedObject, parseYamlDocuments } from "#mesh/objects/yaml.ts";
import type { SourceObject } from "#mesh/snapshot/read-object.ts";
import { type ConfigSource, type SourceChange, SourceObjects, sourceKey } from "../config-source.ts";

export interface FileSourceOptions {
  /** Directories and files. */
  readonly paths: readonly string[];
  readonly log: Logger;
  readonly clock?: Clock;
  /** Whether changes are followed; default true. */
  readonly watch?: boolean;
  /** File names are given relative to this; default the working directory. */
  readonly relativeTo?: string;
}

interface FileContent {
  readonly text: string;
  readonly objects: readonly SourceObject[];
  /** What a document that is no longer valid held, or may have held: what the file said before and says no more. */
  readonly kept: readonly SourceObject[];
  readonly issues: readonly Issue[];
}

const maxFiles = 10_000;
const maxDepth = 16;

export class FileSource implements ConfigSource {
  readonly name = "files";
  readonly #options: FileSourceOptions;
  readonly #objects = new SourceObjects();
  readonly #watcher: DirectoryWatcher;
  #files = new Map<string, FileContent>();
  #issues: readonly Issue[] = [];
  #onChange: (changes: readonly SourceChange[]) => void = () => {};
  #reading: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: FileSourceOptions) {
    this.#options = options;
    this.#watcher = new DirectoryWatcher({
      onChange: () => this.#readAgain(),
      onProblem: (directory, error) =>
        options.log.warn("directory cannot be watched", { directory, error: describeError(error) }),
      ...(options.clock !== undefined && { clock: options.clock }),
    });
  }

  async start(onChange: (changes: readonly SourceChange[]) => void): Promise<void> {
    await this.#read();
    this.#onChange = onChange;
  }

  objects(): ReturnType<SourceObjects["values"]> {
    return this.#objects.values();
  }

  issues(): readonly Issue[] {
    return this.#issues;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#watcher.stop();
    await this.#reading;
  }

  /** Reads everything again; files whose text is the same are not parsed again. */
  async #read(): Promise<void> {
    const directories = new Set<string>();
    const files = await this.#findFiles(directories);
    if (this.#options.watch !== false) this.#watcher.follow(directories);
    const contents = new Map<string, FileContent>();
    for (const file of files) contents.set(file, await this.#readFile(file));
    if (this.#stopped) return;
    this.#files = contents;
    const issuesBefore = JSON.stringify(this.#issues);
    const duplicates: Issue[] = [];
    const entries = new Map<string, SourceObject>();
    for (const { objects } of contents.values()) {
      for (const entry of objects) addOnce(entries, entry, duplicates);
    }
    for (const entry of [...contents.values()].flatMap((content) => content.kept)) {
      const key = sourceKey(entry.object);
      if (!entries.has(key)) entries.set(key, entry);
    }
    this.#issues = [...[...contents.values()].flatMap((content) => content.issues), ...duplicates];
    const changes = this.#objects.replace([...entries.values()], () => true);
    if (changes.length > 0 || JSON.stringify(this.#issues) !== issuesBefore) this.#onChange(changes);
  }

  async #readFile(file: string): Promise<FileContent> {
    const before = this.#files.get(file);
    const shown = relative(this.#options.relativeTo ?? process.cwd(), file);
    const name = shown.startsWith("..") ? file : shown;
    let text: string;
    try {
      text = await readFile(file, "utf8");
    } catch (error) {
      const message = `the file cannot be read: ${describeError(error)}`;
      const position = { file: name, line: 1, column: 1 };
      const issue: Issue = { code: "OUT0007", severity: Severity.Error, message, position };
      return { text: "", objects: before?.objects ?? [], kept: before?.kept ?? [], issues: [issue] };
    }
    if (before?.text === text) return before;
    const parsed = parseYamlDocuments(name, text);
    const objects = parsed.objects.map(toSourceObject);
    const kept = hasErrors(parsed.issues) ? [...(before?.objects ?? []), ...(before?.kept ?? [])] : [];
    return { text, objects, kept, issues: parsed.issues };
  }

  async #findFiles(directories: Set<string>): Promise<string[]> {
    const files: string[] = [];
    for (const path of this.#options.paths) {
      try {
        if ((await stat(path)).isDirectory()) {
          await walk(path, directories, files, 0, new Set());
        } else {
          directories.add(dirname(path));
          files.push(path);
        }
      } catch (error) {
        // It may come back: its directory stays watched.
        directories.add(dirname(path));
        if (this.#files.size > 0 || this.#options.paths.length === 1) {
          this.#options.log.warn("configuration cannot be read", { path, error: describeError(error) });
        }
      }
    }
    return files;
  }

  #readAgain(): void {
    this.#reading = this.#reading
      .then(() => this.#read())
      .catch((error: unknown) =>
        this.#options.log.error("configuration cannot be read", { error: describeError(error) }),
      );
  }
}

async function walk(
  directory: string,
  directories: Set<string>,
  files: string[],
  depth: number,
  visited: Set<string>,
): Promise<void> {
  // The real path, because `..data` and the files in a mounted ConfigMap are links, and links can make circles.
  const real = await realpath(directory);
  if (visited.has(real) || depth > maxDepth) return;
  visited.add(real);
  directories.add(directory);
  const entries = await readdir(directory, { withFileTypes: true });
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name.startsWith(".") || entry.name === "node_modules" || files.length >= maxFiles) continue;
    const path = join(directory, entry.name);
    const isDirectory = entry.isDirectory() || (entry.isSymbolicLink() && (await isDirectoryLink(path)));
    if (isDirectory) await walk(path, directories, files, depth + 1, visited);
    else if (/\.(ya?ml|json)$/i.test(basename(path))) files.push(path);
  }
}

async function isDirectoryLink(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    // A link to nothing is neither a directory nor a file to read.
    return false;
  }
}

/** The first of two objects with one name counts; the second is reported. */
function addOnce(entries: Map<string, SourceObject>, entry: SourceObject, issues: Issue[]): void {
  const { kind, metadata } = entry.object;
  const key = sourceKey(entry.object);
  const first = entries.get(key);
  if (first === undefined) {
    entries.set(key, entry);
    return;
  }
  const place = first.position?.("");
  const position = entry.position?.("");
  issues.push({
    code: "OUT0005",
    severity: Severity.Error,
    message: `${kind} ${metadata.name} is already defined at ${place?.file}:${place?.line}; this one has no effect`,
    object: { kind, namespace: metadata.namespace ?? "", name: metadata.name },
    ...(position !== undefined && { position }),
    fix: "remove or rename one of them",
  });
}

function toSourceObject(parsed: ParsedObject): SourceObject {
  return { object: withNamespace(parsed.object), position: (path) => parsed.position(path) };
}

function withNamespace(object: KubernetesObject): KubernetesObject {
  const entry = findKind(object.apiVersion, object.kind);
  if (entry?.namespaced !== true || object.metadata.namespace) return object;
  return { ...object, metadata: { ...object.metadata, namespace: "default" } };
}
