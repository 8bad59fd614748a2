// `npm run build`: the program as a bundle, dist/outrigger.cjs and what it loads lazily. It starts in a third of the
// time and with half of the memory of the sources, because nothing is stripped of types, no module is looked up, and
// the message descriptors carry only what runs. `bin/outrigger` takes it as long as no source is newer.
//
// CommonJS, because an ES module's import of one of Node's own modules evaluates every getter of that module: with
// `node:http` that alone loads Node's whole fetch implementation (14 MB and 17 ms, measured on Node 26.10).
import { join } from "node:path";
import { type Plugin, rolldown } from "rolldown";
import { leanDescriptors } from "./lean-descriptors.ts";

const root = join(import.meta.dirname, "..");

const descriptors: Plugin = {
  name: "lean-descriptors",
  transform: (code, id) => (id.includes("/src/wire/gen/") ? leanDescriptors(code) : null),
};

/** One character beyond latin1 makes V8 keep the whole file with two bytes per character. */
const ascii: Plugin = {
  name: "ascii",
  generateBundle(_, output) {
    for (const chunk of Object.values(output)) if (chunk.type === "chunk") chunk.code = escaped(chunk.code);
  },
};

function escaped(code: string): string {
  return code.replaceAll(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

const bundle = await rolldown({
  cwd: root,
  input: { outrigger: join(root, "bin/outrigger.ts"), "proxy-worker": join(root, "src/proxy/worker-entry.ts") },
  platform: "node",
  // Has a binary of its own for each platform, and is loaded by few.
  external: ["koffi"],
  plugins: [descriptors, ascii],
  onLog: (_level, log) => {
    // As an import that is not resolved, which would fail when it is reached.
    throw new Error(log.message);
  },
});
await bundle.write({
  dir: join(root, "dist"),
  format: "cjs",
  entryFileNames: "[name].cjs",
  chunkFileNames: "[name]-[hash].cjs",
  cleanDir: true,
  // Names and lines stay: a stack trace can be read. Licences of what is bundled stay too.
  comments: { legal: true, annotation: false, jsdoc: false },
});
await bundle.close();
