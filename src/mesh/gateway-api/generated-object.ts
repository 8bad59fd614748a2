// Objects of Istio's kinds that are made from objects of the Gateway API. They lead back to what the user wrote.
import type { SourcePosition } from "#base/issue.ts";
import type { MeshObject } from "../objects/mesh-object.ts";

/** A field of an object that the user wrote. */
export interface Source {
  readonly object: MeshObject<unknown>;
  readonly path: string;
}

export interface GeneratedSettings<Spec> {
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
  readonly createdAt: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec: Spec;
  /** At least one. */
  readonly sources: readonly Source[];
  /** Which of the sources the field with this path comes from. */
  readonly sourceOf: (path: string) => number;
}

export function generated<Spec>(settings: GeneratedSettings<Spec>): MeshObject<Spec> {
  const { kind, name, namespace, createdAt, annotations, spec, sources, sourceOf } = settings;
  const [first] = sources;
  if (first === undefined) throw new TypeError(`${kind} ${namespace}/${name} is made of nothing`);
  const at = (path: string): Source => sources[sourceOf(path)] ?? first;
  const position = ({ object, path }: Source): SourcePosition | undefined => object.position(path);
  return {
    kind,
    apiVersion: "networking.istio.io/v1",
    metadata: { name, namespace, ...(annotations !== undefined && { annotations }) },
    name,
    namespace,
    createdAt,
    spec,
    origin: first.object.origin,
    position: (path) => position(at(path)),
    madeFrom: {
      origins: [...new Set(sources.map(({ object }) => object.origin))],
      originOf(path) {
        const source = at(path);
        const place = position(source);
        return place === undefined
          ? source.object.origin
          : { ...source.object.origin, file: place.file, line: place.line };
      },
    },
  };
}
