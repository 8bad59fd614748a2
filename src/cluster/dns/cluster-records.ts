// What the cluster's DNS says about a name: Kubernetes' DNS specification 1.1 over the services that exist now. Pure.

import { type Answer, type Question, RecordType } from "#wire/dns/message.ts";
import type { ServiceDirectory } from "../network/service-directory.ts";
import { clusterAddress, isIpv4, sliceEndpoints } from "../network/service-endpoints.ts";
import type { ServiceView } from "../network/service-rules.ts";
import { asArray, asRecord, fieldAt } from "../store/json.ts";

/** The names that are ours, found or not; `elsewhere` is for other servers. */
export type Lookup =
  | { readonly kind: "records"; readonly answers: readonly Answer[]; readonly additional: readonly Answer[] }
  /** The name exists but has no record of this type. */
  | { readonly kind: "empty" }
  | { readonly kind: "unknown" }
  /** The alias of an ExternalName service whose target is not ours. */
  | { readonly kind: "alias"; readonly answer: Answer; readonly target: string }
  | { readonly kind: "elsewhere" };

export interface ClusterZone {
  readonly directory: Pick<ServiceDirectory, "get" | "all" | "hasNamespace">;
  /** As `cluster.local`. */
  readonly domain: string;
  /** Further names with their address. */
  readonly hosts?: ReadonlyMap<string, string>;
}

const maxAliases = 8;

export function lookUp(zone: ClusterZone, question: Question, depth = 0): Lookup {
  const { name } = question;
  const host = zone.hosts?.get(name);
  if (host !== undefined) return addressRecords(question, [host]);
  if (name.endsWith(".in-addr.arpa")) return lookUpAddress(zone, question);
  const services = `svc.${zone.domain}`;
  if (name !== zone.domain && !name.endsWith(`.${zone.domain}`)) return { kind: "elsewhere" };
  if (name === zone.domain || name === services) return { kind: "empty" };
  if (!name.endsWith(`.${services}`)) return { kind: "unknown" };
  const labels = name.slice(0, -services.length - 1).split(".");
  const namespace = labels.pop() ?? "";
  const serviceName = labels.pop();
  if (serviceName === undefined) return { kind: zone.directory.hasNamespace(namespace) ? "empty" : "unknown" };
  const view = zone.directory.get(namespace, serviceName);
  if (view === undefined) return { kind: "unknown" };
  if (fieldAt(view.service, "spec", "type") === "ExternalName") return lookUpAlias(zone, question, view, labels, depth);
  if (labels.length === 0) return addressesOf(question, view);
  if (labels.length === 1) return lookUpHost(question, view, labels[0] ?? "");
  const [portName, protocol] = labels;
  if (labels.length === 2 && portName?.startsWith("_") && protocol?.startsWith("_")) {
    return lookUpPort(question, view, portName.slice(1), protocol.slice(1), `${serviceName}.${namespace}.${services}`);
  }
  return { kind: "unknown" };
}

function addressesOf(question: Question, view: ServiceView): Lookup {
  const virtual = clusterAddress(view.service);
  const addresses = virtual === undefined ? endpointsOf(view).map((endpoint) => endpoint.address) : [virtual];
  return addressRecords(question, [...new Set(addresses)]);
}

/** `pod-hostname.service.namespace.svc`, and for pods without one the address with dashes, as CoreDNS has it. */
function lookUpHost(question: Question, view: ServiceView, host: string): Lookup {
  if (clusterAddress(view.service) !== undefined) return { kind: "unknown" };
  const matching = endpointsOf(view).filter((endpoint) => endpoint.host === host);
  if (matching.length === 0) return { kind: "unknown" };
  return addressRecords(question, [...new Set(matching.map((endpoint) => endpoint.address))]);
}

function addressRecords(question: Question, addresses: readonly string[]): Lookup {
  if (addresses.length === 0) return { kind: "unknown" };
  if (question.type !== RecordType.A && question.type !== RecordType.ANY) return { kind: "empty" };
  const answers = addresses.map((address): Answer => ({ name: question.rawName, type: "A", address }));
  return { kind: "records", answers, additional: [] };
}

function lookUpPort(question: Question, view: ServiceView, port: string, protocol: string, fullName: string): Lookup {
  const found = asArray(fieldAt(view.service, "spec", "ports"))
    .map(asRecord)
    .find(
      (item) => String(item["name"] ?? "") === port && String(item["protocol"] ?? "TCP").toLowerCase() === protocol,
    );
  if (found === undefined) return { kind: "unknown" };
  if (question.type !== RecordType.SRV && question.type !== RecordType.ANY) return { kind: "empty" };
  const virtual = clusterAddress(view.service);
  const targets =
    virtual === undefined
      ? endpointsOf(view, port).map(({ host, address, port: number }) => ({
          target: `${host}.${fullName}`,
          address,
          number,
        }))
      : [{ target: fullName, address: virtual, number: Number(found["port"]) }];
  if (targets.length === 0) return { kind: "unknown" };
  return {
    kind: "records",
    answers: targets.map(({ target, number }) => ({ name: question.rawName, type: "SRV", port: number, target })),
    additional: targets.map(({ target, address }) => ({ name: target, type: "A", address })),
  };
}

function lookUpAlias(
  zone: ClusterZone,
  question: Question,
  view: ServiceView,
  labels: readonly string[],
  depth: number,
): Lookup {
  const target = String(fieldAt(view.service, "spec", "externalName") ?? "")
    .toLowerCase()
    .replace(/\.$/, "");
  if (labels.length > 0 || target === "") return { kind: "unknown" };
  const answer: Answer = { name: question.rawName, type: "CNAME", target };
  if (question.type === RecordType.CNAME || depth >= maxAliases)
    return { kind: "records", answers: [answer], additional: [] };
  const rest = lookUp(zone, { ...question, name: target, rawName: target }, depth + 1);
  switch (rest.kind) {
    case "records":
      return { kind: "records", answers: [answer, ...rest.answers], additional: rest.additional };
    case "elsewhere":
      return { kind: "alias", answer, target };
    default:
      return { kind: "records", answers: [answer], additional: [] };
  }
}

/** The way back from an address: of services, and of endpoints that a service gives a name. */
function lookUpAddress(zone: ClusterZone, question: Question): Lookup {
  const address = question.name.slice(0, -".in-addr.arpa".length).split(".").reverse().join(".");
  if (!isIpv4(address) || !/^10\.(96|244)\./.test(address)) return { kind: "elsewhere" };
  const names = zone.directory.all().flatMap((view) => {
    const { name, namespace } = view.service.metadata;
    const fullName = `${name}.${namespace ?? ""}.svc.${zone.domain}`;
    const virtual = clusterAddress(view.service);
    if (virtual !== undefined) return virtual === address ? [fullName] : [];
    const hosts = endpointsOf(view).filter((endpoint) => endpoint.address === address);
    return [...new Set(hosts.map(({ host }) => `${host}.${fullName}`))];
  });
  if (names.length === 0) return { kind: "unknown" };
  if (question.type !== RecordType.PTR && question.type !== RecordType.ANY) return { kind: "empty" };
  return {
    kind: "records",
    answers: names.map((target) => ({ name: question.rawName, type: "PTR", target })),
    additional: [],
  };
}

interface NamedEndpoint {
  readonly address: string;
  readonly host: string;
  readonly port: number;
}

function endpointsOf(view: ServiceView, portName?: string): NamedEndpoint[] {
  const all = fieldAt(view.service, "spec", "publishNotReadyAddresses") === true;
  return view.slices.flatMap((slice) => {
    const ports = asArray(slice["ports"]).map(asRecord);
    const port = ports.find((item) => String(item["name"] ?? "") === (portName ?? ""));
    if (portName !== undefined && port === undefined) return [];
    return sliceEndpoints(slice)
      .filter((endpoint) => all || endpoint.ready)
      .flatMap(({ addresses, hostname }) =>
        addresses.map((address) => ({
          address,
          host: (hostname ?? address.replaceAll(".", "-")).toLowerCase(),
          port: Number(port?.["port"] ?? 0),
        })),
      );
  });
}
