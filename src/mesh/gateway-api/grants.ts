// Whether an object may refer to one of another namespace: a ReferenceGrant there has to say so.
import type { ReferenceGrantSpec } from "../kinds/reference-grant/spec.ts";
import { gatewayApiGroup } from "../objects/fields/route-reference.ts";
import type { MeshObject } from "../objects/mesh-object.ts";

/** The object that refers; its group is the Gateway API's. */
export interface Referrer {
  readonly kind: string;
  readonly namespace: string;
}

interface Referent {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export type Grants = (from: Referrer, to: Referent) => boolean;

export function grantsOf(objects: readonly MeshObject<ReferenceGrantSpec>[]): Grants {
  const byNamespace = Map.groupBy(objects, ({ namespace }) => namespace);
  return (from, to) =>
    from.namespace === to.namespace ||
    (byNamespace.get(to.namespace) ?? []).some(
      ({ spec }) =>
        spec.from.some(
          (entry) => entry.group === gatewayApiGroup && entry.kind === from.kind && entry.namespace === from.namespace,
        ) &&
        spec.to.some(
          (entry) =>
            entry.group === to.group && entry.kind === to.kind && (entry.name === "" || entry.name === to.name),
        ),
    );
}
