// Builds snapshots with the mesh's settings as they stand in the cluster: ConfigMap `istio`, key `mesh`, of the root
// namespace; the one with the revision's name counts first.
import { hasErrors, type Issue } from "#base/issue.ts";
import { defaultMeshConfig, type PlaceOfField, parseMeshConfig } from "#mesh/kinds/mesh-config/decode.ts";
import { parseMeshNetworks } from "#mesh/kinds/mesh-config/networks.ts";
import { unsetVariables } from "#mesh/kinds/mesh-config/providers.ts";
import type { MeshConfig } from "#mesh/kinds/mesh-config/spec.ts";
import { type KubernetesObject, sourceAnnotation } from "#mesh/objects/kubernetes-object.ts";
import { decodeSourceAnnotation, positionInText } from "#mesh/objects/source-annotation.ts";
import { type BuiltSnapshot, buildSnapshot } from "#mesh/snapshot/build.ts";
import type { KeyFetching } from "#mesh/snapshot/key-plan.ts";
import type { KeySets } from "#mesh/snapshot/key-sets.ts";
import type { HostAddresses } from "#mesh/snapshot/networks.ts";
import type { SourceObject } from "#mesh/snapshot/read-object.ts";

export interface SnapshotSettings {
  /** Where the control plane and its ConfigMaps are. */
  readonly namespace: string;
  readonly revision: string;
  readonly clusterId?: string;
  /** Keys of token issuers, as far as they are known. */
  readonly keySets?: () => KeySets;
  /** Addresses of gateways to other networks, as far as they are known. */
  readonly hostAddresses?: () => HostAddresses;
  /** Variables of this process, which headers of providers may name. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly keyFetching?: KeyFetching;
  readonly scopesGateways?: boolean;
  readonly severalProviders?: boolean;
}

export interface SettledBuilder {
  build(objects: Iterable<SourceObject>): BuiltSnapshot;
  /** What is wrong with MeshConfig. */
  issues(): readonly Issue[];
}

export function createSnapshotBuilder(settings: SnapshotSettings): SettledBuilder {
  let previous: BuiltSnapshot | undefined;
  let text: MeshSettingsText = {};
  let meshConfig: MeshConfig | undefined;
  let issues: readonly Issue[] = [];
  return {
    build: (objects) => {
      const all = [...objects];
      const next = meshSettingsText(all, settings);
      if (next.mesh !== text.mesh || next.networks !== text.networks || meshConfig === undefined) {
        const parsed = readMeshSettings(next);
        const unset = settings.environment && unsetVariables(parsed.meshConfig, settings.environment);
        issues = [...parsed.issues, ...(unset ?? [])];
        // The last good settings stay in force; without any, what can be read of these.
        if (meshConfig === undefined || !hasErrors(issues)) meshConfig = parsed.meshConfig;
        text = next;
      }
      previous = buildSnapshot(
        all,
        {
          ...(meshConfig !== undefined && { meshConfig }),
          ...(settings.clusterId !== undefined && { clusterId: settings.clusterId }),
          ...(settings.keySets !== undefined && { keySets: settings.keySets() }),
          ...(settings.hostAddresses !== undefined && { hostAddresses: settings.hostAddresses() }),
          ...(settings.environment !== undefined && { environment: settings.environment }),
          ...(settings.keyFetching !== undefined && { keyFetching: settings.keyFetching }),
          ...(settings.scopesGateways !== undefined && { scopesGateways: settings.scopesGateways }),
          ...(settings.severalProviders !== undefined && { severalProviders: settings.severalProviders }),
        },
        previous,
      );
      return previous;
    },
    issues: () => issues,
  };
}

/** Keys of the ConfigMap. */
export interface MeshSettingsText {
  readonly mesh?: string | undefined;
  readonly networks?: string | undefined;
  /** Where `mesh` was written. */
  readonly place?: PlaceOfField | undefined;
}

export function readMeshSettings({ mesh, networks, place }: MeshSettingsText): {
  readonly meshConfig: MeshConfig;
  readonly issues: readonly Issue[];
} {
  const read = mesh === undefined ? { meshConfig: defaultMeshConfig, issues: [] } : parseMeshConfig(mesh, place);
  if (networks === undefined) return read;
  const parsed = parseMeshNetworks(networks);
  return {
    meshConfig: { ...read.meshConfig, meshNetworks: parsed.networks },
    issues: [...read.issues, ...parsed.issues],
  };
}

/** Mesh configuration among the objects of a cluster, and where it was written. */
export function meshSettingsText(objects: readonly SourceObject[], settings: SnapshotSettings): MeshSettingsText {
  const isDefault = settings.revision === "" || settings.revision === "default";
  const name = isDefault ? "istio" : `istio-${settings.revision}`;
  const found = objects.find(({ object }) => isConfigMap(object, settings.namespace, name))?.object;
  const data = found?.["data"] as Readonly<Record<string, unknown>> | undefined;
  const textOf = (key: string): string | undefined => {
    const value = data?.[key];
    return typeof value === "string" ? value : undefined;
  };
  const map = decodeSourceAnnotation(found?.metadata.annotations?.[sourceAnnotation]);
  const place: PlaceOfField = (_path, line, column) => map && positionInText(map, "data.mesh", line, column);
  return { mesh: textOf("mesh"), networks: textOf("meshNetworks"), place };
}

function isConfigMap(object: KubernetesObject, namespace: string, name: string): boolean {
  return object.kind === "ConfigMap" && object.metadata.name === name && object.metadata.namespace === namespace;
}
