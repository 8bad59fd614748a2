// Ingresses within a snapshot: what is made of them, once for as long as nothing of that changes, and their status.

import { Severity } from "#base/issue.ts";
import { type MadeOfIngresses, makeOfIngresses } from "../ingress/ingress.ts";
import type { IngressSettings } from "../ingress/selection.ts";
import type { DesiredStatus } from "../objects/desired-status.ts";
import { objectKey } from "../objects/mesh-object.ts";
import { type Finding, finding } from "./checks/finding.ts";
import { findCredential } from "./credentials.ts";
import type { ObjectTable } from "./object-table.ts";
import type { Entry } from "./read-object.ts";
import type { ServiceIndex } from "./service-index.ts";

export interface SnapshotIngress {
  readonly made: MadeOfIngresses;
  /** What it was worked out from: equal ones give an equal answer. */
  readonly inputs: readonly unknown[];
}

export function snapshotIngress(
  objects: ObjectTable,
  services: ServiceIndex,
  settings: IngressSettings,
  domain: string,
  previous: SnapshotIngress | undefined,
): SnapshotIngress {
  const ingresses = objects.all("Ingress");
  const classes = objects.all("IngressClass");
  const { ingressClass, ingressControllerMode, ingressSelector, ingressService, rootNamespace } = settings;
  // Services decide only where there is an Ingress.
  const inputs = [
    ...ingresses,
    ...classes,
    ingresses.length === 0 ? undefined : services,
    [ingressClass, ingressControllerMode, ingressSelector, ingressService, rootNamespace, domain].join(" "),
  ];
  if (previous !== undefined && isSame(previous.inputs, inputs)) return previous;
  const find = (namespace: string, name: string) => services.byHostname.get(`${name}.${namespace}.svc.${domain}`)?.[0];
  const made = makeOfIngresses({
    ingresses,
    classes,
    settings,
    domain,
    portOf: (namespace, name, port) => find(namespace, name)?.ports.find((item) => item.name === port)?.number,
    hasService: (namespace, name) => find(namespace, name) !== undefined,
  });
  return { made, inputs };
}

function isSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}

export function ingressFindings({ made }: SnapshotIngress, objects: ObjectTable, rootNamespace: string): Finding[] {
  const found = made.findings.map(({ object, problem, effect }) => finding(object, problem, effect));
  if (objects.all("Secret").length === 0) return found;
  // As in Istio the Secrets are the gateway's, not those of the Ingress's own namespace.
  const missing = made.served.flatMap((ingress) =>
    ingress.spec.tls.flatMap(({ secretName, hosts }, index) => {
      if (secretName === "") return [];
      const asked = { scheme: "kubernetes", namespace: rootNamespace, name: secretName, isRoots: false } as const;
      const credential = findCredential(objects, asked);
      if (credential.type !== "none") return [];
      const message = `${credential.problem}: TLS handshakes for ${hosts.join(", ") || "every host"} fail`;
      const path = `spec.tls[${index}].secretName`;
      const code = credential.isThere ? "IST0161" : "IST0101";
      return [finding(ingress, { code, severity: Severity.Error, path, message }, "partly")];
    }),
  );
  return [...found, ...missing];
}

/** The addresses of the gateway's Service, as the load balancer has written them. */
export function ingressStatuses(
  { made }: SnapshotIngress,
  { ingressService, rootNamespace }: IngressSettings,
  entries: ReadonlyMap<string, Entry>,
): DesiredStatus[] {
  const service = entries.get(objectKey({ kind: "Service", namespace: rootNamespace, name: ingressService }))?.source;
  const status = service?.["status"] as { loadBalancer?: { ingress?: unknown } } | undefined;
  const addresses = status?.loadBalancer?.ingress;
  const ingress = (Array.isArray(addresses) ? (addresses as { ip?: unknown; hostname?: unknown }[]) : []).flatMap(
    ({ ip, hostname }): Record<string, string>[] => {
      if (typeof ip === "string") return [{ ip }];
      return typeof hostname === "string" ? [{ hostname }] : [];
    },
  );
  return made.served.map((object) => ({
    apiVersion: object.apiVersion,
    kind: "Ingress",
    namespace: object.namespace,
    name: object.name,
    status: { loadBalancer: { ingress } },
  }));
}
