// Settings of workloads that are neither traffic nor security: Telemetry and ProxyConfig.
import { type ProxyConfigLayers, proxyConfigLayers } from "../kinds/proxy-config/resolve.ts";
import { telemetryLevels } from "../kinds/telemetry/resolve.ts";
import type { TelemetrySpec } from "../kinds/telemetry/spec.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { ObjectTable } from "./object-table.ts";
import type { WorkloadSubject } from "./snapshot.ts";

export interface WorkloadSettings {
  /** From the mesh's to the workload's own. */
  telemetry(subject: WorkloadSubject): readonly MeshObject<TelemetrySpec>[];
  proxyConfig(subject: WorkloadSubject): ProxyConfigLayers;
}

export function indexWorkloadSettings(objects: ObjectTable, rootNamespace: string): WorkloadSettings {
  return {
    telemetry(subject) {
      const root = objects.inNamespace("Telemetry", rootNamespace);
      const own = subject.namespace === rootNamespace ? [] : objects.inNamespace("Telemetry", subject.namespace);
      return telemetryLevels(root, own, { ...subject, rootNamespace });
    },
    proxyConfig({ namespace, labels }) {
      const root = objects.inNamespace("ProxyConfig", rootNamespace);
      return proxyConfigLayers(root, objects.inNamespace("ProxyConfig", namespace), labels);
    },
  };
}
