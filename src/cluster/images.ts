// `images.yaml`: which local command stands for which container image. Read on the host, where the folders that pods
// must be able to read are found out; looked up by the node when it starts a container.

import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { LineCounter, parseDocument } from "yaml";
import { type Issue, Severity } from "#base/issue.ts";
import { systemPath } from "./network/run-command.ts";
import { asArray, asRecord, isRecord } from "./store/json.ts";

export interface ImageCommand {
  /** The entry point; a container's `args` are appended, its `command` replaces it. `node` is the pinned Node.js. */
  readonly command: readonly string[];
  /** Used when the container has neither `command` nor `args`. */
  readonly args?: readonly string[];
  readonly workingDir: string;
  readonly user?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** As JSON, so that it can be handed to the sandbox. */
export interface ImageCatalog {
  readonly commandByImage: Readonly<Record<string, ImageCommand>>;
  /** The files it was read from, for messages. */
  readonly files: readonly string[];
}

export interface ImageFiles {
  readonly catalog: ImageCatalog;
  /** Folders that must be visible to pods. */
  readonly directories: readonly string[];
  readonly issues: readonly Issue[];
}

const imageFields = ["command", "args", "workingDir", "user", "env", "directories"];

/** Reads the files; a later one overrides an earlier one's images. What is wrong becomes issues, the rest is used. */
export function readImageFiles(files: readonly string[]): ImageFiles {
  const commandByImage: Record<string, ImageCommand> = Object.create(null) as Record<string, ImageCommand>;
  const directories = new Set<string>();
  const issues: Issue[] = [];
  for (const file of files) readImageFile(resolve(file), { commandByImage, directories, issues });
  return { catalog: { commandByImage, files }, directories: [...directories], issues };
}

interface Target {
  readonly commandByImage: Record<string, ImageCommand>;
  readonly directories: Set<string>;
  readonly issues: Issue[];
}

function readImageFile(file: string, target: Target): void {
  const lines = new LineCounter();
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    target.issues.push(problem(file, 1, 1, `cannot be read: ${reason}`));
    return;
  }
  const document = parseDocument(text, { lineCounter: lines, version: "1.1", uniqueKeys: true });
  const place = (path: readonly string[]): readonly [number, number] => {
    const node: unknown = document.getIn(path, true);
    const range = isRecord(node) && Array.isArray(node["range"]) ? Number(node["range"][0]) : 0;
    const position = lines.linePos(range);
    return [position.line, position.col];
  };
  for (const error of document.errors) {
    const position = lines.linePos(error.pos[0]);
    target.issues.push(problem(file, position.line, position.col, error.message.split("\n")[0] ?? "not YAML"));
  }
  if (document.errors.length > 0) return;
  const content: unknown = document.toJS({ maxAliasCount: 100 });
  const images = asRecord(content)["images"];
  if (!isRecord(images)) {
    target.issues.push(
      problem(file, 1, 1, "has no `images:` map", "images: { my/image: { command: [node, server.ts] } }"),
    );
    return;
  }
  const folder = dirname(realpathSync(file));
  for (const [name, value] of Object.entries(images)) {
    const found = decodeImage(value, folder);
    if (typeof found === "string") {
      target.issues.push(problem(file, ...place(["images", name]), `${name}: ${found}`, undefined, `images.${name}`));
      continue;
    }
    target.commandByImage[imageKey(name)] = found.command;
    for (const directory of [folder, found.command.workingDir, ...found.directories]) target.directories.add(directory);
  }
}

function decodeImage(value: unknown, folder: string): { command: ImageCommand; directories: string[] } | string {
  if (!isRecord(value)) return "must be a map with at least `command`";
  const unknown = Object.keys(value).find((field) => !imageFields.includes(field));
  if (unknown !== undefined) return `unknown field ${unknown}; there are ${imageFields.join(", ")}`;
  const command = asArray(value["command"]).map(String);
  if (command.length === 0) return "`command` must be a list of at least one word";
  const user = value["user"];
  if (user !== undefined && !(Number.isInteger(user) && Number(user) >= 0 && Number(user) <= 65_534)) {
    return "`user` must be a number from 0 to 65534";
  }
  const workingDir = resolve(folder, typeof value["workingDir"] === "string" ? value["workingDir"] : ".");
  if (!existsSync(workingDir)) return `the working folder ${workingDir} does not exist`;
  const directories = asArray(value["directories"]).map((directory) => resolve(folder, String(directory)));
  const missing = directories.find((directory) => !existsSync(directory));
  if (missing !== undefined) return `the folder ${missing} does not exist`;
  const words = command.map((word, index) => absoluteIfFile(word, folder, index === 0));
  const program = words[0] ?? "";
  if (isAbsolute(program) && !existsSync(program)) return `the program ${program} does not exist`;
  const args = asArray(value["args"]).map(String);
  const env = Object.entries(asRecord(value["env"])).map(([key, text]) => [key, String(text)] as const);
  return {
    command: {
      command: words,
      workingDir,
      ...(args.length === 0 ? {} : { args }),
      ...(user === undefined ? {} : { user: Number(user) }),
      ...(env.length === 0 ? {} : { env: Object.fromEntries(env) }),
    },
    directories,
  };
}

/** Words that name a file beside images.yaml become absolute, so that a container's own workingDir does not break them. */
function absoluteIfFile(word: string, folder: string, isProgram: boolean): string {
  if (word.startsWith("-") || isAbsolute(word)) return word;
  const path = join(folder, word);
  if (isProgram) return word.includes("/") ? path : word;
  return /[./]/.test(word) && existsSync(path) ? path : word;
}

function problem(file: string, line: number, column: number, message: string, fix?: string, path?: string): Issue {
  return {
    code: "OUT0602",
    severity: Severity.Error,
    message,
    position: { file, line, column },
    ...(path === undefined ? {} : { path }),
    ...(fix === undefined ? {} : { fix }),
  };
}

export interface BuiltinImage {
  /** Starts Outrigger, as `[process.execPath, ".../bin/outrigger.ts"]`. */
  readonly outriggerCommand: readonly string[];
  readonly workingDir: string;
}

const ownImages = new Set(["outrigger/proxy", "outrigger/pilot"]);

export class Images {
  readonly #catalog: ImageCatalog;
  readonly #builtin: BuiltinImage;

  constructor(catalog: ImageCatalog, builtin: BuiltinImage) {
    this.#catalog = catalog;
    this.#builtin = builtin;
  }

  /** The most exact entry: with its tag, then without. Outrigger's own images match under any registry. */
  find(image: string): ImageCommand | undefined {
    for (const key of [imageKey(image), withoutTag(imageKey(image))]) {
      if (Object.hasOwn(this.#catalog.commandByImage, key)) return this.#catalog.commandByImage[key];
    }
    const name = withoutTag(imageKey(image)).split("/").slice(-2).join("/");
    if (!ownImages.has(name)) return undefined;
    const { outriggerCommand, workingDir } = this.#builtin;
    // Hooks of Istio's pod templates call `pilot-agent` by name; it lies beside the entry point.
    const env = { PATH: `${join(workingDir, "bin")}:${systemPath}` };
    return { command: outriggerCommand, workingDir, user: 1337, env };
  }

  /** What to say when `find` found nothing. */
  explainMissing(image: string): string {
    const { files } = this.#catalog;
    const where =
      files.length === 0 ? "an images.yaml (there is none yet; name it on the command line)" : files.join(" or ");
    const entry = `images: { "${withoutTag(image)}": { command: [node, server.ts] } }`;
    return `no local command is known for image "${image}": add it to ${where}, as ${entry}`;
  }
}

/** The form in which names are compared: without Docker's default registry and without a digest. */
function imageKey(image: string): string {
  const name = image.trim().replace(/@sha256:[0-9a-f]+$/i, "");
  return name.replace(/^(index\.)?docker\.io\//, "").replace(/^library\//, "");
}

function withoutTag(image: string): string {
  const colon = image.lastIndexOf(":");
  return colon > image.lastIndexOf("/") ? image.slice(0, colon) : image;
}
