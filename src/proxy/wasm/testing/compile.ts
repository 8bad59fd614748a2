// Compiles the plugins of tests: AssemblyScript sources beside this file, to real modules. They end in `.as`, because
// AssemblyScript has TypeScript's syntax and other types.
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = join(import.meta.dirname, "plugins");
const sdk = dirname(fileURLToPath(import.meta.resolve("@solo-io/proxy-runtime")));
const sdkPath = "node_modules/@solo-io/proxy-runtime/assembly/";

/** Two files of the older AssemblyScript for which the SDK was written, in terms of the present one. */
const olderLibrary: Readonly<Record<string, string>> = {
  "rt/index-full.ts": `
    export function __retain(pointer: usize): usize { return __pin(pointer); }
    export function __release(pointer: usize): void { __unpin(pointer); }`,
  "bindings/wasi_unstable.ts": `
    @external("wasi_unstable", "proc_exit")
    export declare function proc_exit(code: u32): void;`,
};

/** The part of the compiler that is used here; its own declarations would redefine globals. */
interface Compiler {
  main(
    options: readonly string[],
    system: {
      readFile(path: string, base: string): Promise<string | null>;
      writeFile(path: string, content: string | Uint8Array): void;
      listFiles(): string[];
    },
  ): Promise<{ readonly error: Error | null; readonly stderr: { toString(): string } }>;
}

const compiled = new Map<string, Promise<Uint8Array>>();

/** The module of `plugins/<name>.as`; compiled once in a process. */
export function compilePlugin(name: string): Promise<Uint8Array> {
  let module = compiled.get(name);
  if (module === undefined) {
    module = compile(name);
    compiled.set(name, module);
  }
  return module;
}

async function compile(name: string): Promise<Uint8Array> {
  const { default: asc } = (await import(import.meta.resolve("assemblyscript/asc"))) as { readonly default: Compiler };
  let binary: Uint8Array | null = null;
  const { error, stderr } = await asc.main(
    [`${name}.ts`, "--outFile", "plugin.wasm", "--optimize", "--lib", "older", "--use", "abort=abort_proc_exit"],
    {
      readFile: async (path, base) => {
        if (/^[a-z-]+\.ts$/.test(path)) return await readFile(join(folder, path.replace(/ts$/, "as")), "utf8");
        if (base.endsWith("older")) return olderLibrary[path] ?? null;
        const at = path.indexOf(sdkPath);
        return at < 0 ? null : await readFile(join(sdk, path.slice(at + sdkPath.length)), "utf8").catch(() => null);
      },
      writeFile: (_path, content) => {
        if (typeof content !== "string") binary = content;
      },
      listFiles: () => [],
    },
  );
  if (error !== null || binary === null) throw new Error(`${name} does not compile: ${stderr.toString()}`);
  return binary;
}
