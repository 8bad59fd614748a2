// The sidecar and the gateway as one process: the proxy's data path and the agent beside it. With --config-path the
// proxy alone, from an Envoy bootstrap, without a control plane.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { ProxyBootstrap } from "#agent/bootstrap/bootstrap.ts";
import type { MeshNames } from "#agent/dns/mesh-names.ts";
import type { Agent } from "#agent/start.ts";
import type { ExtensionModules } from "#agent/wasm/extension-modules.ts";
import { formatIssue } from "#base/issue.ts";
import { LogRegistry } from "#base/log/log.ts";
import { systemClock } from "#base/time/clock.ts";
import type { ProxyOptions, RunningProxy } from "#proxy/options.ts";
import { startProxy } from "#proxy/start.ts";
import type { SocketAddress } from "#wire/gen/envoy/config/core/v3/address_pb.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import { istioVersion } from "#wire/xds/istio-version.ts";
import { nameTableType } from "#wire/xds/name-table.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { type CliContext, printError } from "../context.ts";
import { terminated } from "./terminated.ts";

const podInfo = "/etc/istio/pod";
/** After the agent has waited for connections to end, what is left is cut this soon. */
const lastDrainMs = 1000;
/** How long a proxy without an agent lets connections end. */
const standaloneDrainMs = 5000;
/** A timer holds no more than 24 days. */
const maxDrainMs = 2_000_000_000;
/** More threads than any machine of today has cores for. */
const maxConcurrency = 256;

export async function runProxy(argv: readonly string[], context: CliContext): Promise<number> {
  if (argv.some((word) => word === "--config-path" || word.startsWith("--config-path=")))
    return runStandalone(argv, context);
  const bootstrap = await readBootstrap(argv, context);
  if (bootstrap === undefined) return 1;
  const log = new LogRegistry({ level: "info", json: bootstrap.logAsJson });
  log.setLevel(bootstrap.proxyLogLevel === "debug" ? "debug" : "warn", "upstream");
  const secrets = new SecretStore();
  let agent: Agent | undefined;
  const resolvConf = bootstrap.dnsCapture ? readOptional("/etc/resolv.conf") : "";
  const names = bootstrap.dnsCapture ? await meshNames(bootstrap, resolvConf) : undefined;
  const modules = await wasmModules(log, context.env["WASM_INSECURE_REGISTRIES"] ?? "");
  const { startAgent } = await import("#agent/start.ts");
  const { MetricRegistry } = await import("#base/metrics/registry.ts");
  const proxy = await startProxy({
    node: bootstrap.node,
    role: bootstrap.role,
    version: istioVersion,
    ads: {
      ...adsOptions(bootstrap),
      preparations: new Map([[typeUrl.extensionConfig, (update) => modules.prepare(update)]]),
      ...(names && { otherTypes: new Map([[nameTableType, (update) => names.update(update)]]) }),
    },
    concurrency: bootstrap.concurrency,
    secrets,
    log,
    servers: {
      admin: { host: "127.0.0.1", port: bootstrap.adminPort },
      prometheus: { host: "0.0.0.0", port: bootstrap.prometheusPort },
    },
    explainToClients: context.env["OUTRIGGER_EXPLAIN"] === "true",
    hostEnvironment: context.env,
    quit: () => agent?.terminator.terminate(),
  });
  agent = await startAgent({
    bootstrap,
    proxy: {
      notReadyReason: () => (proxy.ready() ? "" : notReadyReason(proxy)),
      metrics: () => proxy.metrics(),
      drain: () => proxy.startDraining(),
      activeConnections: () => proxy.connectionCount(),
      reportHealth: (report) => proxy.reportHealth(report),
    },
    secrets,
    ...(names && { names, resolvConf }),
    log,
    metrics: new MetricRegistry(),
  });
  const { terminator } = agent;
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => terminator.terminate());
  await terminator.finished;
  await proxy.drain(lastDrainMs);
  await agent.stop();
  await proxy.stop();
  await modules.stop();
  return 0;
}

async function readBootstrap(argv: readonly string[], context: CliContext): Promise<ProxyBootstrap | undefined> {
  const { parseProxyArguments } = await import("#agent/bootstrap/proxy-arguments.ts");
  const { buildBootstrap } = await import("#agent/bootstrap/bootstrap.ts");
  const parsed = parseProxyArguments(argv);
  const result =
    "issues" in parsed
      ? parsed
      : buildBootstrap({
          arguments: parsed.arguments,
          env: context.env,
          podLabels: readOptional(`${podInfo}/labels`),
          podAnnotations: readOptional(`${podInfo}/annotations`),
          cpuCount: availableParallelism(),
        });
  if ("bootstrap" in result) return result.bootstrap;
  for (const issue of result.issues) printError(context, formatIssue(issue));
  return undefined;
}

/** Modules lie beside the process and go with it. */
async function wasmModules(log: LogRegistry, insecureRegistries: string): Promise<ExtensionModules> {
  const { ExtensionModules } = await import("#agent/wasm/extension-modules.ts");
  const { ModuleStore } = await import("#agent/wasm/module-store.ts");
  const { addressFilter } = await import("#base/net/address-filter.ts");
  // Nobody can have made it before.
  const folder = join(tmpdir(), `outrigger-wasm-${randomUUID()}`);
  return new ExtensionModules(
    new ModuleStore({
      folder,
      clock: systemClock,
      isAllowed: addressFilter(),
      insecureRegistries: new Set(insecureRegistries.split(",").map((name) => name.trim())),
    }),
    log.scope("wasm"),
  );
}

async function meshNames({ namespace, domain }: ProxyBootstrap, resolvConf: string): Promise<MeshNames> {
  const { MeshNames } = await import("#agent/dns/mesh-names.ts");
  const { parseResolvConf } = await import("#agent/dns/resolver-settings.ts");
  return new MeshNames({ namespace, domain, searchDomains: parseResolvConf(resolvConf).searchDomains });
}

function adsOptions(bootstrap: ProxyBootstrap): NonNullable<ProxyOptions["ads"]> {
  const { discoveryAddress, rootsPath, tokenPath, extraRoots } = bootstrap;
  const isPlaintext = discoveryAddress.endsWith(":15010");
  return {
    address: discoveryAddress,
    tls: isPlaintext ? null : { rootCertificates: () => [readFileSync(rootsPath, "utf8"), ...extraRoots].join("\n") },
    token: () => readFile(tokenPath, "utf8").then((token) => token.trim(), isPlaintext ? () => undefined : undefined),
  };
}

function notReadyReason(proxy: RunningProxy): string {
  const status = proxy.adsStatus();
  if (status === null || status.connected) return "waiting for the first complete configuration";
  return `not connected to the control plane at ${status.address}${status.lastError === "" ? "" : `: ${status.lastError}`}`;
}

function readOptional(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // a pod without the downward API's files
  }
}

async function runStandalone(argv: readonly string[], context: CliContext): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      "config-path": { type: "string", short: "c", default: "" },
      concurrency: { type: "string", default: "1" },
      "drain-time-s": { type: "string", default: String(standaloneDrainMs / 1000) },
      "drain-strategy": { type: "string", default: "immediate" },
    },
  });
  const concurrency = Number(values.concurrency);
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > maxConcurrency) {
    printError(context, `--concurrency ${values.concurrency} is not a number from 1 to ${maxConcurrency}`);
    return 64;
  }
  const drainMs = Number(values["drain-time-s"]) * 1000;
  if (!(drainMs >= 0 && drainMs <= maxDrainMs)) {
    printError(context, `--drain-time-s ${values["drain-time-s"]} is not a number from 0 to ${maxDrainMs / 1000}`);
    return 64;
  }
  const drainStrategy = values["drain-strategy"];
  if (drainStrategy !== "immediate" && drainStrategy !== "gradual") {
    printError(context, `--drain-strategy ${drainStrategy} is neither immediate nor gradual`);
    return 64;
  }
  const path = values["config-path"];
  const { readBootstrap: readEnvoyBootstrap } = await import("#proxy/xds/bootstrap.ts");
  const { node, admin } = await readEnvoyBootstrap(path);
  const address = admin?.address?.address;
  let quit = (): void => {};
  const ended = Promise.race([terminated(), new Promise<void>((resolve) => (quit = resolve))]);
  const proxy = await startProxy({
    node: {
      id: node?.id ?? "standalone",
      cluster: node?.cluster ?? "standalone",
      locality: node?.locality ?? { region: "", zone: "", subZone: "" },
      metadata: node?.metadata ?? {},
    },
    role: "sidecar",
    version: istioVersion,
    bootstrap: { path },
    concurrency,
    quit: () => quit(),
    drainTimeMs: drainMs,
    drainStrategy,
    secrets: new SecretStore(),
    log: new LogRegistry({ level: "info" }),
    hostEnvironment: context.env,
    servers:
      address?.case === "socketAddress" ? { admin: { host: address.value.address, port: portOf(address.value) } } : {},
  });
  printError(context, "proxy is serving");
  await ended;
  await proxy.drain(drainMs);
  await proxy.stop();
  return 0;
}

function portOf(address: SocketAddress): number {
  return address.portSpecifier.case === "portValue" ? address.portSpecifier.value : 0;
}
