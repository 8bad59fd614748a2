// A control plane as a process of its own, for tests: reads the files that its arguments name, tells its parent the port
// of plaintext xDS, answers each message with its metrics, and hands over on SIGTERM.
import { LogRegistry } from "#base/log/log.ts";
import { createSelfSignedMaterial } from "../ca/material.ts";
import { FileSource } from "../sources/files/file-source.ts";
import { startControlPlane } from "../start.ts";

const log = new LogRegistry({ level: "warn", write: (line) => console.error(line) });
const control = await startControlPlane({
  sources: [new FileSource({ paths: process.argv.slice(2), log: log.scope("files") })],
  ports: { plaintext: 0 },
  host: "127.0.0.1",
  authorityMaterial: createSelfSignedMaterial("cluster.local", Date.now()),
  drainMs: 10_000,
  log,
});
process.on("message", () => process.send?.({ metrics: control.metrics.expose() }));
process.once("SIGTERM", () => {
  void control.stop().then(() => process.exit(0));
});
process.send?.({ port: control.addresses.plaintext?.port });
