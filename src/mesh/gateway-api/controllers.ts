// The classes of Gateways that this mesh serves, by Istio's names.
import type { GatewayClassSpec } from "../kinds/gateway-class/spec.ts";
import type { MeshObject } from "../objects/mesh-object.ts";

/** Gateways that the mesh deploys or binds to a Service. */
export const gatewayController = "istio.io/gateway-controller";
/** Gateways of another network: accepted, and left alone. */
export const unmanagedController = "istio.io/unmanaged-gateway";

/** Writes the status of policies of backends. */
export const meshController = "istio.io/mesh-controller";

export interface BuiltInClass {
  readonly name: string;
  readonly controllerName: string;
  readonly description: string;
}

/** The classes that exist without anybody writing them. */
export const builtInClasses: readonly BuiltInClass[] = [
  { name: "istio", controllerName: gatewayController, description: "The default Istio GatewayClass" },
  {
    name: "istio-remote",
    controllerName: unmanagedController,
    description: "Remote to this cluster. Does not deploy or affect configuration.",
  },
];

/** Who serves a class; undefined when there is no such class. */
export function controllerOf(className: string, classes: readonly MeshObject<GatewayClassSpec>[]): string | undefined {
  return (
    classes.find(({ name }) => name === className)?.spec.controllerName ??
    builtInClasses.find(({ name }) => name === className)?.controllerName
  );
}
