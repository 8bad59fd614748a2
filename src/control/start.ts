// Starts the control plane: sources → snapshot → push → ADS, the certificate authority, the webhooks and what operators
// look at. Everything it touches comes in as an option, so that tests and the CLI run the same code.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { Lifecycle } from "#base/lifecycle.ts";
import { LogRegistry } from "#base/log/log.ts";
import { MetricRegistry } from "#base/metrics/registry.ts";
import { addressFilter } from "#base/net/address-filter.ts";
import { type Clock, systemClock } from "#base/time/clock.ts";
import { loadEnvoyTypes } from "#mesh/objects/envoy-types.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { ForceState, type MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { istioVersion } from "#wire/xds/istio-version.ts";
import { SecretAccessReviews } from "./ca/secret-access.ts";
import type { ControlPlaneContext } from "./context.ts";
import type { DebugState } from "./debug/answer.ts";
import { debugTypes } from "./debug/debug-types.ts";
import { MonitoringServer } from "./debug/monitoring-server.ts";
import { GatewayDeployer } from "./gateway-deployment/gateway-deployer.ts";
import { fetchKeys } from "./jwks/fetch-keys.ts";
import { KeySetKeeper } from "./jwks/key-set-keeper.ts";
import { HostKeeper } from "./networks/host-keeper.ts";
import { systemHosts } from "./networks/resolve-host.ts";
import type { ControlPlane, ControlPlaneOptions } from "./options.ts";
import { defaultDebounce } from "./push/debounce.ts";
import { createPushMetrics } from "./push/push-metrics.ts";
import { Pusher, type SecretAccess } from "./push/pusher.ts";
import { SnapshotKeeper } from "./push/snapshot-keeper.ts";
import { StagedPush } from "./push/staged-push.ts";
import { WorkloadRegistrar } from "./registration/workload-registrar.ts";
import type { ObjectIdentity } from "./sources/config-source.ts";
import type { KubernetesClient } from "./sources/kubernetes/client.ts";
import { startAuthority, startRootDistribution } from "./start-authority.ts";
import { desiredStatuses } from "./status/desired-statuses.ts";
import type { ReportPlace } from "./status/distribution-report.ts";
import { LeaderElection, type LeaderElectionOptions } from "./status/leader-election.ts";
import { observe } from "./status/observation.ts";
import { ReplicaReports } from "./status/replica-reports.ts";
import { ReportPublisher } from "./status/report-publisher.ts";
import { StatusReporter } from "./status/status-reporter.ts";
import { StatusWriter } from "./status/status-writer.ts";
import { createTokenVerifier } from "./token-verifier.ts";
import { ConnectionTable } from "./xds/connection-table.ts";

/** Resolves when every port is open and the first snapshot is there. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const lifecycle = new Lifecycle();
  try {
    return await start(options, lifecycle);
  } catch (error) {
    await lifecycle.stop().catch(() => {
      // The first failure is the one to report.
    });
    throw error;
  }
}

async function start(options: ControlPlaneOptions, lifecycle: Lifecycle): Promise<ControlPlane> {
  const context = createContext(options, lifecycle);
  const { log, metrics, pushMetrics, clock } = context;
  const authorityReady = startAuthority(context);
  authorityReady.catch(() => {
    // Awaited below; this only keeps an early failure from being reported as unhandled.
  });
  // What costs most to load is loaded while the API server answers.
  const [compiling, building, serving] = await Promise.all([
    import("./xds/mesh-compiler.ts"),
    import("./push/build-snapshot.ts"),
    import("./serve.ts"),
    loadEnvoyTypes(),
  ]);
  const keySets = createKeySetKeeper(context, () => keeper.rebuild());
  const hosts = createHostKeeper(context, () => keeper.rebuild());
  const builder = building.createSnapshotBuilder({
    ...context,
    keySets: () => keySets.keySets,
    hostAddresses: () => hosts.addresses,
    ...(options.keyFetching !== undefined && { keyFetching: options.keyFetching }),
    ...(options.environment !== undefined && { environment: options.environment }),
    ...(options.scopesGateways !== undefined && { scopesGateways: options.scopesGateways }),
    ...(options.severalProviders !== undefined && { severalProviders: options.severalProviders }),
  });
  const secretAccess = createSecretAccess(context, () => pusher.refreshSecrets());
  const pusher: Pusher = new Pusher(compiling.meshCompiler, secretAccess, log.scope("ads"), pushMetrics);
  lifecycle.onStop(() => pusher.stop());
  const staged = new StagedPush({
    push: (snapshot, impact) => pusher.push(snapshot, impact),
    proxies: () => [...context.connections.values()].map(({ node }) => node),
    isSettled: () => !pusher.isBusy && [...context.connections.values()].every(({ session }) => session.isSettled),
    clock,
    log: log.scope("push"),
  });
  lifecycle.onStop(() => staged.stop());
  let statesChanged = (): void => {};
  let configured: (snapshot: MeshSnapshot) => void = () => {};
  const keeper = lifecycle.add(
    new SnapshotKeeper({
      sources: options.sources,
      build: builder.build,
      onSnapshot: (snapshot, impact) => {
        if (impact.kind !== "none") staged.push(snapshot, impact);
        statesChanged();
        configured(snapshot);
      },
      prepare: (snapshot) =>
        withinPatience(clock, [keySets.want(snapshot.keySources()), hosts.want(snapshot.networks.hostNames)]),
      pushed: () => (pusher.isBusy ? pusher.idle() : undefined),
      debounce: options.debounce ?? defaultDebounce,
      clock,
      log: log.scope("push"),
      metrics: pushMetrics,
    }),
  );
  metrics.onCollect(() => {
    const states = keeper.current?.resourceStates() ?? [];
    pushMetrics.rejectedConfigs.labels().set(states.filter(({ state }) => state === ForceState.Invalid).length);
  });
  let isReady = false;
  const debug: DebugState = {
    pusher,
    snapshot: () => keeper.current,
    connections: context.connections,
    injection: () => context.injection.current?.(),
    sourceIssues: () => [...keeper.issues(), ...builder.issues()],
    now: () => clock.now(),
  };
  await startMonitoring(context, debug, () => isReady);
  const [started] = await Promise.all([authorityReady, keeper.start()]);
  const { authority } = started;
  const trustConfigured = (snapshot: MeshSnapshot | undefined): void =>
    started.trustAlso((snapshot?.meshConfig.caCertificates ?? []).map(({ pem }) => pem).join("\n"));
  trustConfigured(keeper.current);
  configured = trustConfigured;
  const debugNamespaces = [context.namespace, ...(options.debugAccess?.allowedNamespaces ?? [])];
  const workloads = options.client && startRegistrar(context, options.client);
  await serving.startServers(context, {
    pusher,
    authority,
    revocations: started.revocations,
    debug: debugTypes(debug, debugNamespaces),
    snapshot: () => keeper.current,
    workloads,
  });
  if (options.client !== undefined) {
    startRootDistribution(context, options.client, started, revisionSuffix(context.revision));
    const reporter = startStatus(context, options.client, { pusher, snapshot: () => keeper.current });
    const deployer = startGatewayDeployment(context, options.client);
    statesChanged = () => {
      reporter.changed();
      if (keeper.current !== undefined) deployer.want(keeper.current.gatewayDeployments());
    };
    statesChanged();
  }
  isReady = true;
  log.scope("control").info("control plane is ready", { proxies: 0, services: keeper.current?.services.length });
  return {
    addresses: context.addresses,
    authority,
    metrics: context.metrics,
    get rootCertificates() {
      return authority.rootCertificates;
    },
    snapshot: () => keeper.current,
    stop: () => {
      isReady = false;
      return lifecycle.stop();
    },
  };
}

function createSecretAccess(context: ControlPlaneContext, onChange: () => void): SecretAccess {
  const { client } = context.options;
  // Without an API server there are no permissions to ask for.
  if (client === undefined) return { mayRead: () => true };
  const { lifecycle, clock, log } = context;
  return lifecycle.add(new SecretAccessReviews({ client, clock, log: log.scope("sds"), onChange }));
}

function createKeySetKeeper(context: ControlPlaneContext, onChange: () => void): KeySetKeeper {
  const { options, clock, log, metrics, lifecycle } = context;
  const roots = options.keyRootsFile;
  const isAllowed = options.isKeyAddressAllowed ?? addressFilter(options.blockedKeyAddresses);
  return lifecycle.add(
    new KeySetKeeper({
      fetch: (source) => fetchKeys(source, { isAllowed, ...(roots !== undefined && { extraRoots: readRoots(roots) }) }),
      clock,
      log: log.scope("jwks"),
      metrics,
      onChange,
    }),
  );
}

/** Looked at for each question, so that a new version of the file counts at once; a file that is not there has none. */
function readRoots(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function createHostKeeper({ options, clock, log, lifecycle }: ControlPlaneContext, onChange: () => void): HostKeeper {
  const { resolveHost = systemHosts } = options;
  return lifecycle.add(new HostKeeper({ resolve: resolveHost, clock, log: log.scope("networks"), onChange }));
}

/**
 * How long a push waits for the keys of a policy that is new, so that no good token is refused in between, and for the addresses
 * of gateways.
 */
const patienceMs = 1000;

function withinPatience(clock: Clock, needed: readonly (Promise<void> | undefined)[]): Promise<void> | undefined {
  const missing = needed.filter((it) => it !== undefined);
  if (missing.length === 0) return undefined;
  return new Promise((resolve) => {
    const cancel = clock.after(patienceMs, resolve);
    Promise.all(missing).then(() => {
      cancel();
      resolve();
    });
  });
}

function createContext(options: ControlPlaneOptions, lifecycle: Lifecycle): ControlPlaneContext {
  const log = options.log ?? new LogRegistry();
  const metrics = options.metrics ?? new MetricRegistry();
  const clock = options.clock ?? systemClock;
  const pushMetrics = createPushMetrics(metrics);
  const connections = new ConnectionTable();
  metrics.gauge("istio_build", "Version that is followed.", ["component", "tag"]).labels("pilot", istioVersion).set(1);
  metrics.onCollect(() => {
    pushMetrics.connected.clear();
    for (const { info } of connections.values()) {
      pushMetrics.connected.labels(info.node.istioVersion || "unknown").add(1);
    }
  });
  return {
    options,
    lifecycle,
    log,
    metrics,
    pushMetrics,
    clock,
    connections,
    host: options.host ?? "0.0.0.0",
    namespace: options.namespace ?? "istio-system",
    revision: options.revision ?? "default",
    replica: options.replica ?? `istiod-${randomUUID()}`,
    tokens: options.tokens ?? createTokenVerifier(options, { lifecycle, clock, log, metrics }),
    addresses: {},
    injection: {},
    ...(options.clusterId !== undefined && { clusterId: options.clusterId }),
  };
}

async function startMonitoring(context: ControlPlaneContext, debug: DebugState, isReady: () => boolean): Promise<void> {
  const { options, host, addresses, lifecycle } = context;
  const { monitoring, http } = options.ports;
  if (monitoring === undefined && http === undefined) return;
  const server = lifecycle.add(
    new MonitoringServer({
      metrics: context.metrics,
      version: istioVersion,
      debug,
      isReady,
      tokens: context.tokens,
      rootNamespace: context.namespace,
      access: options.debugAccess ?? {},
      log: context.log.scope("monitor"),
    }),
  );
  if (monitoring !== undefined) addresses.monitoring = await server.listen(host, monitoring);
  if (http !== undefined) addresses.http = await server.listen(host, http);
}

/** Every replica serves and tells what it sees; only the writer of statuses is elected. */
function startStatus(
  context: ControlPlaneContext,
  client: KubernetesClient,
  { pusher, snapshot }: { pusher: Pusher; snapshot: () => MeshSnapshot | undefined },
): StatusReporter {
  const { options, lifecycle, clock, connections, metrics, namespace, revision, replica } = context;
  const log = context.log.scope("status");
  const stored = (object: ObjectIdentity): KubernetesObject | undefined =>
    firstOf(options.sources, (source) => source.stored?.(object));
  const pod = (name: string): KubernetesObject | undefined =>
    stored({ apiVersion: "v1", kind: "Pod", namespace, name });
  const place = (): ReportPlace => ({ replica, isPod: pod(replica) !== undefined, namespace, revision });
  const publisher = lifecycle.add(new ReportPublisher({ client, place, clock, log }));
  const writer = new StatusWriter({
    client,
    stored,
    clock,
    log,
    writes: metrics.counter("pilot_status_writes", "Writes of objects' statuses, by outcome.", ["outcome"]),
  });
  const reports = lifecycle.add(
    new ReplicaReports({
      client,
      namespace,
      revision,
      replica,
      pod,
      clock,
      log,
      onChange: () => reporter.changed(),
    }),
  );
  const reporter = lifecycle.add(
    new StatusReporter({
      snapshot,
      quiet: () => pusher.idle(),
      observe: (current) => observe(current, connections.values()),
      compute: desiredStatuses,
      reports,
      publisher,
      writer,
      clock,
      log,
    }),
  );
  reports.start();
  connections.watchProgress(() => reporter.changed());
  elect(context, client, {
    name: "istio-status-leader",
    log,
    onElected: () => reporter.lead(),
    onDeposed: () => reporter.follow(),
  });
  return reporter;
}

/** Every replica registers the workloads whose proxies it holds. */
function startRegistrar(context: ControlPlaneContext, client: KubernetesClient): WorkloadRegistrar {
  const { options, lifecycle, clock, metrics } = context;
  const registrar = lifecycle.add(
    new WorkloadRegistrar({
      client,
      instance: context.replica,
      clock,
      log: context.log.scope("registration"),
      metrics,
      maxConnectionAgeMs: options.maxConnectionAgeMs,
    }),
  );
  registrar.start();
  return registrar;
}

/** Gateways of the Gateway API, and its classes. */
function startGatewayDeployment(context: ControlPlaneContext, client: KubernetesClient): GatewayDeployer {
  const { lifecycle, clock, revision } = context;
  const log = context.log.scope("gateways");
  const deployer = lifecycle.add(new GatewayDeployer({ client, revision, log, clock }));
  elect(context, client, {
    name: "istio-gateway-deployment",
    log,
    onElected: () => deployer.lead(),
    onDeposed: () => void deployer.follow(),
  });
  return deployer;
}

/** Of all replicas of a revision one does the work. */
function elect(
  context: ControlPlaneContext,
  client: KubernetesClient,
  work: Pick<LeaderElectionOptions, "name" | "log" | "onElected" | "onDeposed">,
): void {
  const { lifecycle, clock, namespace, revision, replica: identity } = context;
  const name = `${work.name}${revisionSuffix(revision)}`;
  lifecycle.add(new LeaderElection({ ...work, client, name, namespace, identity, clock })).start();
}

function firstOf<A, B>(items: readonly A[], find: (item: A) => B | undefined): B | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

function revisionSuffix(revision: string): string {
  return revision === "default" || revision === "" ? "" : `-${revision}`;
}
