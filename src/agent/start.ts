// Starts what runs beside the proxy in one process: identity, the status server, the readiness port and the order of
// the end. The proxy is known only by the functions that it hands in.
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { describeError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import { Lifecycle } from "#base/lifecycle.ts";
import type { LogRegistry } from "#base/log/log.ts";
import type { MetricRegistry } from "#base/metrics/registry.ts";
import { type Clock, systemClock } from "#base/time/clock.ts";
import type { SecretStore } from "#wire/tls/secrets.ts";
import type { ProxyBootstrap } from "./bootstrap/bootstrap.ts";
import { startDnsProxy } from "./dns/dns-proxy.ts";
import type { MeshNames } from "./dns/mesh-names.ts";
import { parseResolvConf } from "./dns/resolver-settings.ts";
import { FileSecrets } from "./identity/file-secrets.ts";
import { outputCerts } from "./identity/output-certs.ts";
import { certificateName, type Identity, startIdentity } from "./identity/start-identity.ts";
import { Terminator } from "./lifecycle/terminator.ts";
import { startReadinessServer, startStatusServer } from "./probes/status-server.ts";
import { type HealthReport, WorkloadHealth } from "./probes/workload-health.ts";
import { isServed, startSecretServer } from "./sds/secret-server.ts";
import { startSocketIdentity } from "./sds/socket-identity.ts";

/** What the agent asks of the proxy. */
interface ProxyHooks {
  /** Empty when it serves; otherwise what it waits for, in words. */
  notReadyReason(): string;
  /** Its page of metrics. */
  metrics(): string | Promise<string>;
  /** Takes no new work: GOAWAY, `connection: close`. */
  drain(): void | Promise<void>;
  activeConnections(): number;
  /** Tells the control plane how the workload is. */
  reportHealth(report: HealthReport): void;
}

export interface AgentOptions {
  readonly bootstrap: ProxyBootstrap;
  readonly proxy: ProxyHooks;
  readonly secrets: SecretStore;
  /** What the DNS proxy answers; absent where DNS is not captured. */
  readonly names?: MeshNames;
  /** The text of resolv.conf. */
  readonly resolvConf?: string;
  readonly log: LogRegistry;
  /** The agent's own metrics. */
  readonly metrics: MetricRegistry;
  readonly clock?: Clock;
  /** Name in the certificate service's certificate, where it differs from the host of CA_ADDR. */
  readonly caServerName?: string;
}

export interface Agent extends Running {
  readonly identity: Identity;
  /** Bind SIGTERM and SIGINT to `terminate()`; the process ends after `finished`. */
  readonly terminator: Terminator;
}

const dnsPort = 15_053;

function startDns(names: MeshNames, { resolvConf = "", log }: AgentOptions): Promise<Running> {
  const resolvers = parseResolvConf(resolvConf).nameServers.map((address) => ({ address, port: 53 }));
  return startDnsProxy({ names, host: "127.0.0.1", port: dnsPort, resolvers, log: log.scope("dns") });
}

export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { bootstrap, proxy, secrets, log, metrics, clock = systemClock } = options;
  const lifecycle = new Lifecycle();
  const terminator = new Terminator({
    policy: bootstrap,
    drain: () => proxy.drain(),
    activeConnections: () => proxy.activeConnections(),
    logger: log.scope("agent"),
    clock,
  });
  const notReadyReason = (): string => {
    if (terminator.phase === "terminating" || terminator.phase === "stopped") return "the proxy is terminating";
    if (secrets.certificate(certificateName) === undefined) return "waiting for a certificate";
    return options.names?.isReady === false ? "waiting for the name table" : proxy.notReadyReason();
  };
  try {
    if (bootstrap.statusPort !== 0) {
      const server = await startStatusServer({
        port: bootstrap.statusPort,
        notReadyReason,
        probers: bootstrap.appProbers,
        probeHost: bootstrap.probeHost,
        proxyMetrics: () => proxy.metrics(),
        metrics,
        scrapeTargets: bootstrap.scrapeTargets,
        drain: () => terminator.drain(),
        quit: () => terminator.terminate(),
        logger: log.scope("status"),
      });
      lifecycle.add(server);
    }
    if (options.names !== undefined) lifecycle.add(await startDns(options.names, options));
    if (bootstrap.readinessProbe !== undefined) {
      const health = new WorkloadHealth({
        probe: bootstrap.readinessProbe,
        host: bootstrap.probeHost,
        clock,
        onHealth: (report) => {
          log
            .scope("health")
            .info(report.isHealthy ? "the workload is well" : "the workload is not well", { ...report });
          proxy.reportHealth(report);
        },
      });
      lifecycle.add(health);
      health.start();
    }
    lifecycle.add(new FileSecrets({ secrets, log: log.scope("secrets"), clock }));
    lifecycle.add(await startReadinessServer({ port: bootstrap.readinessPort, notReadyReason }));
    if (bootstrap.outputCerts !== "") lifecycle.add(outputCerts(bootstrap.outputCerts, secrets, log.scope("identity")));
    const identity = await findIdentity(options, lifecycle);
    lifecycle.add(identity);
    return { identity, terminator, stop: () => lifecycle.stop() };
  } catch (error) {
    await lifecycle.stop();
    throw error;
  }
}

/** Another provider's socket, where one is served; else our own certificate, and a socket of ours for others. */
async function findIdentity(options: AgentOptions, lifecycle: Lifecycle): Promise<Identity> {
  const { bootstrap, secrets, log, metrics, clock = systemClock } = options;
  const { sdsSocket: socket } = bootstrap;
  const logger = log.scope("identity");
  if (bootstrap.needsExternalSds || (await isServed(socket))) {
    return startSocketIdentity({ socket, nodeId: bootstrap.node.id, secrets, log: logger, metrics, clock });
  }
  if (existsSync(dirname(socket))) {
    try {
      lifecycle.add(await startSecretServer(socket, { secrets, log: log.scope("sds") }));
    } catch (error) {
      // The proxy has its secrets in memory: only others miss the socket.
      log.scope("sds").error(describeError(error));
    }
  }
  return startIdentity({
    caAddress: bootstrap.caAddress,
    rootsPath: bootstrap.rootsPath,
    revocationsPath: bootstrap.revocationsPath,
    tokenPath: bootstrap.tokenPath,
    extraRoots: bootstrap.extraRoots,
    clusterId: bootstrap.clusterId,
    certSigner: bootstrap.certSigner,
    spiffeId: bootstrap.spiffeId,
    ttlMs: bootstrap.secretTtlMs,
    keyKind: bootstrap.keyKind,
    renewal: bootstrap.renewal,
    secrets,
    logger,
    metrics,
    clock,
    ...(options.caServerName !== undefined && { caServerName: options.caServerName }),
  });
}
