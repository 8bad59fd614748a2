// Where a benchmark takes place: a folder of its own, free ports, and processes that end with it.
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchProcess } from "./process.ts";

export class Scene {
  readonly folder: string = mkdtempSync(join(tmpdir(), "outrigger-bench-"));
  readonly #running: BenchProcess[] = [];

  constructor() {
    // nginx's workers read here as another user.
    chmodSync(this.folder, 0o755);
  }

  /** Ends the process with the scene. */
  add(process: BenchProcess): BenchProcess {
    this.#running.push(process);
    return process;
  }

  async end(): Promise<void> {
    await Promise.all(this.#running.map((process) => process.stop()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function onScene<T>(play: (scene: Scene) => Promise<T>): Promise<T> {
  const scene = new Scene();
  try {
    return await play(scene);
  } finally {
    await scene.end();
  }
}

/** A port that nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
