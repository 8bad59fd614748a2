// Defaults of a Service; the addresses come from `service-addresses.ts`.

import { asArray, asRecord, type JsonRecord } from "../../store/json.ts";
import { mapField, mapItems, withDefaults } from "./fields.ts";

export function defaultService(object: JsonRecord, stored: JsonRecord | undefined): JsonRecord {
  return mapField(object, "spec", (given) => {
    const spec = withDefaults(given, { type: "ClusterIP", sessionAffinity: "None" });
    if (spec["type"] === "ExternalName") return spec;
    const ports = mapItems(spec, "ports", (port) =>
      withDefaults(withDefaults(port, { protocol: "TCP" }), { targetPort: port["port"] }),
    );
    const outside = spec["type"] === "ClusterIP" ? {} : { externalTrafficPolicy: "Cluster" };
    return withDefaults(keepAddresses(ports, asRecord(stored?.["spec"])), {
      internalTrafficPolicy: "Cluster",
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
      ...outside,
    });
  });
}

/** An update that does not name the addresses keeps them. */
function keepAddresses(spec: JsonRecord, stored: JsonRecord): JsonRecord {
  if (stored["type"] === "ExternalName" || stored["clusterIP"] === undefined) return spec;
  const kept = withDefaults(spec, { clusterIP: stored["clusterIP"], clusterIPs: stored["clusterIPs"] });
  if (spec["type"] === "ClusterIP") return kept;
  const nodePorts = new Map(
    asArray(stored["ports"]).map((port) => [
      `${asRecord(port)["protocol"]}/${asRecord(port)["port"]}`,
      asRecord(port)["nodePort"],
    ]),
  );
  return mapItems(kept, "ports", (port) => {
    const nodePort = nodePorts.get(`${port["protocol"]}/${port["port"]}`);
    return nodePort === undefined ? port : withDefaults(port, { nodePort });
  });
}
