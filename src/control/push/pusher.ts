// Brings every connected proxy up to date with a snapshot: decides which are affected, compiles each once, and hands
// the result to its stream, which sends what differs. Works in small turns, so that streams are served in between; a
// newer snapshot takes over a push that is still running.
import { describeError } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import { ownPeersCluster } from "#mesh/compile/endpoints/own-peers.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { SecretSchema } from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts";
import type { WorkloadIdentity } from "#wire/spiffe/spiffe-id.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import {
  encodeCompiled,
  type MeshCompiler,
  type PullSecretLookup,
  replaceEndpoints,
  replaceRouting,
  replaceServices,
} from "./compile.ts";
import {
  hostOfCluster,
  noResources,
  type ProxyResources,
  ResourceEncoder,
  type ResourcesByName,
  type SecretLookup,
} from "./encoded-resource.ts";
import { emptyImpact, type Impact, joinImpacts } from "./impact.ts";
import type { PushMetrics } from "./push-metrics.ts";

/** A connected proxy, as the pusher sees it. */
export interface PushTarget {
  readonly node: ProxyNode;
  /** Who it proved to be; undefined where nobody is asked. Secrets are for who is known only. */
  readonly account: Pick<WorkloadIdentity, "namespace" | "serviceAccount"> | undefined;
  /** Takes the resources over and sends what differs from the last ones. */
  update(resources: ProxyResources): void;
}

/** Whether the proxies of a service account may be given its namespace's Secrets; undefined: not known yet. */
export interface SecretAccess {
  mayRead(account: NonNullable<PushTarget["account"]>): boolean | undefined;
}

interface TargetState {
  resources: ProxyResources;
  /** Of the last whole compilation; endpoints may be newer. */
  compiledVersion: string;
  /** Secrets are in its extensions. */
  pullsWithSecrets: boolean;
}

const turnMs = 10;

export class Pusher {
  readonly #compiler: MeshCompiler;
  readonly #secretAccess: SecretAccess;
  readonly #log: Logger;
  readonly #metrics: PushMetrics;
  readonly #encoder = new ResourceEncoder();
  readonly #targets = new Map<PushTarget, TargetState>();
  #snapshot: MeshSnapshot | undefined;
  #pending: Impact = { kind: "none" };
  /** Set and cleared in the same turn as the work, so that no push falls between two runs. */
  #isRunning = false;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(compiler: MeshCompiler, secretAccess: SecretAccess, log: Logger, metrics: PushMetrics) {
    this.#compiler = compiler;
    this.#secretAccess = secretAccess;
    this.#log = log;
    this.#metrics = metrics;
  }

  get snapshot(): MeshSnapshot | undefined {
    return this.#snapshot;
  }

  /** How many encoded resources, and sets of them, proxies share. */
  sharedResources(): ReturnType<ResourceEncoder["counts"]> {
    return this.#encoder.counts();
  }

  targets(): Iterable<PushTarget> {
    return this.#targets.keys();
  }

  resourcesOf(target: PushTarget): ProxyResources {
    return this.#targets.get(target)?.resources ?? noResources;
  }

  /** Adds a proxy and gives it its resources at once, if there is a snapshot yet. */
  add(target: PushTarget): void {
    this.#targets.set(target, { resources: noResources, compiledVersion: "", pullsWithSecrets: false });
    if (this.#snapshot !== undefined) this.#pushEverything(target, this.#snapshot);
  }

  remove(target: PushTarget): void {
    this.#targets.delete(target);
  }

  /** Starts bringing all proxies up to date. */
  push(snapshot: MeshSnapshot, impact: Impact): void {
    this.#snapshot = snapshot;
    this.#pending = joinImpacts(this.#pending, impact);
    if (!this.#isRunning) this.#running = this.#run();
  }

  get isBusy(): boolean {
    return this.#isRunning;
  }

  /** Resolves when nothing is left to push. */
  async idle(): Promise<void> {
    while (this.#isRunning) await this.#running;
  }

  stop(): void {
    this.#stopped = true;
    this.#targets.clear();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#pending.kind !== "none" && !this.#stopped) {
      const impact = this.#pending;
      this.#pending = { kind: "none" };
      await this.#pushRound(impact);
    }
    this.#isRunning = false;
  }

  async #pushRound(impact: Impact): Promise<void> {
    let turnStarted = performance.now();
    for (const target of this.#targets.keys()) {
      if (performance.now() - turnStarted > turnMs) {
        await new Promise((resolve) => setImmediate(resolve));
        turnStarted = performance.now();
      }
      const snapshot = this.#snapshot;
      if (snapshot === undefined || this.#stopped) return;
      if (impact.kind === "partial") this.#pushPart(target, snapshot, impact);
      else this.#pushEverything(target, snapshot);
    }
  }

  #pushEverything(target: PushTarget, snapshot: MeshSnapshot): void {
    const state = this.#targets.get(target);
    if (state === undefined || state.compiledVersion === snapshot.version) return;
    this.#attempt(target, state, () => {
      const started = performance.now();
      const compiled = this.#compiler.compile(snapshot, target.node);
      state.resources = encodeCompiled(
        this.#encoder,
        snapshot.version,
        compiled,
        this.#secretsOf(target),
        pullSecretsOf(target, snapshot),
      );
      state.pullsWithSecrets = (compiled.pullSecrets?.size ?? 0) > 0;
      state.compiledVersion = snapshot.version;
      this.#metrics.compileSeconds.observe((performance.now() - started) / 1000);
      target.update(state.resources);
    });
  }

  #pushPart(target: PushTarget, snapshot: MeshSnapshot, impact: Extract<Impact, { kind: "partial" }>): void {
    const state = this.#targets.get(target);
    if (state === undefined) return;
    const isPulling = impact.secrets && state.pullsWithSecrets;
    if (state.compiledVersion === "" || isPulling || impact.concerns(target.node))
      return this.#pushEverything(target, snapshot);
    const reclusters = impact.reclusters(target.node);
    const reroutes = impact.reroutes(target.node);
    const endpoints = state.resources.byType.get(typeUrl.endpoint);
    // Those of the services come with their clusters.
    const hostnames = reclusters ? impact.hostnames.difference(impact.services) : impact.hostnames;
    const names = endpoints === undefined ? [] : namesOfHosts(endpoints, hostnames);
    // The proxy's peers, whose host no name says.
    if ((impact.hostnames.size > 0 || reclusters) && endpoints?.has(ownPeersCluster) === true)
      names.push(ownPeersCluster);
    if (names.length === 0 && !reclusters && !reroutes && !impact.secrets) return;
    this.#attempt(target, state, () => {
      const { resources } = state;
      const changed = reclusters
        ? this.#recluster(target, snapshot, resources, impact.services)
        : reroutes
          ? this.#reroute(target, snapshot, resources)
          : resources;
      if (changed === undefined) return this.#pushEverything(target, snapshot);
      const next = names.length === 0 ? changed : this.#withEndpoints(target, snapshot, changed, names);
      if (next === resources && !impact.secrets) return;
      state.resources = next;
      target.update(next);
    });
  }

  #recluster(
    target: PushTarget,
    snapshot: MeshSnapshot,
    resources: ProxyResources,
    hostnames: ReadonlySet<string>,
  ): ProxyResources | undefined {
    const compiled = this.#compiler.compileServices(snapshot, target.node, hostnames);
    const pullSecret = pullSecretsOf(target, snapshot);
    return compiled && replaceServices(this.#encoder, resources, snapshot.version, { hostnames, compiled, pullSecret });
  }

  #reroute(target: PushTarget, snapshot: MeshSnapshot, resources: ProxyResources): ProxyResources | undefined {
    const compiled = this.#compiler.compileRouting(snapshot, target.node);
    const secrets = pullSecretsOf(target, snapshot);
    return compiled && replaceRouting(this.#encoder, resources, snapshot.version, compiled, secrets);
  }

  #withEndpoints(
    { node }: PushTarget,
    snapshot: MeshSnapshot,
    resources: ProxyResources,
    names: readonly string[],
  ): ProxyResources {
    const assignments = this.#compiler.compileEndpoints(snapshot, node, names);
    return replaceEndpoints(this.#encoder, resources, snapshot.version, assignments);
  }

  /** Looks again at the secrets that proxies have asked for. */
  refreshSecrets(): void {
    if (this.#snapshot === undefined) return;
    this.push(this.#snapshot, { ...emptyImpact, secrets: true });
  }

  /** Answers by the newest snapshot, whenever it is asked. */
  #secretsOf({ node, account }: PushTarget): SecretLookup {
    return (name) => {
      const compiled = this.#snapshot && account && this.#compiler.compileSecret(this.#snapshot, node, name);
      if (account === undefined || compiled === undefined) return undefined;
      const mayHave = !compiled.needsPermission || this.#secretAccess.mayRead(account);
      if (mayHave === undefined) return "undecided";
      return mayHave ? this.#encoder.encode(typeUrl.secret, SecretSchema, name, compiled.secret) : undefined;
    };
  }

  /** One proxy that cannot be served must not keep the others from being served. */
  #attempt(target: PushTarget, state: TargetState, push: () => void): void {
    try {
      push();
    } catch (error) {
      // Whatever the next push is about, it is compiled as a whole then.
      state.compiledVersion = "";
      this.#metrics.internalErrors.increment();
      this.#log.error("the proxy's configuration could not be compiled; it keeps what it has", {
        proxy: target.node.id,
        error: describeError(error),
      });
    }
  }
}

/** Only who showed who it is gets what pulls the images of its modules. */
function pullSecretsOf({ node, account }: PushTarget, snapshot: MeshSnapshot): PullSecretLookup {
  const isKnown = account !== undefined && account.namespace === node.namespace;
  return ({ namespace, name }) => (isKnown ? snapshot.pullSecret(namespace, name) : undefined);
}

const namesByHost = new WeakMap<ResourcesByName, ReadonlyMap<string, readonly string[]>>();

/** Clusters of these hosts. */
function namesOfHosts(endpoints: ResourcesByName, hostnames: ReadonlySet<string>): string[] {
  let index = namesByHost.get(endpoints);
  if (index === undefined) {
    index = Map.groupBy(endpoints.keys(), (name) => hostOfCluster(name) ?? name);
    namesByHost.set(endpoints, index);
  }
  return [...hostnames].flatMap((hostname) => index.get(hostname) ?? []);
}
