// For tests of kinds: mesh objects without a file, and the problems that validation finds.
import type { Kind } from "../kind.ts";
import type { KubernetesObject } from "../kubernetes-object.ts";
import type { MeshObject } from "../mesh-object.ts";
import { renderPath } from "../path.ts";
import type { Problem } from "../report.ts";

export interface Written {
  readonly name?: string;
  readonly namespace?: string;
  readonly createdAt?: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec: unknown;
}

/** Decodes and expands names; throws on any error. */
export function objectOf<Spec>(kind: Kind<Spec>, written: Written): MeshObject<Spec> {
  const { spec, problems } = read(kind, written);
  const errors = problems.filter((problem) => !problem.startsWith("warning "));
  if (spec === undefined || errors.length > 0) throw new Error(problems.join("\n"));
  const { name = "a", namespace = "default", createdAt = 0 } = written;
  return {
    kind: kind.kind,
    apiVersion: "",
    metadata: { name, namespace },
    name,
    namespace,
    createdAt,
    spec: kind.expand?.(spec, { namespace, domain: "cluster.local" }) ?? spec,
    origin: { kind: kind.kind, namespace, name },
    position: () => undefined,
  };
}

/** What decode and validate say, as `path: message`; warnings start with `warning `. */
export function problemsOf<Spec>(
  kind: Kind<Spec>,
  spec: unknown,
  annotations?: Readonly<Record<string, string>>,
): string[] {
  return read(kind, annotations === undefined ? { spec } : { spec, annotations }).problems;
}

function read<Spec>(kind: Kind<Spec>, written: Written): { spec: Spec | undefined; problems: string[] } {
  const { name = "a", namespace = "default", annotations = {} } = written;
  const object: KubernetesObject = {
    apiVersion: "",
    kind: kind.kind,
    metadata: { name, namespace, annotations },
    spec: written.spec,
  };
  const problems: string[] = [];
  const report = ({ path, message, severity }: Problem): void => {
    const place = typeof path === "string" ? path : renderPath(path);
    problems.push(`${severity === undefined ? "" : `${severity} `}${place}: ${message}`);
  };
  const spec = kind.decode(object, report);
  if (spec !== undefined && problems.length === 0) kind.validate(spec, report, object);
  return { spec, problems };
}
