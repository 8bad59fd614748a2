// The objects that run a Gateway, as Istio makes them: ServiceAccount, Deployment and Service, and a
// HorizontalPodAutoscaler and a PodDisruptionBudget where parameters ask for them, owned by the Gateway. The pod gets its
// proxy from the injector's template `gateway`.

import type { ManagedGateway } from "#mesh/gateway-api/deployments.ts";
import type { InfrastructurePart } from "#mesh/kinds/config-map/spec.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { withOverlays } from "./overlay.ts";

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
  const { overlays } = gateway;
  const objects: readonly (readonly [InfrastructurePart, KubernetesObject])[] = [
    ["serviceAccount", { apiVersion: "v1", kind: "ServiceAccount", metadata: metadata(serviceAccount) }],
    [
      "deployment",
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
    ],
    [
      "service",
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
    ],
    [
      "horizontalPodAutoscaler",
      {
        apiVersion: "autoscaling/v2",
        kind: "HorizontalPodAutoscaler",
        metadata: metadata(deploymentName),
        spec: { scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: deploymentName } },
      },
    ],
    [
      "podDisruptionBudget",
      {
        apiVersion: "policy/v1",
        kind: "PodDisruptionBudget",
        metadata: metadata(deploymentName),
        spec: { selector: { matchLabels: selector } },
      },
    ],
  ];
  return objects
    .filter(([part]) => part !== "serviceAccount" || serviceAccount === deploymentName)
    .filter(([part]) => !onlyWhenAsked.has(part) || overlays[part] !== undefined)
    .map(([part, object]) => withOverlays(object, overlays[part]));
}

/** Made only where parameters speak of them. */
const onlyWhenAsked: ReadonlySet<InfrastructurePart> = new Set(["horizontalPodAutoscaler", "podDisruptionBudget"]);
