// What the cluster has to run for the Gateway API: GatewayClasses that nobody wrote, and a Deployment and a Service for
// every Gateway that names no Service of its own.
import type { Labels } from "../objects/fields/selector.ts";
import { type BuiltInClass, builtInClasses } from "./controllers.ts";
import type { GatewayApi, ServedGateway } from "./gateway-api.ts";
import { deploymentName, isManaged } from "./gateway-services.ts";
import type { Overlays } from "./infrastructure.ts";
import type { AttachPoint } from "./listeners.ts";

export interface GatewayDeployments {
  readonly gateways: readonly ManagedGateway[];
  readonly missingClasses: readonly BuiltInClass[];
}

export interface ManagedGateway {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly apiVersion: string;
  readonly className: string;
  /** Of the Deployment and the Service. */
  readonly deploymentName: string;
  readonly serviceAccount: string;
  readonly serviceType: string;
  /** That the Service should have; empty means any. */
  readonly loadBalancerIp: string;
  /** For everything that is made. */
  readonly labels: Labels;
  readonly annotations: Readonly<Record<string, string>>;
  /** Laid on what is made. */
  readonly overlays: Overlays;
  readonly ports: readonly { readonly name: string; readonly number: number; readonly appProtocol: string }[];
}

export function gatewayDeployments({ gateways, input }: GatewayApi): GatewayDeployments {
  const known = new Set(input.gatewayClasses.map(({ name }) => name));
  return {
    gateways: gateways
      .filter(({ object, infrastructure }) => isManaged(object.spec) && infrastructure.problem === undefined)
      .map(managed),
    missingClasses: builtInClasses.filter(({ name }) => !known.has(name)),
  };
}

function managed({ object, points, infrastructure }: ServedGateway): ManagedGateway {
  const { name, namespace, apiVersion, metadata, spec } = object;
  const { annotations = {} } = metadata;
  const made = deploymentName(object);
  // Without a word on infrastructure what is made looks like the Gateway itself.
  const look = spec.infrastructure ?? { labels: metadata.labels ?? {}, annotations: carried(annotations) };
  return {
    name,
    namespace,
    apiVersion,
    uid: metadata.uid ?? "",
    className: spec.gatewayClassName,
    deploymentName: made,
    serviceAccount: annotations["gateway.istio.io/service-account"] || made,
    serviceType: annotations["networking.istio.io/service-type"] || "LoadBalancer",
    loadBalancerIp: spec.addresses[0]?.value ?? "",
    labels: look.labels,
    annotations: look.annotations,
    overlays: infrastructure.overlays,
    ports: portsOf(points),
  };
}

/** Annotations that say something of the Gateway itself stay with it. */
function carried(annotations: Readonly<Record<string, string>>): Record<string, string> {
  const own = ["outrigger.dev/", "gateway.istio.io/", "kubectl.kubernetes.io/", "networking.istio.io/service-type"];
  return Object.fromEntries(
    Object.entries(annotations).filter(([key]) => !own.some((prefix) => key.startsWith(prefix))),
  );
}

/** One for each port number, by the first listener that has it. */
function portsOf(points: readonly AttachPoint[]): ManagedGateway["ports"] {
  const ports = new Map<number, ManagedGateway["ports"][number]>();
  for (const { listener, problems } of points) {
    const { name, port, protocol } = listener;
    if (problems.protocol !== undefined || ports.has(port)) continue;
    const isTaken = [...ports.values()].some((other) => other.name === name);
    ports.set(port, { name: isTaken ? `${name}-${port}` : name, number: port, appProtocol: protocol.toLowerCase() });
  }
  return [...ports.values()];
}
