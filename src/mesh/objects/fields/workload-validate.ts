// Rules for the address of a workload, in a WorkloadEntry or in a ServiceEntry.
import type { Report } from "../report.ts";
import { isDnsLabel, isDnsName, isIpAddress, warn } from "../validate-names.ts";
import { validateLabels } from "./selector.ts";
import type { WorkloadAddress } from "./workload.ts";

export function validateWorkloadAddress(entry: WorkloadAddress, path: string, report: Report): void {
  const { address } = entry;
  if (address === "" && entry.network === "") {
    report({ path: `${path}.address`, message: "an address or a network is needed" });
  } else if (address.startsWith("unix://")) {
    validateUnixPath(address.slice("unix://".length), `${path}.address`, report);
    if (Object.keys(entry.ports).length > 0) {
      report({ path: `${path}.ports`, message: "a Unix socket has no ports" });
    }
  } else if (address === "") {
    report(warn(`${path}.address`, `without an address it is reached by the gateways of ${entry.network} alone`));
  } else if (!isIpAddress(address) && !isDnsName(address)) {
    report({ path: `${path}.address`, message: `"${address}" is not an IP address or a host name` });
  }
  for (const [name, port] of Object.entries(entry.ports)) {
    if (!isDnsLabel(name)) report({ path: `${path}.ports["${name}"]`, message: `"${name}" is not a port name` });
    if (port < 1 || port > 65_535) {
      report({ path: `${path}.ports["${name}"]`, message: `${port} is not between 1 and 65535` });
    }
  }
  validateLabels(entry.labels, `${path}.labels`, report);
  const parts = entry.locality.split("/");
  if (entry.locality !== "" && (parts.length > 3 || parts.includes(""))) {
    report({ path: `${path}.locality`, message: `"${entry.locality}" is not a locality`, fix: "region/zone/subzone" });
  }
  if (entry.serviceAccount.length > 253) report({ path: `${path}.serviceAccount`, message: "the name is too long" });
  if (entry.network.length > 2048) report({ path: `${path}.network`, message: "the name is too long" });
}

/** `/path` or the abstract `@name`. */
export function validateUnixPath(path: string, at: string, report: Report): void {
  if (path === "") report({ path: at, message: "the socket has no path" });
  else if (!path.startsWith("/") && !path.startsWith("@")) report({ path: at, message: "the path is not absolute" });
  else if (path.endsWith("/")) report({ path: at, message: "the path is a directory" });
}
