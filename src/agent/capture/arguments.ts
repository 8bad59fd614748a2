// Reads the flags and environment of istio-iptables. A flag wins over the environment, which wins over the default.
// Every value ends up in a firewall rule, so each is checked against what it may be.
import { isIP } from "node:net";
import { type Issue, Severity } from "#base/issue.ts";
import type { InitOptions } from "./options.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

type Kind =
  | "port"
  | "ports"
  | "portsOrAll"
  | "ids"
  | "interfaces"
  | "ranges"
  | "rangesOrAll"
  | "mode"
  | "number"
  | "flag"
  | "word"
  | "path"
  | "duration";

interface Flag {
  readonly name: string;
  readonly letter?: string;
  readonly kind: Kind;
  readonly fallback: string;
  /** Further variables, after the flag's own name in upper case. */
  readonly env?: readonly string[];
}

const flags: readonly Flag[] = [
  { name: "envoy-port", letter: "p", kind: "port", fallback: "15001" },
  { name: "inbound-capture-port", letter: "z", kind: "port", fallback: "15006" },
  { name: "inbound-tunnel-port", letter: "e", kind: "port", fallback: "15008" },
  { name: "proxy-uid", letter: "u", kind: "ids", fallback: "1337" },
  { name: "proxy-gid", letter: "g", kind: "ids", fallback: "" },
  { name: "istio-inbound-interception-mode", letter: "m", kind: "mode", fallback: "REDIRECT" },
  { name: "istio-inbound-ports", letter: "b", kind: "portsOrAll", fallback: "" },
  { name: "istio-local-exclude-ports", letter: "d", kind: "ports", fallback: "" },
  { name: "istio-exclude-interfaces", letter: "c", kind: "interfaces", fallback: "" },
  { name: "istio-service-cidr", letter: "i", kind: "rangesOrAll", fallback: "" },
  { name: "istio-service-exclude-cidr", letter: "x", kind: "ranges", fallback: "" },
  { name: "istio-outbound-ports", letter: "q", kind: "ports", fallback: "" },
  { name: "istio-local-outbound-ports-exclude", letter: "o", kind: "ports", fallback: "" },
  { name: "kube-virt-interfaces", letter: "k", kind: "interfaces", fallback: "", env: ["REROUTE_VIRTUAL_INTERFACES"] },
  { name: "istio-inbound-tproxy-mark", letter: "t", kind: "number", fallback: "1337" },
  { name: "istio-inbound-tproxy-route-table", letter: "r", kind: "number", fallback: "133" },
  { name: "istio-outbound-owner-groups", kind: "ids", fallback: "*" },
  { name: "istio-outbound-owner-groups-exclude", kind: "ids", fallback: "" },
  { name: "istio-outbound-ipv4-loopback-cidr", kind: "ranges", fallback: "127.0.0.1/32" },
  { name: "dry-run", letter: "n", kind: "flag", fallback: "false" },
  { name: "skip-rule-apply", kind: "flag", fallback: "false" },
  { name: "run-validation", kind: "flag", fallback: "false" },
  { name: "iptables-probe-port", kind: "port", fallback: "15002" },
  { name: "probe-timeout", kind: "duration", fallback: "5s" },
  { name: "redirect-dns", kind: "flag", fallback: "false", env: ["ISTIO_META_DNS_CAPTURE"] },
  { name: "capture-all-dns", kind: "flag", fallback: "false" },
  { name: "drop-invalid", kind: "flag", fallback: "false", env: ["INVALID_DROP"] },
  { name: "dual-stack", kind: "flag", fallback: "false", env: ["ISTIO_DUAL_STACK"] },
  { name: "cleanup", kind: "flag", fallback: "false" },
  { name: "cleanup-only", kind: "flag", fallback: "false" },
  { name: "iptables-version", kind: "word", fallback: "" },
  { name: "network-namespace", kind: "path", fallback: "" },
  { name: "native-nftables", kind: "flag", fallback: "false" },
  // Rules are always brought to the wanted state, which is what these two ask for.
  { name: "reconcile", kind: "flag", fallback: "false" },
  { name: "force-apply", kind: "flag", fallback: "false" },
  { name: "cni-mode", kind: "flag", fallback: "false" },
  { name: "log-output-level", kind: "word", fallback: "default:info" },
  { name: "log-as-json", kind: "flag", fallback: "false" },
];

export type InitArguments = { readonly options: InitOptions } | { readonly issues: readonly Issue[] };

/** `argv` without program name; a leading `istio-iptables` or `init` is skipped. */
export function parseInitArguments(argv: readonly string[], env: Environment): InitArguments {
  const issues: Issue[] = [];
  const given = readFlags(argv, issues);
  const values = new Map<string, string>();
  for (const flag of flags) {
    const value = given.get(flag.name) ?? fromEnvironment(flag, env) ?? flag.fallback;
    const problem = check(flag.kind, value);
    if (problem === undefined) values.set(flag.name, value);
    else issues.push(issue(`--${flag.name}: ${problem}`));
  }
  if (issues.length > 0) return { issues };

  const text = (name: string): string => values.get(name) ?? "";
  const items = (name: string): string[] => split(text(name));
  const isSet = (name: string): boolean => isTrue(text(name));
  const uids = items("proxy-uid");
  return {
    options: {
      capture: {
        proxyPort: text("envoy-port"),
        inboundCapturePort: text("inbound-capture-port"),
        inboundTunnelPort: text("inbound-tunnel-port"),
        proxyUids: uids,
        proxyGids: text("proxy-gid") === "" ? uids : items("proxy-gid"),
        inboundMode: text("istio-inbound-interception-mode") === "TPROXY" ? "TPROXY" : "REDIRECT",
        tproxyMark: text("istio-inbound-tproxy-mark"),
        tproxyRouteTable: text("istio-inbound-tproxy-route-table"),
        inboundPortsInclude: items("istio-inbound-ports"),
        inboundPortsExclude: items("istio-local-exclude-ports"),
        ownerGroupsInclude: items("istio-outbound-owner-groups"),
        ownerGroupsExclude: items("istio-outbound-owner-groups-exclude"),
        outboundPortsInclude: items("istio-outbound-ports"),
        outboundPortsExclude: items("istio-local-outbound-ports-exclude"),
        outboundRangesInclude: items("istio-service-cidr").map(withBits),
        outboundRangesExclude: items("istio-service-exclude-cidr").map(withBits),
        virtualInterfaces: items("kube-virt-interfaces"),
        excludeInterfaces: items("istio-exclude-interfaces"),
        redirectDns: isSet("redirect-dns"),
        captureAllDns: isSet("capture-all-dns"),
        dropInvalid: isSet("drop-invalid"),
        loopbackCidr: text("istio-outbound-ipv4-loopback-cidr"),
      },
      dryRun: isSet("dry-run"),
      cleanupOnly: isSet("cleanup") || isSet("cleanup-only"),
      skipRuleApply: isSet("skip-rule-apply"),
      runValidation: isSet("run-validation"),
      probePort: Number(text("iptables-probe-port")),
      probeTimeoutMs: durationMs(text("probe-timeout")),
      dualStack: isSet("dual-stack"),
      iptablesVariant: text("iptables-version"),
      networkNamespace: text("network-namespace"),
      nativeNftables: isSet("native-nftables"),
      logLevel: text("log-output-level"),
      logAsJson: isSet("log-as-json"),
    },
  };
}

function readFlags(argv: readonly string[], issues: Issue[]): Map<string, string> {
  const given = new Map<string, string>();
  const rest = [...argv];
  if (rest[0] === "istio-iptables" || rest[0] === "init") rest.shift();
  for (let argument = rest.shift(); argument !== undefined; argument = rest.shift()) {
    const parsed = splitFlag(argument);
    if (parsed === undefined) {
      issues.push(issue(`unknown argument "${argument}"`));
      continue;
    }
    const { flag, value } = parsed;
    if (value !== undefined) given.set(flag.name, value);
    else if (flag.kind === "flag") given.set(flag.name, "true");
    else {
      const next = rest.shift();
      if (next === undefined) issues.push(issue(`--${flag.name} needs a value`));
      else given.set(flag.name, next);
    }
  }
  return given;
}

/** `--name`, `--name=value`, `-p`, `-p=value`, `-pvalue`. */
function splitFlag(argument: string): { flag: Flag; value: string | undefined } | undefined {
  if (argument.startsWith("--")) {
    const equals = argument.indexOf("=");
    const name = (equals === -1 ? argument.slice(2) : argument.slice(2, equals)).replaceAll("_", "-");
    const flag = flags.find((candidate) => candidate.name === name);
    return flag && { flag, value: equals === -1 ? undefined : argument.slice(equals + 1) };
  }
  if (!argument.startsWith("-")) return undefined;
  const flag = flags.find((candidate) => candidate.letter === argument[1]);
  const value = argument.slice(2).replace(/^=/, "");
  return flag && { flag, value: argument.length === 2 ? undefined : value };
}

function fromEnvironment(flag: Flag, env: Environment): string | undefined {
  for (const name of [flag.name.toUpperCase().replaceAll("-", "_"), ...(flag.env ?? [])]) {
    const value = env[name];
    if (value !== undefined && value !== "") return value;
  }
  return undefined;
}

function check(kind: Kind, value: string): string | undefined {
  switch (kind) {
    case "port":
      return isPort(value) ? undefined : `"${value}" is not a port`;
    case "ports":
      return each(value, isPortRange, "a port");
    case "portsOrAll":
      return value === "*" ? undefined : each(value, isPortRange, "a port");
    case "ids":
      return each(value, (id) => /^(\*|[A-Za-z0-9_][A-Za-z0-9_.-]{0,31})$/.test(id), "a user or group");
    case "interfaces":
      return each(value, (name) => /^[^\s/!]{1,15}$/.test(name), "the name of an interface");
    case "ranges":
      return each(value, isRange, "an address range");
    case "rangesOrAll":
      return value === "*" ? undefined : each(value, isRange, "an address range");
    case "mode":
      return value === "REDIRECT" || value === "TPROXY" ? undefined : `"${value}" is not REDIRECT or TPROXY`;
    case "number":
      return /^\d{1,10}$/.test(value) ? undefined : `"${value}" is not a number`;
    case "flag":
      return isTrue(value) || isFalse(value) ? undefined : `"${value}" is not true or false`;
    case "word":
      return /^[\w.,:=*/-]*$/.test(value) ? undefined : `"${value}" has characters that do not belong there`;
    case "path":
      return value.includes("\0") || value.includes("\n") ? "is not a path" : undefined;
    case "duration":
      return Number.isNaN(durationMs(value)) ? `"${value}" is not a duration as 5s` : undefined;
  }
}

function each(value: string, isValid: (item: string) => boolean, what: string): string | undefined {
  const wrong = split(value).find((item) => !isValid(item));
  return wrong === undefined ? undefined : `"${wrong}" is not ${what}`;
}

function isPort(value: string): boolean {
  return /^\d{1,5}$/.test(value) && Number(value) <= 65535;
}

function isPortRange(value: string): boolean {
  return value.split(":").length <= 2 && value.split(":").every(isPort);
}

function isRange(value: string): boolean {
  const [address = "", bits, ...more] = value.split("/");
  const family = isIP(address);
  if (family === 0 || more.length > 0 || address.includes("%")) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

function withBits(range: string): string {
  if (range === "*" || range.includes("/")) return range;
  return `${range}/${isIP(range) === 4 ? 32 : 128}`;
}

function durationMs(value: string): number {
  const match = /^(\d{1,6})(ms|s|m)$/.exec(value);
  if (match === null) return Number.NaN;
  return Number(match[1]) * (match[2] === "ms" ? 1 : match[2] === "s" ? 1000 : 60_000);
}

function split(value: string): string[] {
  return value
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

const isTrue = (value: string): boolean => ["true", "1", "t", "TRUE", "True"].includes(value);
const isFalse = (value: string): boolean => ["false", "0", "f", "FALSE", "False"].includes(value);

function issue(message: string): Issue {
  return { code: "OUT0301", severity: Severity.Error, message };
}
