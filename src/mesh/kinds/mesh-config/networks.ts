// Reads `meshNetworks`: YAML text of the ConfigMap `istio`, key `meshNetworks`. Which endpoints are on which network, and
// through which gateways the others get there. A wrong network costs itself.
import { parse } from "yaml";
import type { Issue, ObjectRef } from "#base/issue.ts";
import { cidrMap } from "#base/net/cidr-map.ts";
import { count, lenientRecord, list, text } from "../../objects/decode.ts";
import { child, type Path, renderPath } from "../../objects/path.ts";
import { type Report, reportInto } from "../../objects/report.ts";
import { isDnsName, isIpAddress, isIpOrCidr } from "../../objects/validate-names.ts";
import type { MeshNetwork } from "./spec.ts";

const decodeNetwork = lenientRecord<Omit<MeshNetwork, "name">>({
  endpoints: list(lenientRecord<MeshNetwork["endpoints"][number]>({ fromCidr: text, fromRegistry: text })),
  gateways: list(
    lenientRecord<MeshNetwork["gateways"][number]>({
      address: text,
      registryServiceName: text,
      port: count,
      locality: text,
    }),
  ),
});

export function parseMeshNetworks(
  yaml: string,
  object: ObjectRef = { kind: "ConfigMap", namespace: "istio-system", name: "istio" },
): { readonly networks: readonly MeshNetwork[]; readonly issues: readonly Issue[] } {
  const issues: Issue[] = [];
  const report = reportInto(issues, object, () => undefined);
  let value: unknown;
  try {
    value = parse(yaml, { version: "1.1", maxAliasCount: 100 });
  } catch (error) {
    const message = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    report({ path: undefined, message: `meshNetworks is not valid YAML: ${message}` });
    return { networks: [], issues };
  }
  return { networks: decodeNetworks(value, report), issues };
}

function decodeNetworks(value: unknown, report: Report): MeshNetwork[] {
  if (value === undefined || value === null) return [];
  const top = child(undefined, "networks");
  const named = typeof value === "object" && "networks" in value ? value.networks : undefined;
  if (named === undefined && typeof value === "object" && Object.keys(value).length === 0) return [];
  if (typeof named !== "object" || named === null || Array.isArray(named)) {
    report({ path: top, message: "meshNetworks needs the field networks: networks by name" });
    return [];
  }
  return Object.entries(named).flatMap(([name, network]) => {
    const path = child(top, name);
    const decoded = decodeNetwork(network ?? {}, path, report);
    if (decoded === undefined) return [];
    return [
      { name, endpoints: usableEndpoints(decoded, path, report), gateways: usableGateways(decoded, path, report) },
    ];
  });
}

function usableEndpoints(
  { endpoints }: Omit<MeshNetwork, "name">,
  path: Path,
  report: Report,
): MeshNetwork["endpoints"] {
  return endpoints.filter(({ fromCidr, fromRegistry }, index) => {
    const at = `${renderPath(path)}.endpoints[${index}]`;
    if ((fromCidr === "") === (fromRegistry === "")) {
      report({ path: at, message: "exactly one of fromCidr and fromRegistry is needed" });
      return false;
    }
    if (fromCidr === "" || isIpOrCidr(fromCidr)) return true;
    report({ path: `${at}.fromCidr`, message: `"${fromCidr}" is no CIDR block` });
    return false;
  });
}

function usableGateways({ gateways }: Omit<MeshNetwork, "name">, path: Path, report: Report): MeshNetwork["gateways"] {
  return gateways.filter(({ address, registryServiceName, port }, index) => {
    const at = `${renderPath(path)}.gateways[${index}]`;
    if ((address === "") === (registryServiceName === "")) {
      report({ path: at, message: "exactly one of address and registryServiceName is needed" });
      return false;
    }
    if (port < 1 || port > 65_535) {
      report({ path: `${at}.port`, message: `${port} is not between 1 and 65535` });
      return false;
    }
    if (address === "" || isIpAddress(address) || isDnsName(address)) return true;
    report({ path: `${at}.address`, message: `"${address}" is neither an IP address nor a host name` });
    return false;
  });
}

/** The network that a block of addresses is of; the most specific block counts. */
export function networkByAddress(networks: readonly MeshNetwork[]): (address: string) => string | undefined {
  const blocks = networks.flatMap(({ name, endpoints }) =>
    endpoints.flatMap(({ fromCidr }) => (fromCidr === "" ? [] : [{ range: fromCidr, name }])),
  );
  if (blocks.length === 0) return () => undefined;
  const map = cidrMap(
    blocks,
    ({ range }) => [range],
    ([first]) => first?.name,
  );
  return (address) => map.find(address) ?? undefined;
}
