// The rules that send a pod's traffic to its proxy, as istio-iptables writes them: same chains, same order.
//   PREROUTING → ISTIO_INBOUND → ISTIO_IN_REDIRECT (15006)      OUTPUT → ISTIO_OUTPUT → ISTIO_REDIRECT (15001)
// The proxy's own user and group, the loopback and the excluded ports and ranges return before the redirect.
// Pure: options and host facts in, rules out.
import { isIP } from "node:net";
import type { CaptureOptions, HostFacts } from "./options.ts";
import { type Family, RuleList, type Table, type TableRules } from "./rule-list.ts";

const inbound = "ISTIO_INBOUND";
const output = "ISTIO_OUTPUT";
const outputDns = "ISTIO_OUTPUT_DNS";
const redirect = "ISTIO_REDIRECT";
const inRedirect = "ISTIO_IN_REDIRECT";
const divert = "ISTIO_DIVERT";
const tproxy = "ISTIO_TPROXY";
const drop = "ISTIO_DROP";

const dnsPort = "15053";
/** Marks what the proxy sends to the application by the pod's address, so that it is captured as inbound. */
const outboundMark = "1338";

export interface CaptureRules {
  readonly v4: readonly TableRules[];
  /** Empty where the machine has no IPv6. */
  readonly v6: readonly TableRules[];
}

export function captureRules(options: CaptureOptions, host: HostFacts): CaptureRules {
  const rules = new RuleList();
  const ranges = {
    v4: splitRanges(options.outboundRangesInclude, 4),
    v6: splitRanges(options.outboundRangesInclude, 6),
  };
  const excluded = splitRanges(options.outboundRangesExclude, 4);
  const excludedV6 = splitRanges(options.outboundRangesExclude, 6);
  const dns = dnsIsRedirected(options, host);

  returnExcludedInterfaces(rules, options);
  if (options.dropInvalid) {
    rules.append("mangle", "PREROUTING", `-m conntrack --ctstate INVALID -j ${drop}`);
    rules.append("mangle", drop, "-j DROP");
  }
  for (const name of options.virtualInterfaces) rules.insert("nat", "PREROUTING", 1, `-i ${name} -j RETURN`);
  rules.append("nat", inbound, `-p tcp --dport ${options.inboundTunnelPort} -j RETURN`);
  rules.append("nat", redirect, `-p tcp -j REDIRECT --to-ports ${options.proxyPort}`);
  rules.append("nat", inRedirect, `-p tcp -j REDIRECT --to-ports ${options.inboundCapturePort}`);
  captureInbound(rules, options);

  rules.append("nat", "OUTPUT", `-j ${output}`);
  for (const port of options.outboundPortsExclude) rules.append("nat", output, `-p tcp --dport ${port} -j RETURN`);
  // 127.0.0.6 is the source of connections from the proxy to the application.
  rules.appendVersioned("nat", output, ["127.0.0.6/32", "::6/128"], (self) => `-o lo -s ${self} -j RETURN`);
  const loopbackIsCaptured = [...ranges.v4.ranges, ...ranges.v6.ranges].some(isLoopback);
  for (const uid of options.proxyUids) {
    const ports = dns
      ? `-p tcp -m multiport ! --dports 53,${options.inboundTunnelPort}`
      : `-p tcp ! --dport ${options.inboundTunnelPort}`;
    exemptProxy(rules, options, { match: "--uid-owner", id: uid, ports, dns, loopbackIsCaptured });
  }
  for (const gid of options.proxyGids) {
    const ports = `-p tcp ! --dport ${options.inboundTunnelPort}`;
    exemptProxy(rules, options, { match: "--gid-owner", id: gid, ports, dns, loopbackIsCaptured });
  }
  captureByOwnerGroup(rules, options);
  if (dns) captureDns(rules, options, host);
  rules.appendVersioned("nat", output, [options.loopbackCidr, "::1/128"], (loopback) => `-d ${loopback} -j RETURN`);
  for (const range of excluded.ranges) rules.appendFor("v4", "nat", output, `-d ${range} -j RETURN`);
  for (const range of excludedV6.ranges) rules.appendFor("v6", "nat", output, `-d ${range} -j RETURN`);
  for (const port of options.outboundPortsInclude) rules.append("nat", output, `-p tcp --dport ${port} -j ${redirect}`);
  captureRanges(rules, options, "v4", ranges.v4);
  captureRanges(rules, options, "v6", ranges.v6);
  if (options.inboundMode === "TPROXY") markForTproxy(rules, options);

  return { v4: rules.tables("v4"), v6: host.ipv6 ? rules.tables("v6") : [] };
}

/** Without a name server to look for, only capture-all can redirect DNS. */
export function dnsIsRedirected(options: CaptureOptions, host: HostFacts): boolean {
  const servers = host.dnsServersV4.length + host.dnsServersV6.length;
  return options.redirectDns && (options.captureAllDns || servers > 0);
}

function returnExcludedInterfaces(rules: RuleList, options: CaptureOptions): void {
  const tables: Table[] = options.inboundMode === "TPROXY" ? ["nat", "mangle"] : ["nat"];
  for (const table of tables) {
    for (const name of options.excludeInterfaces) {
      rules.append(table, "PREROUTING", `-i ${name} -j RETURN`);
      rules.append(table, "OUTPUT", `-o ${name} -j RETURN`);
    }
  }
}

function captureInbound(rules: RuleList, options: CaptureOptions): void {
  const ports = options.inboundPortsInclude;
  if (ports.length === 0) return;
  const transparent = options.inboundMode === "TPROXY";
  const table: Table = transparent ? "mangle" : "nat";
  if (transparent) {
    rules.append(table, divert, `-j MARK --set-mark ${options.tproxyMark}`);
    rules.append(table, divert, "-j ACCEPT");
    rules.appendVersioned(
      table,
      tproxy,
      [options.loopbackCidr, "::1/128"],
      (loopback) =>
        `! -d ${loopback} -p tcp -j TPROXY --tproxy-mark ${options.tproxyMark}/0xffffffff --on-port ${options.inboundCapturePort}`,
    );
  }
  rules.append(table, "PREROUTING", `-p tcp -j ${inbound}`);
  const all = ports.includes("*");
  if (all) {
    for (const port of options.inboundPortsExclude) rules.append(table, inbound, `-p tcp --dport ${port} -j RETURN`);
  }
  for (const match of all ? ["-p tcp"] : ports.map((port) => `-p tcp --dport ${port}`)) {
    if (transparent) {
      // Packets of an established connection go to its socket; only a new one needs TPROXY.
      rules.append(table, inbound, `${match} -m conntrack --ctstate RELATED,ESTABLISHED -j ${divert}`);
      rules.append(table, inbound, `${match} -j ${tproxy}`);
    } else {
      rules.append(table, inbound, `${match} -j ${inRedirect}`);
    }
  }
}

interface ProxyIdentity {
  readonly match: "--uid-owner" | "--gid-owner";
  readonly id: string;
  readonly ports: string;
  readonly dns: boolean;
  readonly loopbackIsCaptured: boolean;
}

/**
 * Three rules for each identity of the proxy: its calls to the own pod's address pass the inbound listener; the
 * application's loopback is left alone; everything else of the proxy leaves without capture, or it would loop.
 */
function exemptProxy(rules: RuleList, options: CaptureOptions, identity: ProxyIdentity): void {
  const { match, id, ports, dns } = identity;
  rules.appendVersioned(
    "nat",
    output,
    [options.loopbackCidr, "::1/128"],
    (loopback) => `-o lo ! -d ${loopback} ${ports} -m owner ${match} ${id} -j ${inRedirect}`,
  );
  if (!identity.loopbackIsCaptured) {
    // A name server on localhost must still be captured.
    const notDns = dns ? "-p tcp ! --dport 53 " : "";
    rules.append("nat", output, `-o lo ${notDns}-m owner ! ${match} ${id} -j RETURN`);
  }
  rules.append("nat", output, `-m owner ${match} ${id} -j RETURN`);
}

function captureByOwnerGroup(rules: RuleList, options: CaptureOptions): void {
  if (options.ownerGroupsInclude.includes("*")) {
    for (const group of options.ownerGroupsExclude) {
      rules.append("nat", output, `-m owner --gid-owner ${group} -j RETURN`);
    }
  } else {
    const noneOf = options.ownerGroupsInclude.map((group) => `-m owner ! --gid-owner ${group} `).join("");
    rules.append("nat", output, `${noneOf}-j RETURN`);
  }
}

function captureDns(rules: RuleList, options: CaptureOptions, host: HostFacts): void {
  rules.append("raw", "OUTPUT", `-j ${outputDns}`);
  rules.append("nat", output, `-j ${outputDns}`);
  const servers: readonly (readonly [Family, string])[] = [
    ...host.dnsServersV4.map((server) => ["v4", `${server}/32`] as const),
    ...host.dnsServersV6.map((server) => ["v6", `${server}/128`] as const),
  ];
  if (options.captureAllDns) {
    rules.append("nat", outputDns, `-p tcp --dport 53 -j REDIRECT --to-ports ${dnsPort}`);
    rules.append("nat", outputDns, `-p udp --dport 53 -j REDIRECT --to-port ${dnsPort}`);
  } else {
    for (const [family, server] of servers) {
      rules.appendFor(family, "nat", outputDns, `-p tcp --dport 53 -d ${server} -j REDIRECT --to-ports ${dnsPort}`);
    }
    for (const [family, server] of servers) {
      rules.appendFor(family, "nat", outputDns, `-p udp --dport 53 -d ${server} -j REDIRECT --to-port ${dnsPort}`);
    }
  }
  // Separate conntrack zones: the agent's queries upstream and the application's queries to the agent share a
  // five-tuple after the redirect.
  const owners = [
    ...options.proxyUids.map((uid) => `--uid-owner ${uid}`),
    ...options.proxyGids.map((gid) => `--gid-owner ${gid}`),
  ];
  for (const owner of owners) {
    rules.append("raw", outputDns, `-p udp --dport 53 -m owner ${owner} -j CT --zone 1`);
    rules.append("raw", outputDns, `-p udp --sport ${dnsPort} -m owner ${owner} -j CT --zone 2`);
  }
  if (options.captureAllDns) {
    rules.append("raw", "PREROUTING", `-j ${inbound}`);
    rules.append("raw", outputDns, "-p udp --dport 53 -j CT --zone 2");
    rules.append("raw", inbound, "-p udp --sport 53 -j CT --zone 1");
    return;
  }
  for (const family of ["v4", "v6"] as const) {
    const own = servers.filter(([of]) => of === family);
    if (own.length > 0) rules.appendFor(family, "raw", "PREROUTING", `-j ${inbound}`);
    for (const [, server] of own) {
      rules.appendFor(family, "raw", outputDns, `-p udp --dport 53 -d ${server} -j CT --zone 2`);
      rules.appendFor(family, "raw", inbound, `-p udp --sport 53 -s ${server} -j CT --zone 1`);
    }
  }
}

function captureRanges(rules: RuleList, options: CaptureOptions, family: Family, include: Ranges): void {
  if (include.all) {
    rules.appendFor(family, "nat", output, `-j ${redirect}`);
    for (const name of options.virtualInterfaces) {
      rules.insert("nat", "PREROUTING", 1, `-i ${name} -j ${redirect}`, family);
    }
    return;
  }
  for (const range of include.ranges) {
    for (const name of options.virtualInterfaces) {
      rules.insert("nat", "PREROUTING", 1, `-i ${name} -d ${range} -j ${redirect}`, family);
    }
    rules.appendFor(family, "nat", output, `-d ${range} -j ${redirect}`);
  }
}

function markForTproxy(rules: RuleList, options: CaptureOptions): void {
  const mark = options.tproxyMark;
  rules.append("mangle", "PREROUTING", `-p tcp -m mark --mark ${mark} -j CONNMARK --save-mark`);
  rules.append("mangle", "OUTPUT", `-p tcp -o lo -m mark --mark ${mark} -j RETURN`);
  const owners = [
    ...options.proxyUids.map((uid) => `--uid-owner ${uid}`),
    ...options.proxyGids.map((gid) => `--gid-owner ${gid}`),
  ];
  for (const owner of owners) {
    rules.appendVersioned(
      "mangle",
      "OUTPUT",
      [options.loopbackCidr, "::1/128"],
      (loopback) => `! -d ${loopback} -p tcp -o lo -m owner ${owner} -j MARK --set-mark ${outboundMark}`,
    );
  }
  rules.append("mangle", "OUTPUT", `-p tcp -m connmark --mark ${mark} -j CONNMARK --restore-mark`);
  rules.insert("mangle", inbound, 1, `-p tcp -m mark --mark ${mark} -j RETURN`);
  rules.insert("mangle", inbound, 2, "-p tcp -s 127.0.0.6/32 -i lo -j RETURN", "v4");
  rules.insert("mangle", inbound, 2, "-p tcp -s ::6/128 -i lo -j RETURN", "v6");
  rules.insert("mangle", inbound, 3, `-p tcp -i lo -m mark ! --mark ${outboundMark} -j RETURN`);
}

interface Ranges {
  readonly all: boolean;
  readonly ranges: readonly string[];
}

function splitRanges(ranges: readonly string[], version: 4 | 6): Ranges {
  if (ranges.includes("*")) return { all: true, ranges: [] };
  return { all: false, ranges: ranges.filter((range) => isIP(range.split("/")[0] ?? "") === version) };
}

function isLoopback(range: string): boolean {
  return range.startsWith("127.") || range.startsWith("::1/");
}
