// A proxy in a process of its own whose event loop and heap a test can take: `node troubled-proxy.ts bootstrap.yaml`.
import { LogRegistry } from "#base/log/log.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { processReadings } from "../overload/readings.ts";
import { startProxy } from "../start.ts";

export type Trouble = { readonly turnsOfMs: number } | { readonly heapShare: number } | { readonly over: true };

const proxy = await startProxy({
  node: { id: "troubled", cluster: "troubled", locality: { region: "", zone: "", subZone: "" }, metadata: {} },
  role: "sidecar",
  version: "1.31.0",
  bootstrap: { path: process.argv[2] ?? "" },
  secrets: new SecretStore(),
  log: new LogRegistry({ level: "warn", write: (line) => void process.send?.({ line }) }),
  servers: { admin: { host: "127.0.0.1", port: 0 } },
});

let turnsOfMs = 0;
let ballast: number[][] = [];

function turn(): void {
  if (turnsOfMs === 0) return;
  const end = performance.now() + turnsOfMs;
  while (performance.now() < end);
  setImmediate(turn);
}

async function fill(share: number): Promise<void> {
  const readings = processReadings({ connections: () => 0, nodeOptions: process.execArgv });
  for (;;) {
    const { used, limit } = readings.heap();
    if (used >= limit * share) return;
    ballast.push(Array.from({ length: 16_384 }, (_, i) => i + 0.5));
    if (ballast.length % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

process.on("message", (trouble: Trouble) => {
  if ("heapShare" in trouble) {
    void fill(trouble.heapShare);
  } else if ("turnsOfMs" in trouble) {
    turnsOfMs = trouble.turnsOfMs;
    turn();
  } else {
    turnsOfMs = 0;
    ballast = [];
  }
});
process.on("disconnect", () => process.exit(0));
process.send?.({ port: proxy.listenerPort("in"), adminPort: proxy.adminPort });
