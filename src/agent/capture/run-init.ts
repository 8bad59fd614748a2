// `outrigger init` / `istio-iptables`: writes the capture rules of the network namespace it runs in.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { describeError, OutriggerError } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import { binaryPrefix, hasUnmarkedRules, parseSavedRules, renderTransition, unmarkedRules } from "./apply.ts";
import { hostFacts, type Interfaces } from "./host-facts.ts";
import type { InitOptions } from "./options.ts";
import { type Family, renderRestore, type TableRules } from "./rule-list.ts";
import { captureRules, dnsIsRedirected } from "./rules.ts";
import { validateCapture } from "./validation.ts";

interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Everything that `runInit` asks of the machine. */
export interface InitIo {
  run(command: readonly string[], input?: string): Promise<CommandResult>;
  /** Standard output. */
  write(text: string): void;
  readonly logger: Logger;
  interfaces(): Interfaces;
  resolvConf(): string;
}

const families: readonly Family[] = ["v4", "v6"];

/** Throws CAPTURE_FAILED or CAPTURE_NOT_WORKING; returns when the rules stand (or are printed, or gone). */
export async function runInit(options: InitOptions, io: InitIo): Promise<void> {
  const facts = hostFacts(options.capture, io.interfaces(), () => io.resolvConf());
  const rules = captureRules(options.capture, facts);
  if (options.capture.redirectDns && !dnsIsRedirected(options.capture, facts)) {
    io.logger.warn("DNS is not captured: /etc/resolv.conf names no server");
  }
  if (options.nativeNftables) io.logger.warn("the rules are written through iptables, which gives the same capture");

  if (options.dryRun) {
    io.write(renderRestore(rules.v4));
    io.write(renderRestore(rules.v6));
  } else if (options.cleanupOnly || !options.skipRuleApply) {
    for (const family of families) {
      // IPv6 rules of an earlier run are removed even where today's pod has no IPv6.
      await applyFamily(family, options.cleanupOnly ? [] : rules[family], options, io);
    }
    if (options.capture.inboundMode === "TPROXY") await routeMarkedPackets(options, facts.ipv6, io);
    if (facts.ipv6 && !options.cleanupOnly)
      await io.run(inNamespace(options, ["ip", "-6", "addr", "add", "::6/128", "dev", "lo"]));
    io.logger.info(options.cleanupOnly ? "capture rules removed" : "capture rules in place", {
      v4: countRules(rules.v4),
      v6: countRules(rules.v6),
    });
  }
  if (options.runValidation && !options.dryRun) await validate(options, io);
}

async function applyFamily(
  family: Family,
  wanted: readonly TableRules[],
  options: InitOptions,
  io: InitIo,
): Promise<void> {
  const tool = (name: string): string => {
    const variant = options.iptablesVariant === "" ? "" : `-${options.iptablesVariant}`;
    return `${binaryPrefix(family)}${variant}${name}`;
  };
  const saved = await io.run(inNamespace(options, [tool("-save")]));
  if (saved.code !== 0) {
    if (wanted.length === 0) return;
    throw commandFailed(tool("-save"), saved);
  }
  const existing = parseSavedRules(saved.stdout);
  if (hasUnmarkedRules(existing)) {
    for (const { table, chain, rule } of ownUnmarkedRules(options, family)) {
      const remove = [tool(""), "-w", "30", "-t", table, "-D", chain, ...rule.split(" ")];
      await deleteAll(inNamespace(options, remove), io);
    }
  }
  const input = renderTransition(existing, wanted);
  if (input === "") return;
  io.logger.debug("applying rules", { family, input });
  const restored = await io.run(inNamespace(options, [tool("-restore"), "--noflush", "-w", "30"]), input);
  if (restored.code !== 0) throw commandFailed(tool("-restore"), restored);
}

/** Of both modes, so that changing the mode leaves nothing behind. */
function ownUnmarkedRules(options: InitOptions, family: Family): ReturnType<typeof unmarkedRules> {
  const host = { ipv6: true, dnsServersV4: [], dnsServersV6: [] };
  return (["REDIRECT", "TPROXY"] as const).flatMap((inboundMode) =>
    unmarkedRules(captureRules({ ...options.capture, inboundMode }, host)[family]),
  );
}

/** Deletes every copy of a rule. */
async function deleteAll(command: readonly string[], io: InitIo): Promise<void> {
  for (let copies = 0; copies < 16; copies += 1) {
    const result = await io.run(command);
    if (result.code !== 0) return;
  }
}

/** TPROXY: marked packets are delivered locally, to the proxy's transparent socket. */
async function routeMarkedPackets(options: InitOptions, ipv6: boolean, io: InitIo): Promise<void> {
  const { tproxyMark: mark, tproxyRouteTable: table } = options.capture;
  for (const family of ipv6 ? ["-4", "-6"] : ["-4"]) {
    const ip = (...args: string[]): Promise<CommandResult> => io.run(inNamespace(options, ["ip", family, ...args]));
    await deleteAll(inNamespace(options, ["ip", family, "rule", "del", "fwmark", mark, "lookup", table]), io);
    if (options.cleanupOnly) {
      await ip("route", "flush", "table", table);
      continue;
    }
    const rule = await ip("rule", "add", "fwmark", mark, "lookup", table);
    if (rule.code !== 0) throw commandFailed("ip rule add", rule);
    const route = await ip("route", "replace", "local", "default", "dev", "lo", "table", table);
    if (route.code !== 0) throw commandFailed("ip route replace", route);
  }
}

async function validate(options: InitOptions, io: InitIo): Promise<void> {
  const address = Object.values(io.interfaces())
    .flatMap((list) => list ?? [])
    .find((candidate) => candidate.family === "IPv4" && !candidate.internal)?.address;
  await validateCapture({
    proxyPort: Number(options.capture.proxyPort),
    inboundCapturePort: Number(options.capture.inboundCapturePort),
    probePort: options.probePort,
    timeoutMs: options.probeTimeoutMs,
    address: address ?? "127.0.0.1",
  });
  io.logger.info("capture works");
}

/** The machine itself. */
export function systemInitIo(logger: Logger, write: (text: string) => void): InitIo {
  return {
    run: runCommand,
    write,
    logger,
    interfaces: () => networkInterfaces(),
    resolvConf: () => readFileSync("/etc/resolv.conf", "utf8"),
  };
}

function runCommand([program = "", ...args]: readonly string[], input?: string): Promise<CommandResult> {
  return new Promise((resolve) => {
    const options = { encoding: "utf8", maxBuffer: 16 << 20, timeout: 60_000 } as const;
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
      const cause = error !== null && stderr === "" ? describeError(error) : stderr;
      resolve({ code, stdout, stderr: cause });
    });
    // A program that ends before it read everything says why on stderr.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input ?? "");
  });
}

function inNamespace(options: InitOptions, command: readonly string[]): readonly string[] {
  return options.networkNamespace === "" ? command : ["nsenter", `--net=${options.networkNamespace}`, "--", ...command];
}

function commandFailed(command: string, result: CommandResult): OutriggerError {
  return new OutriggerError("CAPTURE_FAILED", `${command}: ${result.stderr.trim().split("\n").slice(-3).join("; ")}`);
}

function countRules(tables: readonly TableRules[]): number {
  return tables.reduce((sum, { rules }) => sum + rules.filter((rule) => !rule.startsWith("-N ")).length, 0);
}
