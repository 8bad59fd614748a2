// Which services a workload itself serves, and on which of its ports.
import { namedPort } from "../kinds/pod/resolve.ts";
import type { PodSpec } from "../kinds/pod/spec.ts";
import { type Labels, selects } from "../objects/fields/selector.ts";
import type { MeshObject } from "../objects/mesh-object.ts";
import type { EndpointIndex } from "./endpoint-index.ts";
import type { ObjectTable } from "./object-table.ts";
import type { ProxyNode } from "./proxy-node.ts";
import type { Service, ServicePort } from "./service.ts";
import type { ServiceIndex } from "./service-index.ts";
import type { ServiceInstance } from "./snapshot.ts";

export function serviceInstances(
  proxy: ProxyNode,
  objects: ObjectTable,
  services: ServiceIndex,
  endpoints: EndpointIndex,
): ServiceInstance[] {
  const pod = podOf(proxy, objects, endpoints);
  const labels: Labels = pod?.metadata.labels ?? proxy.labels;
  const candidates = services.byNamespace.get(proxy.namespace) ?? [];
  return candidates.flatMap((service) => {
    const isSelected = Object.keys(service.selector).length > 0 && selects(service.selector, labels);
    return service.ports.flatMap((port) => {
      const target = isSelected
        ? (selectedTarget(port, pod) ?? endpointTarget(service, port, proxy, endpoints))
        : endpointTarget(service, port, proxy, endpoints);
      return target === undefined ? [] : [{ service, port, targetPort: target }];
    });
  });
}

/** The pod of a proxy, by name or else by address. */
export function podOf(
  proxy: ProxyNode,
  objects: ObjectTable,
  endpoints: EndpointIndex,
): MeshObject<PodSpec> | undefined {
  const named = objects.find("Pod", proxy.namespace, proxy.name);
  if (named !== undefined) return named;
  for (const address of proxy.ipAddresses) {
    const pod = endpoints.podAt(address);
    if (pod !== undefined && pod.namespace === proxy.namespace) return pod;
  }
  return undefined;
}

/** The pod is selected, whether it is ready or not: it must be able to serve before it is listed. */
function selectedTarget(port: ServicePort, pod: MeshObject<PodSpec> | undefined): number | undefined {
  if (typeof port.targetPort === "number") return port.targetPort;
  return pod === undefined ? undefined : namedPort(pod.spec, port.targetPort, port.protocol === "UDP" ? "UDP" : "TCP");
}

/** Services whose endpoints are listed by hand: the address tells. */
function endpointTarget(
  service: Service,
  port: ServicePort,
  proxy: ProxyNode,
  endpoints: EndpointIndex,
): number | undefined {
  if (service.meshExternal) return undefined;
  return endpoints.of(service, port.number).find((endpoint) => proxy.ipAddresses.includes(endpoint.address))?.port;
}
