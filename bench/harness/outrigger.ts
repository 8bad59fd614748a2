// Our proxy as a process of its own, from a bootstrap file, as it is shipped: the bundle of `npm run build`.
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BenchProcess, startProcess, waitForPort } from "./process.ts";
import type { Scene } from "./scene.ts";

export const bundle: string = join(import.meta.dirname, "../../dist/outrigger.cjs");

/** `OUTRIGGER_BENCH_NODE_OPTIONS` adds flags of Node, for profiles. */
export async function startOutrigger(
  scene: Scene,
  name: string,
  bootstrap: object,
  port: number,
  concurrency = 1,
): Promise<BenchProcess> {
  if (!existsSync(bundle)) throw new Error(`${bundle} is missing: npm run build`);
  const path = join(scene.folder, `${name}.json`);
  writeFileSync(path, JSON.stringify(bootstrap));
  const flags = (process.env["OUTRIGGER_BENCH_NODE_OPTIONS"] ?? "").split(" ").filter((flag) => flag !== "");
  const proxy = scene.add(
    startProcess(process.execPath, [...flags, bundle, "proxy", `--concurrency=${concurrency}`, "--config-path", path]),
  );
  await waitForPort(port);
  return proxy;
}
