// Files seldom hold a whole mesh: what they refer to may be somewhere else. A reference to nothing is an error where the
// files should know better, and a warning elsewhere: they know the namespaces of which they hold Services, and a name
// that is nearly one of theirs is a slip.
import { type Issue, Severity } from "#base/issue.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { parsePath } from "#mesh/objects/path.ts";

export function weighReferences(issues: readonly Issue[], objects: readonly KubernetesObject[]): Issue[] {
  const known = new Set(
    objects.filter(({ kind }) => kind === "Service").map(({ metadata }) => metadata.namespace ?? "default"),
  );
  const byName = new Map(objects.map((object) => [keyOf(object.kind, object.metadata), object]));
  return issues.map((issue) => {
    if (issue.code !== "IST0101" || issue.severity !== Severity.Error || issue.object === undefined) return issue;
    // Whoever knows the ports of a service has read it.
    if (issue.fix?.startsWith("did you mean") === true || issue.path?.endsWith(".port.number") === true) return issue;
    const object = byName.get(keyOf(issue.object.kind, issue.object));
    const isKnown = known.has(object === undefined ? "" : referencedNamespace(object, issue.path ?? ""));
    return isKnown && !isGatewaySelector(issue) ? issue : { ...issue, severity: Severity.Warning };
  });
}

/** Gateways come with the installation: the files of an application do not hold their pods. */
function isGatewaySelector({ object, path }: Issue): boolean {
  return object?.kind === "Gateway" && path === "spec.selector";
}

/** Of a host, `ns/name` of a gateway, or the destination that the path leads through. */
function referencedNamespace(object: KubernetesObject, path: string): string {
  const own = object.metadata.namespace ?? "default";
  const segments = parsePath(path);
  let value: unknown = object;
  let host: string | undefined;
  for (const segment of segments) {
    if (typeof value !== "object" || value === null) break;
    value = (value as Readonly<Record<string | number, unknown>>)[segment];
    const candidate = (value as { readonly host?: unknown } | null | undefined)?.host;
    if (typeof candidate === "string") host = candidate;
  }
  const name = host ?? (typeof value === "string" ? value : "");
  const [gatewayNamespace, ...gateway] = name.split("/");
  if (gateway.length > 0) return gatewayNamespace === "." ? own : (gatewayNamespace ?? own);
  return name.split(".")[1] ?? own;
}

function keyOf(
  kind: string,
  { namespace = "default", name }: { readonly namespace?: string; readonly name: string },
): string {
  return `${kind}/${namespace}/${name}`;
}
