// The arguments of `outrigger proxy`, which are pilot-agent's: `proxy sidecar --domain ... --proxyLogLevel=warning ...`.
import { type Issue, Severity } from "#base/issue.ts";

export interface ProxyArguments {
  readonly role: "sidecar" | "router";
  /** `default.svc.cluster.local` */
  readonly domain: string;
  /** Envoy's level of all components. */
  readonly proxyLogLevel: string;
  /** `misc:error,rbac:debug` */
  readonly componentLogLevels: string;
  /** Istio's scopes: `default:info`. */
  readonly agentLogLevels: string;
  readonly logAsJson: boolean;
  readonly concurrency: number | undefined;
}

/** Flags of pilot-agent that mean nothing here and are accepted. */
const ignored: ReadonlySet<string> = new Set([
  "stsPort",
  "tokenManagerPlugin",
  "outlierLogPath",
  "serviceCluster",
  "templateFile",
  "meshConfig",
  "profiling",
]);

/** `argv` without program name; a leading `proxy` is skipped. */
export function parseProxyArguments(
  argv: readonly string[],
): { readonly arguments: ProxyArguments } | { readonly issues: readonly Issue[] } {
  const issues: Issue[] = [];
  const flags = new Map<string, string>();
  const words: string[] = [];
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (!word.startsWith("--")) {
      words.push(word);
      continue;
    }
    const equals = word.indexOf("=");
    const name = word.slice(2, equals === -1 ? undefined : equals);
    const next = rest[0];
    if (equals !== -1) flags.set(name, word.slice(equals + 1));
    else if (name === "log_as_json" || next === undefined || next.startsWith("--")) flags.set(name, "true");
    else flags.set(name, rest.shift() ?? "");
  }
  if (words[0] === "proxy") words.shift();
  const role = words[0] ?? "sidecar";
  if (role !== "sidecar" && role !== "router") issues.push(problem(`"${role}" is neither sidecar nor router`));
  const text = (name: string, fallback: string): string => {
    const value = flags.get(name) ?? fallback;
    flags.delete(name);
    return value;
  };
  const concurrency = text("concurrency", "");
  if (!/^\d*$/.test(concurrency)) issues.push(problem(`--concurrency: "${concurrency}" is not a number`));
  const parsed: ProxyArguments = {
    role: role === "router" ? "router" : "sidecar",
    domain: text("domain", ""),
    proxyLogLevel: text("proxyLogLevel", "warning"),
    componentLogLevels: text("proxyComponentLogLevel", ""),
    agentLogLevels: text("log_output_level", "default:info"),
    logAsJson: text("log_as_json", "false") === "true",
    concurrency: concurrency === "" ? undefined : Number(concurrency),
  };
  for (const name of flags.keys()) if (!ignored.has(name)) issues.push(problem(`unknown flag --${name}`));
  return issues.length > 0 ? { issues } : { arguments: parsed };
}

function problem(message: string): Issue {
  return { code: "OUT0302", severity: Severity.Error, message };
}
