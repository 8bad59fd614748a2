import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { LogRegistry } from "#base/log/log.ts";
import { MetricRegistry } from "#base/metrics/registry.ts";
import { ManualClock } from "#base/time/clock.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { buildBootstrap, type ProxyBootstrap } from "./bootstrap/bootstrap.ts";
import { parseProxyArguments } from "./bootstrap/proxy-arguments.ts";
import { sendAgentRequest } from "./lifecycle/agent-commands.ts";
import { startStatusServer } from "./probes/status-server.ts";
import { startAgent } from "./start.ts";

test("the agent is ready when certificate and proxy are there, and ends in order", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "outrigger-agent-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(join(directory, "root-cert.pem"), "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n");
  writeFileSync(join(directory, "token"), "t");
  const [statusPort, readinessPort] = await freePorts();
  const bootstrap: ProxyBootstrap = {
    ...bootstrapOf({ POD_NAME: "a", POD_NAMESPACE: "default", INSTANCE_IP: "127.0.0.1", CA_ADDR: "127.0.0.1:1" }),
    statusPort,
    readinessPort,
    rootsPath: join(directory, "root-cert.pem"),
    tokenPath: join(directory, "token"),
  };
  const clock = new ManualClock(Date.now());
  const secrets = new SecretStore();
  const steps: string[] = [];
  let waitsFor = "waiting for listeners";
  const agent = await startAgent({
    bootstrap,
    secrets,
    clock,
    log: new LogRegistry({ level: "none" }),
    metrics: new MetricRegistry(),
    proxy: {
      notReadyReason: () => waitsFor,
      metrics: () => "proxy_up 1\n",
      drain: () => void steps.push("drain"),
      activeConnections: () => 0,
      reportHealth: () => {},
    },
  });
  t.after(() => agent.stop());
  const readiness = async (): Promise<string> =>
    (await sendAgentRequest({ port: readinessPort, method: "GET", path: "/healthz/ready" })).body.trim();

  assert.equal(await readiness(), "waiting for a certificate");
  secrets.setCertificate("default", {
    certificateChain: "",
    privateKey: "",
    notAfterMs: 0,
    notBeforeMs: 0,
    serialNumber: "",
    spiffeId: undefined,
  });
  assert.equal(await readiness(), "waiting for listeners");
  waitsFor = "";
  assert.equal(await readiness(), "");
  const metrics = await sendAgentRequest({ port: statusPort, method: "GET", path: "/stats/prometheus" });
  assert.match(metrics.body, /^proxy_up 1$/m);

  await sendAgentRequest({ port: statusPort, method: "POST", path: "drain" });
  agent.terminator.terminate();
  assert.equal(await readiness(), "the proxy is terminating");
  clock.advance(5_000);
  await agent.terminator.finished;
  assert.deepEqual(steps, ["drain"]);
});

function bootstrapOf(env: Record<string, string>): ProxyBootstrap {
  const parsed = parseProxyArguments(["proxy", "sidecar"]);
  assert.ok("arguments" in parsed);
  const built = buildBootstrap({ arguments: parsed.arguments, env, podLabels: "", podAnnotations: "", cpuCount: 1 });
  assert.ok("bootstrap" in built);
  return built.bootstrap;
}

/** Two ports that were free a moment ago. */
async function freePorts(): Promise<readonly [number, number]> {
  const idle = {
    port: 0,
    notReadyReason: () => "",
    probers: {},
    probeHost: "127.0.0.1",
    proxyMetrics: () => "",
    metrics: new MetricRegistry(),
    scrapeTargets: [],
    drain: () => {},
    quit: () => {},
    logger: new LogRegistry({ level: "none" }).scope("x"),
  };
  const servers = [await startStatusServer(idle), await startStatusServer(idle)] as const;
  for (const server of servers) await server.stop();
  return [servers[0].port, servers[1].port];
}
