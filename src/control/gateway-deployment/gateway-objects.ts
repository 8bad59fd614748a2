// The objects that run a Gateway, as Istio makes them: ServiceAccount, Deployment and Service, owned by the Gateway. The
// pod gets its proxy from the injector's template `gateway`.
import type { ManagedGateway } from "#mesh/gateway-api/deployments.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";

/** On everything that is made here; the value is the controller's name. */
export const managedLabel = "gateway.istio.io/managed";
export const managedBy = "istio.io-gateway-controller";

const statusPort = { name: "status-port", port: 15021, protocol: "TCP", appProtocol: "tcp" };

export function gatewayObjects(gateway: ManagedGateway, revision: string): KubernetesObject[] {
  const { name, namespace, apiVersion, uid, deploymentName, serviceAccount, annotations } = gateway;
  const selector = { "gateway.networking.k8s.io/gateway-name": name };
  const labels = {
    ...gateway.labels,
    [managedLabel]: managedBy,
    ...selector,
    "gateway.networking.k8s.io/gateway-class-name": gateway.className,
    "istio.io/dataplane-mode": "none",
  };
  const metadata = (objectName: string): KubernetesObject["metadata"] => ({
    name: objectName,
    namespace,
    labels,
    annotations,
    ownerReferences: [{ apiVersion, kind: "Gateway", name, uid }],
  });
  const isOwnAccount = serviceAccount === deploymentName;
  return [
    ...(isOwnAccount ? [{ apiVersion: "v1", kind: "ServiceAccount", metadata: metadata(serviceAccount) }] : []),
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: metadata(deploymentName),
      spec: {
        selector: { matchLabels: selector },
        template: {
          metadata: {
            labels: {
              ...labels,
              "sidecar.istio.io/inject": "true",
              "service.istio.io/canonical-name": deploymentName,
              "service.istio.io/canonical-revision": "latest",
              ...(revision !== "default" && revision !== "" && { "istio.io/rev": revision }),
            },
            annotations: { ...annotations, "inject.istio.io/templates": "gateway" },
          },
          spec: {
            serviceAccountName: serviceAccount,
            containers: [{ name: "istio-proxy", image: "auto" }],
          },
        },
      },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: metadata(deploymentName),
      spec: {
        type: gateway.serviceType,
        ...(gateway.loadBalancerIp !== "" && { loadBalancerIP: gateway.loadBalancerIp }),
        selector,
        ports: [
          statusPort,
          ...gateway.ports.map((port) => ({
            name: port.name,
            port: port.number,
            protocol: "TCP",
            appProtocol: port.appProtocol,
          })),
        ],
      },
    },
  ];
}
