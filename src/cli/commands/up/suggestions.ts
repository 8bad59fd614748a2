// What to try next, from what the user's own files hold: a request to explain and a log to follow.
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";

interface VirtualServiceShape {
  readonly hosts?: readonly string[];
  readonly gateways?: readonly string[];
  readonly http?: readonly {
    readonly match?: readonly { readonly headers?: Readonly<Record<string, { readonly exact?: string }>> }[];
    readonly route?: readonly { readonly destination?: { readonly host?: string } }[];
  }[];
}

/** Command lines without the program's name. */
export function suggestCommands(objects: readonly KubernetesObject[]): string[] {
  const commands = ["status", "proxy-status"];
  const rules = objects
    .filter((object) => object.kind === "VirtualService")
    .map((object) => (object["spec"] ?? {}) as VirtualServiceShape);
  const entry = entryWorkload(rules);
  if (entry === undefined) return commands;
  const request = requestToExplain(rules, objects);
  if (request !== undefined) commands.push(`explain ${request} --from ${entry}`);
  commands.push(`logs ${entry} -c istio-proxy -f`);
  return commands;
}

/** Where a gateway sends the first request. */
function entryWorkload(rules: readonly VirtualServiceShape[]): string | undefined {
  const entries = rules.filter((rule) => isBoundToGateway(rule)).flatMap((rule) => rule.http ?? []);
  return entries
    .flatMap((http) => http.route ?? [])
    .flatMap(({ destination }) => destination?.host?.split(".")[0] ?? [])[0];
}

/** A request that a rule of the mesh decides about, with the header that it looks at. */
function requestToExplain(
  rules: readonly VirtualServiceShape[],
  objects: readonly KubernetesObject[],
): string | undefined {
  for (const rule of rules) {
    const host = rule.hosts?.[0];
    const port = host === undefined ? undefined : servicePort(objects, host);
    if (isBoundToGateway(rule) || host === undefined || port === undefined) continue;
    const matches = (rule.http ?? []).flatMap((http) => http.match ?? []);
    const header = matches
      .flatMap((match) => Object.entries(match.headers ?? {}))
      .find(([, value]) => value.exact !== undefined);
    return `GET http://${host}:${port}/${header === undefined ? "" : ` -H '${header[0]}: ${header[1].exact ?? ""}'`}`;
  }
  return undefined;
}

function isBoundToGateway(rule: VirtualServiceShape): boolean {
  return rule.gateways?.some((gateway) => gateway !== "mesh") ?? false;
}

function servicePort(objects: readonly KubernetesObject[], host: string): number | undefined {
  const service = objects.find((object) => object.kind === "Service" && object.metadata.name === host.split(".")[0]);
  const spec = (service?.["spec"] ?? {}) as { readonly ports?: readonly { readonly port?: number }[] };
  return spec.ports?.[0]?.port;
}
