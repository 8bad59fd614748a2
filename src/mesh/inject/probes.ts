// Probe rewrite: kubelet's probes and lifecycle hooks would reach the application through capture, without a
// certificate, so they are sent to the agent instead, which makes the real call. What to call is handed over in
// ISTIO_KUBE_APP_PROBERS: JSON from path to action.
import { type Container, type HttpGetAction, type LifecycleHandler, type Probe, proxyContainerName } from "./pod.ts";

/** The real action behind one path of the agent. */
export interface AppProber {
  readonly httpGet?: HttpGetAction;
  readonly tcpSocket?: { readonly port: number | string; readonly host?: string };
  readonly grpc?: { readonly port: number; readonly service?: string };
  readonly timeoutSeconds?: number;
}

export interface RewrittenProbes {
  readonly containers: readonly Container[];
  readonly probers: Readonly<Record<string, AppProber>>;
}

const probeFields = [
  ["livenessProbe", "livez"],
  ["readinessProbe", "readyz"],
  ["startupProbe", "startupz"],
] as const;

const hookFields = [
  ["preStop", "prestopz"],
  ["postStart", "poststartz"],
] as const;

/** Points all probes and hooks at the status port. Those with an unknown port name, or already there, stay. */
export function rewriteProbes(containers: readonly Container[], statusPort: number): RewrittenProbes {
  const probers: Record<string, AppProber> = {};
  const rewritten = containers.map((container) =>
    container.name === proxyContainerName ? container : rewriteContainer(container, statusPort, probers),
  );
  return { containers: rewritten, probers };
}

/** Puts the original probes back, for a pod that is injected again. */
export function restoreProbes(
  containers: readonly Container[],
  probers: Readonly<Record<string, AppProber>>,
): readonly Container[] {
  return containers.map((container) => {
    let restored = container;
    for (const [field, suffix] of probeFields) {
      const prober = probers[probePath(container.name, suffix)];
      const probe = container[field];
      if (prober === undefined || probe?.httpGet?.path !== probePath(container.name, suffix)) continue;
      const { timeoutSeconds: _, ...action } = prober;
      restored = { ...restored, [field]: { ...without(probe, "httpGet"), ...action } };
    }
    for (const [field, suffix] of hookFields) {
      const prober = probers[hookPath(container.name, suffix)];
      const hook = container.lifecycle?.[field];
      if (prober === undefined || hook?.httpGet?.path !== hookPath(container.name, suffix)) continue;
      restored = { ...restored, lifecycle: { ...restored.lifecycle, [field]: prober } };
    }
    return restored;
  });
}

function rewriteContainer(container: Container, statusPort: number, probers: Record<string, AppProber>): Container {
  let rewritten = container;
  for (const [field, suffix] of probeFields) {
    const probe = container[field];
    const path = probePath(container.name, suffix);
    const prober = probe === undefined ? undefined : toProber(container, probe, statusPort);
    if (probe === undefined || prober === undefined) continue;
    probers[path] = {
      ...prober,
      ...(probe.timeoutSeconds !== undefined && { timeoutSeconds: probe.timeoutSeconds }),
    };
    rewritten = { ...rewritten, [field]: { ...withoutActions(probe), httpGet: redirected(probe, path, statusPort) } };
  }
  for (const [field, suffix] of hookFields) {
    const hook = container.lifecycle?.[field];
    const path = hookPath(container.name, suffix);
    const prober = hook === undefined ? undefined : toProber(container, hook, statusPort);
    if (hook === undefined || prober === undefined) continue;
    probers[path] = prober;
    rewritten = {
      ...rewritten,
      lifecycle: { ...rewritten.lifecycle, [field]: { httpGet: redirected(hook, path, statusPort) } },
    };
  }
  return rewritten;
}

function toProber(container: Container, probe: Probe | LifecycleHandler, statusPort: number): AppProber | undefined {
  const action = probe.httpGet ?? probe.tcpSocket;
  if (action !== undefined) {
    const port = resolvePort(container, action.port);
    if (port === undefined || port === statusPort) return undefined;
    return probe.httpGet === undefined
      ? { tcpSocket: { ...probe.tcpSocket, port } }
      : { httpGet: orderedHttpGet(probe.httpGet, port) };
  }
  const grpc = (probe as Probe).grpc;
  return grpc === undefined || grpc.port === statusPort ? undefined : { grpc };
}

function orderedHttpGet(action: HttpGetAction, port: number): HttpGetAction {
  return {
    ...(action.path !== undefined && { path: action.path }),
    port,
    ...(action.host !== undefined && { host: action.host }),
    ...(action.scheme !== undefined && { scheme: action.scheme }),
    ...(action.httpHeaders !== undefined && { httpHeaders: action.httpHeaders }),
  };
}

/** The scheme toward the agent is always HTTP; the agent speaks HTTPS to the application where the probe did. */
function redirected(probe: Probe | LifecycleHandler, path: string, statusPort: number): HttpGetAction {
  const original = probe.httpGet;
  return {
    ...original,
    path,
    port: statusPort,
    ...(original?.scheme === "HTTPS" && { scheme: "HTTP" }),
  };
}

function resolvePort(container: Container, port: number | string): number | undefined {
  if (typeof port === "number") return port;
  if (/^\d+$/.test(port)) return Number(port);
  return container.ports?.find((candidate) => candidate.name === port)?.containerPort;
}

function probePath(container: string, suffix: string): string {
  return `/app-health/${container}/${suffix}`;
}

function hookPath(container: string, suffix: string): string {
  return `/app-lifecycle/${container}/${suffix}`;
}

function withoutActions(probe: Probe): Probe {
  const { httpGet: _http, tcpSocket: _tcp, grpc: _grpc, ...rest } = probe;
  return rest;
}

function without(probe: Probe, field: string): Probe {
  return Object.fromEntries(Object.entries(probe).filter(([name]) => name !== field));
}
