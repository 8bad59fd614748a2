// Rules for traffic policies that the types of their fields cannot say.
import type { Report } from "../report.ts";
import { isDnsName, isIpAddress, warn } from "../validate-names.ts";
import { validateDuration } from "./duration-validate.ts";
import { validatePortNumber } from "./port.ts";
import type {
  ClientTlsSettings,
  ConnectionPoolSettings,
  ConsistentHash,
  LoadBalancerSettings,
  LocalityLbSetting,
  OutlierDetection,
  PortTrafficPolicy,
  TrafficPolicy,
  TunnelSettings,
} from "./traffic-policy.ts";

export function validateTrafficPolicy(policy: TrafficPolicy, path: string, report: Report): void {
  const { loadBalancer, connectionPool, outlierDetection, tls, tunnel, proxyProtocol, retryBudget } = policy;
  const blocks = [loadBalancer, connectionPool, outlierDetection, tls, tunnel, proxyProtocol, retryBudget];
  if (blocks.every((block) => block === undefined) && policy.portLevelSettings.length === 0) {
    report({ path, message: "the trafficPolicy says nothing", fix: "set at least one of its fields, or leave it out" });
  }
  validateBlocks(policy, path, report);
  if (tunnel !== undefined) validateTunnel(tunnel, `${path}.tunnel`, report);
  if (tunnel !== undefined && proxyProtocol !== undefined) {
    report({ path: `${path}.proxyProtocol`, message: "tunnel and proxyProtocol cannot both be set" });
  }
  if (retryBudget?.percent !== undefined && (retryBudget.percent < 0 || retryBudget.percent > 100)) {
    report({ path: `${path}.retryBudget.percent`, message: `${retryBudget.percent} is not between 0 and 100` });
  }
  const ports = new Set<number>();
  for (const [index, item] of policy.portLevelSettings.entries()) {
    const at = `${path}.portLevelSettings[${index}]`;
    if (item.port === undefined || item.port.number === 0) report({ path: `${at}.port`, message: "a port is needed" });
    else {
      validatePortNumber(item.port.number, `${at}.port.number`, report);
      if (ports.has(item.port.number))
        report({ path: `${at}.port.number`, message: `port ${item.port.number} stands twice` });
      ports.add(item.port.number);
    }
    if (
      [item.loadBalancer, item.connectionPool, item.outlierDetection, item.tls].every((block) => block === undefined)
    ) {
      report({ path: at, message: "the settings of this port say nothing" });
    }
    validateBlocks(item, at, report);
  }
}

function validateBlocks(policy: PortTrafficPolicy, path: string, report: Report): void {
  if (policy.loadBalancer !== undefined) {
    validateLoadBalancer(policy.loadBalancer, `${path}.loadBalancer`, report);
    warnOfFailover(policy, path, report);
  }
  if (policy.connectionPool !== undefined) {
    validateConnectionPool(policy.connectionPool, `${path}.connectionPool`, report);
  }
  if (policy.outlierDetection !== undefined) {
    validateOutlierDetection(policy.outlierDetection, `${path}.outlierDetection`, report);
  }
  if (policy.tls !== undefined) validateClientTls(policy.tls, `${path}.tls`, report);
}

export function validateConnectionPool(pool: ConnectionPoolSettings, path: string, report: Report): void {
  const { tcp, http } = pool;
  if (tcp === undefined && http === undefined) {
    report({ path, message: "the connectionPool says nothing", fix: "set tcp or http" });
  }
  validateDuration(tcp?.connectTimeout, `${path}.tcp.connectTimeout`, report);
  validateDuration(tcp?.maxConnectionDuration, `${path}.tcp.maxConnectionDuration`, report);
  validateDuration(tcp?.tcpKeepalive?.time, `${path}.tcp.tcpKeepalive.time`, report);
  validateDuration(tcp?.tcpKeepalive?.interval, `${path}.tcp.tcpKeepalive.interval`, report);
  // Zero turns it off.
  if (tcp?.idleTimeout !== 0) validateDuration(tcp?.idleTimeout, `${path}.tcp.idleTimeout`, report);
  validateDuration(http?.idleTimeout, `${path}.http.idleTimeout`, report);
  if (http?.useClientProtocol === true && http.h2UpgradePolicy === "UPGRADE") {
    report({ path: `${path}.http.h2UpgradePolicy`, message: "UPGRADE cannot be combined with useClientProtocol" });
  }
  const keepAlive = http?.http2KeepAlive;
  if (keepAlive !== undefined && (keepAlive.interval === undefined || keepAlive.timeout === undefined)) {
    report({ path: `${path}.http.http2KeepAlive`, message: "interval and timeout are both needed" });
  }
}

function validateOutlierDetection(detection: OutlierDetection, path: string, report: Report): void {
  for (const field of ["interval", "baseEjectionTime"] as const) {
    validateDuration(detection[field], `${path}.${field}`, report);
  }
  if (detection.consecutiveErrors > 0) {
    const fix = "consecutive5xxErrors or consecutiveGatewayErrors";
    report(warn(`${path}.consecutiveErrors`, "consecutiveErrors is an old spelling", fix));
  }
  for (const field of ["maxEjectionPercent", "minHealthPercent"] as const) {
    if (detection[field] > 100) report({ path: `${path}.${field}`, message: `${detection[field]} is more than 100` });
  }
  if (
    detection.consecutiveLocalOriginFailures !== undefined &&
    detection.consecutiveLocalOriginFailures > 0 &&
    !detection.splitExternalLocalOriginErrors
  ) {
    report({
      path: `${path}.consecutiveLocalOriginFailures`,
      message: "this counts only with splitExternalLocalOriginErrors: true",
    });
  }
}

function validateLoadBalancer(settings: LoadBalancerSettings, path: string, report: Report): void {
  if (settings.simple !== undefined && settings.consistentHash !== undefined) {
    report({ path, message: "simple and consistentHash cannot both be set" });
  }
  if (settings.warmup !== undefined && settings.warmupDurationSecs !== undefined) {
    report({ path, message: "warmup and warmupDurationSecs cannot both be set" });
  }
  if (settings.localityLbSetting !== undefined && settings.zoneAwareLbSetting !== undefined) {
    report({ path, message: "localityLbSetting and zoneAwareLbSetting cannot both be set" });
  }
  if (settings.consistentHash !== undefined) validateHash(settings.consistentHash, `${path}.consistentHash`, report);
  if (settings.localityLbSetting !== undefined) {
    validateLocality(settings.localityLbSetting, `${path}.localityLbSetting`, report);
  }
  for (const [index, key] of (settings.zoneAwareLbSetting?.failoverPriority ?? []).entries()) {
    if (/^topology\.(kubernetes|istio)\.io\/(region|zone|subzone)/.test(key)) {
      report({ path: `${path}.zoneAwareLbSetting.failoverPriority[${index}]`, message: `${key} cannot be used here` });
    }
  }
  const { warmup } = settings;
  if (warmup !== undefined) {
    if (warmup.duration === undefined) report({ path: `${path}.warmup`, message: "a duration is needed" });
    validateDuration(warmup.duration, `${path}.warmup.duration`, report);
    if (warmup.minimumPercent < 0 || warmup.minimumPercent > 100) {
      report({ path: `${path}.warmup.minimumPercent`, message: `${warmup.minimumPercent} is not between 0 and 100` });
    }
    if (warmup.aggression < 1) report({ path: `${path}.warmup.aggression`, message: "aggression is less than 1" });
  }
}

function validateHash(hash: ConsistentHash, path: string, report: Report): void {
  const keys = [hash.httpHeaderName, hash.httpCookie, hash.useSourceIp, hash.httpQueryParameterName];
  const set = keys.filter((key) => key !== undefined).length;
  if (set > 1) report({ path, message: "only one hash key can be set" });
  const sizes = [hash.ringHash, hash.maglev].filter((size) => size !== undefined).length;
  if (sizes > 1) report({ path, message: "ringHash and maglev cannot both be set" });
  if (sizes > 0 && hash.minimumRingSize > 0) {
    report({ path: `${path}.minimumRingSize`, message: "minimumRingSize cannot be combined with ringHash or maglev" });
  }
  if (hash.minimumRingSize > 0 && sizes === 0) {
    const fix = `ringHash: { minimumRingSize: ${hash.minimumRingSize} }`;
    report(warn(`${path}.minimumRingSize`, "minimumRingSize is an old spelling", fix));
  }
  const { httpCookie } = hash;
  if (httpCookie !== undefined) {
    if (httpCookie.name === "") report({ path: `${path}.httpCookie`, message: "the cookie needs a name" });
    const names = new Set<string>();
    for (const [index, { name }] of httpCookie.attributes.entries()) {
      const at = `${path}.httpCookie.attributes[${index}]`;
      if (name === "") report({ path: at, message: "the attribute needs a name" });
      if (names.has(name)) report({ path: at, message: `the attribute ${name} stands twice` });
      names.add(name);
    }
  }
  if (hash.maglev !== undefined && !isMaglevSize(hash.maglev.tableSize)) {
    const message = `${hash.maglev.tableSize} is not a prime number below 5000011`;
    report({ path: `${path}.maglev.tableSize`, message, fix: "65537" });
  }
}

function isMaglevSize(size: number): boolean {
  if (size < 2 || size >= 5_000_011) return false;
  for (let divisor = 2; divisor * divisor <= size; divisor++) if (size % divisor === 0) return false;
  return true;
}

export function validateLocality(setting: LocalityLbSetting, path: string, report: Report): void {
  if (setting.distribute.length > 0 && setting.failover.length > 0) {
    report({ path, message: "distribute cannot be combined with failover" });
  } else if (setting.distribute.length > 0 && setting.failoverPriority.length > 0) {
    report(warn(`${path}.failoverPriority`, "distribute says where requests go: failoverPriority has no effect"));
  }
  for (const [index, label] of setting.failoverPriority.entries()) {
    if (setting.failover.length === 0 || !topologyLabels.has(label)) continue;
    report({ path: `${path}.failoverPriority[${index}]`, message: `${label} cannot be combined with failover` });
  }
  const froms: string[] = [];
  for (const [index, { from, to }] of setting.distribute.entries()) {
    const at = `${path}.distribute[${index}]`;
    const total = Object.values(to).reduce((sum, weight) => sum + weight, 0);
    if (total !== 100) report({ path: `${at}.to`, message: `the weights add up to ${total}, not 100` });
    if (Object.values(to).includes(0)) report({ path: `${at}.to`, message: "a weight is 0" });
    const earlier = froms.find((other) => overlap(other, from));
    if (earlier !== undefined) report({ path: `${at}.from`, message: `${from} and ${earlier} overlap` });
    froms.push(from);
    for (const locality of [from, ...Object.keys(to)]) validateLocalityName(locality, at, report);
    for (const [place, locality] of Object.keys(to).entries()) {
      const other = Object.keys(to).find((name, index) => index < place && overlap(name, locality));
      if (other !== undefined) report({ path: `${at}.to`, message: `${locality} and ${other} overlap` });
    }
  }
  for (const [index, { from, to }] of setting.failover.entries()) {
    const at = `${path}.failover[${index}]`;
    if (from === to) report({ path: at, message: `from and to are both ${from}` });
    for (const region of [from, to]) {
      if (region.includes("*") || region.includes("/")) report({ path: at, message: `"${region}" is not a region` });
    }
  }
}

const topologyLabels: ReadonlySet<string> = new Set([
  "topology.kubernetes.io/region",
  "topology.kubernetes.io/zone",
  "topology.istio.io/subzone",
]);

/** Endpoints are only left for others when something says that they are not well. */
function warnOfFailover({ loadBalancer, outlierDetection }: PortTrafficPolicy, path: string, report: Report): void {
  const setting = loadBalancer?.localityLbSetting;
  if (setting === undefined || outlierDetection !== undefined) return;
  const field = (["failover", "failoverPriority"] as const).find((name) => setting[name].length > 0);
  if (field === undefined) return;
  const at = `${path}.loadBalancer.localityLbSetting.${field}`;
  report(warn(at, `${field} has no effect without outlierDetection`, "outlierDetection: {}"));
}

/** Tells whether some locality is part of both; `*` and nothing are any. */
function overlap(a: string, b: string): boolean {
  const [first, second] = [a.split("/"), b.split("/")];
  return [0, 1, 2].every((index) => {
    const [x = "*", y = "*"] = [first[index], second[index]];
    return x === "*" || y === "*" || x === y;
  });
}

function validateLocalityName(locality: string, path: string, report: Report): void {
  const parts = locality.split("/");
  const star = locality.indexOf("*");
  if (locality === "" || parts.length > 3 || parts.includes("")) {
    report({ path, message: `"${locality}" is not a locality`, fix: "region/zone/subzone" });
  } else if (star !== -1 && star !== locality.length - 1) {
    report({ path, message: `"${locality}": a wildcard can only stand at the end` });
  }
}

export function validateClientTls(tls: ClientTlsSettings, path: string, report: Report): void {
  const files = ["clientCertificate", "privateKey", "caCertificates"] as const;
  if (tls.mode === "ISTIO_MUTUAL") {
    for (const field of [...files, "credentialName"] as const) {
      if (tls[field] !== "") {
        report(warn(`${path}.${field}`, `${field} has no effect with ISTIO_MUTUAL: the mesh gives the certificates`));
      }
    }
    return;
  }
  if (tls.mode === "DISABLE") return;
  if (tls.credentialName !== "" && [...files, "caCrl" as const].some((field) => tls[field] !== "")) {
    report({ path: `${path}.credentialName`, message: "credentialName cannot be combined with certificate files" });
  }
  if (tls.insecureSkipVerify === true) {
    const unused = [
      tls.caCertificates !== "" && "caCertificates",
      tls.subjectAltNames.length > 0 && "subjectAltNames",
      tls.mode === "SIMPLE" && tls.credentialName !== "" && "credentialName",
    ].filter((field) => field !== false);
    for (const field of unused) {
      report({ path: `${path}.${field}`, message: `${field} cannot be combined with insecureSkipVerify` });
    }
  }
  if (tls.mode === "MUTUAL" && tls.credentialName === "") {
    if (tls.clientCertificate === "") report({ path, message: "MUTUAL needs a clientCertificate or a credentialName" });
    if (tls.privateKey === "") report({ path, message: "MUTUAL needs a privateKey or a credentialName" });
  }
  for (const [index, name] of tls.subjectAltNames.entries()) {
    if (name === "") report({ path: `${path}.subjectAltNames[${index}]`, message: "the name is empty" });
  }
}

function validateTunnel(tunnel: TunnelSettings, path: string, report: Report): void {
  if (!["", "CONNECT", "POST"].includes(tunnel.protocol)) {
    report({ path: `${path}.protocol`, message: `"${tunnel.protocol}" is not CONNECT or POST` });
  }
  if (!isDnsName(tunnel.targetHost) && !isIpAddress(tunnel.targetHost)) {
    report({ path: `${path}.targetHost`, message: `"${tunnel.targetHost}" is not a host` });
  }
  validatePortNumber(tunnel.targetPort, `${path}.targetPort`, report);
}
