// `outrigger up`: starts the embedded cluster, the control plane and the gateway, applies the user's files, and stays
// until Ctrl-C. Everything of the cluster ends with this process.
import { appendFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describeError, hasCode, OutriggerError } from "#base/error.ts";
import { DirectoryWatcher } from "#base/files/directory-watcher.ts";
import { formatIssue, type Issue, Severity } from "#base/issue.ts";
import { Lifecycle } from "#base/lifecycle.ts";
import { LogRegistry } from "#base/log/log.ts";
import { readImageFiles } from "#cluster/images.ts";
import { checkPrerequisites } from "#cluster/sandbox/prerequisites.ts";
import { type Sandbox, startSandbox } from "#cluster/sandbox/sandbox.ts";
import { KubernetesClient } from "#control/sources/kubernetes/client.ts";
import { injectionWebhookConfiguration } from "#mesh/inject/webhook-configuration.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { sortIssues } from "#mesh/snapshot/content.ts";
import { Applier, type ApplyResult, type DesiredState, toApiObject, workloadKinds } from "../../apply/apply.ts";
import { checkObjects } from "../../apply/check.ts";
import {
  brokenFiles,
  configurationDirectories,
  type LoadedConfiguration,
  loadConfiguration,
} from "../../apply/load.ts";
import { type CliContext, print, printError, UsageError } from "../../context.ts";
import { isStuck, podProblem } from "../../mesh/pod-problem.ts";
import { listPods } from "../../mesh/pods.ts";
import { readMeshIssues } from "../../mesh/snapshot.ts";
import type { ClusterEvent, ClusterProcessOptions } from "../../processes/cluster.ts";
import { Progress } from "../../render/progress.ts";
import { ensurePackages, meshRequirements, rootlessRequirements } from "../../system/packages.ts";
import { fetchPage, firstGatewayPath } from "./gateway-page.ts";
import type { UpOptions } from "./options.ts";
import { explainWaiting, readWorkloads } from "./readiness.ts";
import { claimStateDirectory, runningPid } from "./running.ts";
import { suggestCommands } from "./suggestions.ts";
import { systemObjects } from "./system-objects.ts";

const readyTimeoutMs = 120_000;
const pollMs = 50;
const stuckPollMs = 1_000;
const httpProxyVariables = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

export async function up(options: UpOptions, context: CliContext): Promise<number> {
  const loaded = loadConfiguration(options.files, context.cwd);
  refuseSecondMesh(options.stateDirectory);
  checkSystem(context);
  const progress = new Progress(context.stderr);
  const lifecycle = new Lifecycle();
  const ending = signalled();
  let isStarted = false;
  try {
    progress.update("starting the embedded cluster");
    const sandbox = await start(options, context, loaded, lifecycle, progress);
    isStarted = true;
    const session = new UpSession(options, context, sandbox, progress, lifecycle);
    const failed = sandbox.exited.then((exit) => {
      throw new OutriggerError(
        "SANDBOX_FAILED",
        `the embedded cluster ended: ${exit.output.trim() || `exit code ${exit.code}`}`,
      );
    });
    failed.catch(() => {}); // reported by the race below; a stop makes it reject with nobody waiting
    const outcome = await Promise.race([session.bringUp(loaded), failed, ending]);
    if (outcome === "ready") await Promise.race([failed, ending]);
    progress.clear();
    return outcome === "failed" ? 1 : 0;
  } catch (error) {
    if (!hasCode(error, "PORT_TAKEN")) throw error;
    throw new UsageError(`${describeError(error)}; choose another port with --gateway-port`);
  } finally {
    progress.update("stopping");
    await lifecycle.stop();
    progress.clear();
    if (isStarted) progress.done("stopped; nothing is left behind");
  }
}

async function start(
  options: UpOptions,
  context: CliContext,
  loaded: LoadedConfiguration,
  lifecycle: Lifecycle,
  progress: Progress,
): Promise<Sandbox> {
  const file = claimStateDirectory(options.stateDirectory);
  lifecycle.onStop(() => rmSync(file, { force: true }));
  const log = new LogRegistry({ level: "warn" }).scope("sandbox");
  const images = readImageFiles(loaded.imageFiles);
  for (const issue of images.issues) printError(context, formatIssue(issue));
  // Whoever may send a signal must not get an inspector into a process that holds keys.
  const flags = ["--disable-warning=ExperimentalWarning", "--disable-sigusr1"];
  const command = [process.execPath, ...flags, context.program];
  const clusterOptions: ClusterProcessOptions = {
    stateDirectory: options.stateDirectory,
    packageRoot: context.packageRoot,
    images: images.catalog,
    directories: images.directories,
    outriggerCommand: command,
    logLevel: "warn",
    egress: options.egress,
  };
  const httpProxyVariable = httpProxyVariables.find((name) => (context.env[name] ?? "") !== "");
  const dialer = { hostPorts: options.hostPorts, ...(httpProxyVariable !== undefined && { httpProxyVariable }) };
  const sandbox = await startSandbox({
    entry: [...command, "cluster"],
    options: clusterOptions,
    stateDirectory: options.stateDirectory,
    packageRoot: context.packageRoot,
    directories: images.directories,
    env: { NODE_COMPILE_CACHE: join(options.stateDirectory, "compile-cache/0") },
    ports: [{ ...options.gateway, target: { namespace: "istio-system", service: "istio-ingressgateway", port: 80 } }],
    ...(options.egress && { egress: dialer }),
    onEvent: (event) => progress.warn((event as ClusterEvent).egressProblem),
    log,
    onOutput: (text) => appendFileSync(join(options.stateDirectory, "cluster.log"), text),
  });
  return lifecycle.add(sandbox);
}

/** One run of `up` once its sandbox is there. */
class UpSession {
  readonly #options: UpOptions;
  readonly #context: CliContext;
  readonly #progress: Progress;
  readonly #client: KubernetesClient;
  readonly #applier: Applier;
  readonly #gatewayUrl: string;
  readonly #lifecycle: Lifecycle;
  #applying: Promise<void> = Promise.resolve();
  #shownIssues = "";
  #stuckPodWatch: NodeJS.Timeout | undefined;

  constructor(options: UpOptions, context: CliContext, sandbox: Sandbox, progress: Progress, lifecycle: Lifecycle) {
    this.#options = options;
    this.#context = context;
    this.#progress = progress;
    this.#lifecycle = lifecycle;
    this.#gatewayUrl = `http://${options.gateway.host}:${sandbox.ports[0] ?? options.gateway.port}`;
    this.#client = new KubernetesClient({ socketPath: join(options.stateDirectory, "api.sock") });
    lifecycle.onStop(() => this.#client.close());
    lifecycle.onStop(() => clearInterval(this.#stuckPodWatch));
    this.#applier = new Applier(this.#client, "up");
  }

  async bringUp(loaded: LoadedConfiguration): Promise<"ready" | "failed"> {
    const progress = this.#progress;
    await this.#waitFor(
      "the API server",
      async () => (await this.#client.raw("GET", "/version").catch(() => undefined)) !== undefined,
    );
    progress.done("embedded cluster is up");

    progress.update("starting the control plane");
    const mine = this.#check(loaded);
    await this.#applier.removeLeftovers(mine);
    const system = systemObjects(this.#context.packageRoot);
    const keyOf = (object: KubernetesObject): string =>
      `${object.kind}/${object.metadata.namespace ?? ""}/${object.metadata.name}`;
    const own = new Set(mine.desired.map(keyOf));
    // What the user's files define themselves (the mesh's ConfigMap, say) is theirs.
    const isOurs = (object: KubernetesObject): boolean => !own.has(keyOf(object));
    const systemApplier = new Applier(this.#client, "system");
    const webhook = injectionWebhookConfiguration();
    await this.#must(systemApplier.apply({ desired: [...system.controlPlane.filter(isOurs), webhook] }));
    const ofControlPlane = new Set(system.controlPlane.map(keyOf));
    // Services and configuration can come at once; pods wait for the webhook that gives them their sidecar, but for the
    // control plane's own.
    const isEarly = (object: KubernetesObject): boolean =>
      ofControlPlane.has(keyOf(object)) || !workloadKinds.includes(object.kind);
    this.#report(await this.#applier.apply({ ...mine, desired: mine.desired.filter(isEarly) }));
    await this.#waitFor("the control plane", () => this.#isInjectorReady());
    progress.done("control plane is up");

    progress.update("starting workloads");
    await this.#must(
      systemApplier.apply({
        desired: [...system.controlPlane.filter(isOurs), webhook, ...system.gateway.filter(isOurs)],
      }),
    );
    this.#report(await this.#applier.apply(mine));
    const isReady = await this.#waitForWorkloads();
    // A person can look into what is wrong and mend it while the mesh goes on; a script wants to know.
    if (!isReady && this.#options.json) return "failed";
    if (isReady) await this.#announce(mine.desired);
    if (this.#options.watch) this.#watch();
    return "ready";
  }

  #check(loaded: LoadedConfiguration): DesiredState {
    const checked = checkObjects(loaded.objects);
    const issues = sortIssues([...loaded.issues, ...checked.issues]);
    const text = issues.map(formatIssue).join("\n");
    if (text !== this.#shownIssues) this.#showIssues(issues);
    this.#shownIssues = text;
    return {
      desired: checked.accepted.map(toApiObject),
      refused: checked.refused.map(toApiObject),
      brokenFiles: brokenFiles(loaded.issues),
    };
  }

  #showIssues(issues: readonly Issue[]): void {
    for (const issue of issues) {
      if (issue.severity === Severity.Info) continue;
      this.#progress.clear();
      printError(this.#context, formatIssue(issue));
    }
  }

  #report(result: ApplyResult): void {
    for (const { object, reason } of result.failures) {
      this.#progress.warn(
        `${object.kind} ${object.metadata.namespace ?? ""}/${object.metadata.name} was not applied: ${reason}`,
      );
    }
  }

  async #must(applying: Promise<ApplyResult>): Promise<void> {
    const failure = (await applying).failures[0];
    if (failure !== undefined)
      throw new OutriggerError(
        "APPLY_FAILED",
        `${failure.object.kind} ${failure.object.metadata.name}: ${failure.reason}`,
      );
  }

  /** The webhook works when istiod is available and has put its certificate authority into the configuration. */
  async #isInjectorReady(): Promise<boolean> {
    const { waiting } = await readWorkloads(this.#client);
    if (waiting.includes("istiod")) return false;
    const path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/istio-sidecar-injector";
    const configuration = (await this.#client.raw("GET", path)) as {
      webhooks?: { clientConfig?: { caBundle?: string } }[];
    };
    return (configuration.webhooks ?? []).every((webhook) => (webhook.clientConfig?.caBundle ?? "") !== "");
  }

  async #waitForWorkloads(): Promise<boolean> {
    try {
      await this.#waitFor("the workloads", async () => {
        const { ready, total, waiting } = await readWorkloads(this.#client);
        this.#progress.update(`starting workloads: ${ready} of ${total} ready; waiting for ${waiting.join(", ")}`);
        return waiting.length === 0;
      });
      this.#progress.done("workloads are ready, each with its sidecar");
      return true;
    } catch (error) {
      this.#progress.warn(describeError(error));
      for (const sentence of await explainWaiting(this.#client)) printError(this.#context, `  ${sentence}`);
      return false;
    }
  }

  async #announce(objects: readonly KubernetesObject[]): Promise<void> {
    this.#showIssues(await readMeshIssues(this.#client));
    const path = firstGatewayPath(objects);
    const url = path === undefined ? this.#gatewayUrl : `${this.#gatewayUrl}${path}`;
    if (path !== undefined) {
      await this.#waitFor(url, async () => (await fetchPage(url)).status === 200).catch(() => undefined);
      const answer = await fetchPage(url);
      if (answer.status === 200) this.#progress.done(`${url} answers 200 in ${answer.milliseconds} ms`);
      else
        this.#progress.warn(
          `${url} answers ${answer.status === 0 ? "nothing" : answer.status}; see: outrigger logs deploy/istio-ingressgateway.istio-system`,
        );
    }
    if (this.#options.json) {
      print(
        this.#context,
        JSON.stringify({
          ready: true,
          url,
          gateway: this.#gatewayUrl,
          stateDirectory: this.#options.stateDirectory,
          pid: process.pid,
        }),
      );
      return;
    }
    print(this.#context, closingText(url, this.#options, objects));
  }

  #watch(): void {
    const watcher = new DirectoryWatcher({
      onChange: () => this.#reload(watcher),
      onProblem: (directory, error) => this.#progress.warn(`${directory} is not watched: ${describeError(error)}`),
    });
    this.#lifecycle.add(watcher);
    this.#reload(watcher);
  }

  #reload(watcher: DirectoryWatcher): void {
    this.#applying = this.#applying
      .then(() => {
        watcher.follow(new Set(configurationDirectories(this.#options.files, this.#context.cwd)));
        return this.#applyFiles();
      })
      .catch((error: unknown) => this.#progress.warn(describeError(error)));
  }

  async #applyFiles(): Promise<void> {
    const mine = this.#check(loadConfiguration(this.#options.files, this.#context.cwd));
    const result = await this.#applier.apply(mine);
    this.#report(result);
    const changes = [
      ...result.applied.map((object) => `applied ${object.kind} ${object.metadata.name}`),
      ...result.removed.map((object) => `removed ${object.kind} ${object.metadata.name}`),
    ];
    if (changes.length === 0) return;
    this.#progress.done(changes.join(", "));
    if (result.applied.some(({ kind }) => workloadKinds.includes(kind))) this.#watchForStuckPods();
    this.#showIssues(await readMeshIssues(this.#client));
  }

  /** Says of pods that do not come up by themselves why, for some time after a change of workloads; of each once. */
  #watchForStuckPods(): void {
    clearInterval(this.#stuckPodWatch);
    const end = Date.now() + readyTimeoutMs;
    const told = new Set<string>();
    this.#stuckPodWatch = setInterval(() => {
      if (Date.now() > end) clearInterval(this.#stuckPodWatch);
      void listPods(this.#client)
        .then((pods) => {
          for (const pod of pods.filter(isStuck)) {
            const uid = pod.metadata.uid ?? "";
            if (!told.has(uid)) this.#progress.warn(podProblem(pod) ?? "");
            told.add(uid);
          }
        })
        .catch(() => {}); // the cluster ends meanwhile
    }, stuckPollMs);
  }

  async #waitFor(what: string, condition: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + readyTimeoutMs;
    while (!(await condition())) {
      if (Date.now() > deadline)
        throw new OutriggerError("NOT_READY", `${what}: not ready after ${readyTimeoutMs / 1000} s`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }
}

function closingText(url: string, options: UpOptions, objects: readonly KubernetesObject[]): string {
  const [folder] = options.files;
  const edit =
    options.watch && folder !== undefined ? `Edit a file under ${folder}: it reaches every proxy when you save.\n` : "";
  const commands = suggestCommands(objects).map((command) => `  ${options.program} ${command}`);
  return `
The mesh is up. Open ${url}
${edit}
Try next, in another terminal:
${commands.join("\n")}

Ctrl-C stops everything and leaves nothing behind.`;
}

function refuseSecondMesh(stateDirectory: string): void {
  const pid = runningPid(stateDirectory);
  if (pid !== undefined) {
    throw new UsageError(
      `a mesh with the state directory ${stateDirectory} runs already (process ${pid}); stop it with: outrigger down`,
    );
  }
}

function checkSystem(context: CliContext): void {
  const isRoot = process.getuid?.() === 0;
  const requirements = isRoot ? meshRequirements : [...meshRequirements, ...rootlessRequirements];
  const missing = ensurePackages(requirements, {
    isRoot,
    path: context.env["PATH"] ?? "",
    say: (line) => printError(context, line),
  });
  if (missing !== undefined) throw new UsageError(missing);
  const problem = checkPrerequisites()[0];
  if (problem !== undefined) throw new UsageError(`${problem.message}; run: ${problem.fix ?? "as root"}`);
}

/** Resolves at the first request to end; a second Ctrl-C during the stop changes nothing, the stop has a deadline. */
function signalled(): Promise<"ended"> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve("ended"));
  });
}
