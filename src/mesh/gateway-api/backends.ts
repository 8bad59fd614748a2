// Where a backendRef leads: a destination, or the problem for which requests are answered 500.
import type { Destination } from "../kinds/virtual-service/spec.ts";
import type { BackendReference } from "../objects/fields/route-reference.ts";
import { nearest } from "../objects/suggest.ts";
import type { ApiProblem } from "./conditions.ts";
import type { Grants, Referrer } from "./grants.ts";
import { type GatewayApiInput, serviceHostname } from "./input.ts";

export interface BackendContext {
  readonly input: GatewayApiInput;
  readonly from: Referrer;
  /** Undefined for routes of the mesh, which Istio lets refer across namespaces. */
  readonly grants: Grants | undefined;
}

export interface Backend {
  /** An empty host when there is none: the proxy answers 500. */
  readonly destination: Destination;
  readonly problem?: ApiProblem;
}

const nowhere: Destination = { host: "", subset: "" };

export function resolveBackend(ref: BackendReference, context: BackendContext): Backend {
  const { from, grants, input } = context;
  const namespace = ref.namespace || from.namespace;
  if (grants !== undefined && !grants(from, { ...ref, namespace })) {
    const message = `backendRef ${namespace}/${ref.name} is in another namespace, and no ReferenceGrant there permits it`;
    return broken("RefNotPermitted", message);
  }
  if (ref.group === "" && ref.kind === "Service") {
    const hostname = serviceHostname(ref.name, namespace, input.domain);
    return destinationOf(hostname, `Service ${namespace}/${ref.name}`, { ...ref, namespace }, input);
  }
  if (ref.group === "networking.istio.io" && ref.kind === "Hostname") {
    return destinationOf(ref.name.toLowerCase(), `host ${ref.name}`, { ...ref, namespace }, input);
  }
  return broken(
    "InvalidKind",
    `backendRef ${ref.name} is of kind ${ref.group || "core"}/${ref.kind}, which takes no requests`,
  );
}

function destinationOf(hostname: string, what: string, ref: BackendReference, input: GatewayApiInput): Backend {
  const service = input.services.get(hostname)?.[0];
  if (service === undefined) return broken("BackendNotFound", `there is no ${what}${hint(ref, input)}`);
  const { ports } = service;
  if (!ports.some(({ number }) => number === ref.port)) {
    const known = ports.map(({ number }) => number).join(", ");
    return broken("BackendNotFound", `the ${what} has no port ${ref.port}; its ports are ${known}`);
  }
  return { destination: { host: hostname, subset: "", port: { number: ref.port } } };
}

function broken(reason: string, message: string): Backend {
  return { destination: nowhere, problem: { reason, message } };
}

/** The name that was probably meant, or the namespace. */
function hint({ name, namespace }: BackendReference, { services }: GatewayApiInput): string {
  const known = [...services.values()].flat().filter(({ source }) => source === "kubernetes");
  const elsewhere = known.find((service) => service.name === name);
  if (elsewhere !== undefined) return `; there is one in namespace ${elsewhere.namespace}`;
  const neighbours = known.filter((service) => service.namespace === namespace);
  const suggestion = nearest(
    name,
    neighbours.map((service) => service.name),
  );
  return suggestion === undefined ? "" : `; did you mean "${suggestion}"?`;
}
