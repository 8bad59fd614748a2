// Checks the import direction. The rule is the tables of ARCHITECTURE.md: which part may import which, which libraries a
// part may use, and which layer inside a part may import which. Also checked: `mesh` stays pure, a kind imports no other
// kind, test code is not imported by product code, imports name existing parts, and a part or a layer without a row is
// an error. `npm run layers`.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const root = join(import.meta.dirname, "..");

/** Platform modules that would make `mesh` impure. */
const impure = [
  "fs",
  "net",
  "tls",
  "http",
  "https",
  "http2",
  "dgram",
  "dns",
  "child_process",
  "worker_threads",
  "os",
  "sqlite",
  "timers",
];

export interface Rules {
  readonly parts: ReadonlyMap<string, ReadonlySet<string>>;
  readonly libraries: ReadonlyMap<string, ReadonlySet<string>>;
  /** Part → layer → the layers that it may import. */
  readonly layers: ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>>;
}

export interface SourceFile {
  /** From the project root, as `src/mesh/catalog.ts`. */
  readonly path: string;
  readonly text: string;
}

export function readRules(markdown: string): Rules {
  return {
    parts: readTable(markdown, "## The parts", 2),
    libraries: readTable(markdown, "## Libraries by part", 1),
    layers: new Map(
      [...markdown.matchAll(/^### Inside `([^`]+)`/gm)].map(([heading, part = ""]) => [
        part,
        readTable(markdown, heading, 2),
      ]),
    ),
  };
}

/** One line for each violation: `src/x.ts:3 may not import ...`. */
export function checkLayers(files: readonly SourceFile[], rules: Rules): string[] {
  return files.flatMap((file) => {
    const part = /^src\/([^/]+)\//.exec(file.path)?.[1];
    if (part === undefined) return [];
    if (!rules.parts.has(part)) return [`${file.path}: the part "${part}" has no row in ARCHITECTURE.md`];
    const isTest = file.path.endsWith(".test.ts") || file.path.includes("/testing/");
    return importsOf(file.text).flatMap(({ specifier, line }) => {
      const problem = isTest ? undefined : checkImport(file.path, part, specifier, rules);
      return problem === undefined ? [] : [`${file.path}:${line} ${problem}`];
    });
  });
}

function checkImport(path: string, part: string, specifier: string, rules: Rules): string | undefined {
  if (specifier.startsWith("node:")) {
    const module = specifier.slice(5).split("/")[0] ?? "";
    return part === "mesh" && impure.includes(module) ? `${specifier}: mesh is pure and may not use it` : undefined;
  }
  if (specifier.startsWith(".")) {
    const target = relative(root, resolve(root, dirname(path), specifier));
    if (!target.startsWith(`src/${part}/`))
      return `${specifier}: a border is crossed with #part/..., not a relative path`;
    if (target.endsWith(".test.ts")) return `${specifier}: product code may not import a test`;
    return checkLayer(path, target, part, rules.layers.get(part));
  }
  if (specifier.startsWith("#")) {
    const target = specifier.slice(1).split("/")[0] ?? "";
    if (target === part) return `${specifier}: inside a part imports are relative`;
    return rules.parts.get(part)?.has(target) === true ? undefined : `${part} may not import ${target} (${specifier})`;
  }
  const library = specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
  return rules.libraries.get(part)?.has(library) === true ? undefined : `${part} may not use the library ${library}`;
}

function checkLayer(
  path: string,
  target: string,
  part: string,
  layers: ReadonlyMap<string, ReadonlySet<string>> | undefined,
): string | undefined {
  if (layers === undefined) return undefined;
  const from = layerOf(path, part, layers);
  const to = layerOf(target, part, layers);
  for (const [file, layer] of [[path, from] as const, [target, to] as const])
    if (layer === undefined) return `${file}: its layer in ${part} has no row in ARCHITECTURE.md`;
  if (to === composition) return from === composition ? undefined : `${from} may not import ${target}`;
  if (from === composition || from === undefined || to === undefined) return undefined;
  if (from === to) {
    const kind = /^src\/mesh\/kinds\/[^/]+\//.exec(path)?.[0];
    return kind === undefined || target.startsWith(kind) ? undefined : `a kind may not import another kind (${target})`;
  }
  return layers.get(from)?.has(to) === true ? undefined : `inside ${part}, ${from} may not import ${to} (${target})`;
}

/** What lies at the root of a part without a row. */
const composition = "(composition)";

/** The longest row that the file's path in the part begins with; undefined for a folder without one. */
function layerOf(path: string, part: string, layers: ReadonlyMap<string, unknown>): string | undefined {
  const inner = path.slice(`src/${part}/`.length);
  const rows = [...layers.keys()].filter((row) =>
    row.includes("/") || row.endsWith(".ts") ? inner.startsWith(row) : inner.startsWith(`${row}/`),
  );
  const longest = rows.sort((a, b) => b.length - a.length)[0];
  return longest ?? (inner.includes("/") ? undefined : composition);
}

function importsOf(text: string): { specifier: string; line: number }[] {
  const found: { specifier: string; line: number }[] = [];
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s[^;"']*?from\s*"([^"]+)"|(?:^|\n)\s*import\s*"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/g;
  for (const match of text.matchAll(pattern)) {
    const specifier = match[1] ?? match[2] ?? match[3];
    if (specifier !== undefined)
      found.push({ specifier, line: text.slice(0, match.index + match[0].length).split("\n").length });
  }
  return found;
}

function readTable(markdown: string, heading: string, column: number): Map<string, Set<string>> {
  const section = markdown.slice(markdown.indexOf(heading)).split(/\n##+ /)[0] ?? "";
  const rows = new Map<string, Set<string>>();
  for (const line of section.split("\n")) {
    const cells = line.split("|").slice(1, -1);
    const name = /`([^`]+)`/.exec(cells[0] ?? "")?.[1];
    if (name !== undefined)
      rows.set(name, new Set([...(cells[column] ?? "").matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "")));
  }
  return rows;
}

function sourceFiles(): SourceFile[] {
  return readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && !path.startsWith("wire/gen/"))
    .map((path) => ({ path: `src/${path}`, text: readFileSync(join(root, "src", path), "utf8") }));
}

if (import.meta.main) {
  const problems = checkLayers(sourceFiles(), readRules(readFileSync(join(root, "ARCHITECTURE.md"), "utf8")));
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) {
    console.error(`${problems.length} import(s) against the direction of ARCHITECTURE.md`);
    process.exitCode = 1;
  }
}
