// For tests: meshes from a few lines of YAML. `workload` writes the Deployment's worth of objects that Kubernetes
// would have: pods with a sidecar, and their endpoints in the service's slices.
import { parseAllDocuments } from "yaml";
import { defaultMeshConfig } from "../../kinds/mesh-config/decode.ts";
import type { MeshConfig } from "../../kinds/mesh-config/spec.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import { buildSnapshot } from "../../snapshot/build.ts";
import { noLocality } from "../../snapshot/endpoint.ts";
import type { ProxyNode } from "../../snapshot/proxy-node.ts";
import type { MeshSnapshot } from "../../snapshot/snapshot.ts";

export function mesh(
  objects: readonly KubernetesObject[],
  yaml = "",
  config: Partial<MeshConfig> = {},
  options: Pick<NonNullable<Parameters<typeof buildSnapshot>[1]>, "hostAddresses" | "environment"> = {},
): MeshSnapshot {
  return buildSnapshot(
    [...objects, ...fromYaml(yaml)].map((object) => ({ object })),
    { meshConfig: { ...defaultMeshConfig, ...config }, ...options },
  );
}

/** Reads objects; positions are the line on which the document starts, in `mesh.yaml`. */
export function fromYaml(yaml: string): KubernetesObject[] {
  return parseAllDocuments(yaml).flatMap((document) => {
    const object = document.toJS() as KubernetesObject | null;
    if (object === null) return [];
    const { metadata } = object;
    return [{ ...object, metadata: { namespace: "default", ...metadata } }];
  });
}

export interface WorkloadSettings {
  readonly namespace?: string;
  readonly version?: string;
  readonly ip: string;
  /** False for a pod outside the mesh. */
  readonly sidecar?: boolean;
  readonly ready?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
}

/** A pod of the app and its endpoint, without a service. */
export function workload(app: string, ports: readonly PortSettings[], settings: WorkloadSettings): KubernetesObject[] {
  const { namespace = "default", version = "v1", ip, sidecar = true, ready = true } = settings;
  const name = `${app}-${version}-${ip.replaceAll(".", "-")}`;
  const labels = {
    app,
    version,
    ...(sidecar && {
      "security.istio.io/tlsMode": "istio",
      "service.istio.io/canonical-name": app,
      "service.istio.io/canonical-revision": version,
    }),
    ...settings.labels,
  };
  return [
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace, labels, creationTimestamp: "2026-01-01T00:00:00Z" },
      spec: {
        serviceAccountName: `bookinfo-${app}`,
        nodeName: "node",
        containers: [
          {
            name: app,
            image: app,
            ports: ports.map((port) => ({ name: port.name, containerPort: targetPort(port), protocol: "TCP" })),
          },
        ],
      },
      status: {
        phase: "Running",
        podIP: ip,
        podIPs: [{ ip }],
        conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
      },
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: `${name}-slice`, namespace, labels: { "kubernetes.io/service-name": app } },
      addressType: "IPv4",
      ports: ports.map((port) => ({ name: port.name, port: targetPort(port), protocol: "TCP" })),
      endpoints: [
        { addresses: [ip], conditions: { ready }, nodeName: "node", targetRef: { kind: "Pod", namespace, name } },
      ],
    },
  ];
}

export interface PortSettings {
  readonly name: string;
  readonly number: number;
  readonly target?: number;
}

export function service(
  app: string,
  vip: string,
  ports: readonly PortSettings[],
  settings: { readonly namespace?: string; readonly created?: string } = {},
): KubernetesObject {
  const { namespace = "default", created = "2026-01-01T00:00:00Z" } = settings;
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: app, namespace, creationTimestamp: created },
    spec: {
      type: "ClusterIP",
      clusterIP: vip,
      clusterIPs: [vip],
      selector: { app },
      ports: ports.map((port) => ({
        name: port.name,
        port: port.number,
        targetPort: targetPort(port),
        protocol: "TCP",
      })),
    },
  };
}

function targetPort(port: PortSettings): number {
  return port.target ?? port.number;
}

export function sidecarOf(app: string, ip: string, settings: Partial<ProxyNode> = {}): ProxyNode {
  const namespace = settings.namespace ?? "default";
  const name = `${app}-v1-${ip.replaceAll(".", "-")}`;
  return {
    id: `sidecar~${ip}~${name}.${namespace}~${namespace}.svc.cluster.local`,
    type: "sidecar",
    ipAddresses: [ip],
    name,
    namespace,
    workloadName: `${app}-v1`,
    labels: { app, version: "v1" },
    serviceAccount: `bookinfo-${app}`,
    clusterId: "Kubernetes",
    network: "",
    nodeName: "node",
    locality: noLocality,
    clusterDomain: "cluster.local",
    interceptionMode: "REDIRECT",
    dnsCapture: false,
    serviceCluster: "",
    istioVersion: "1.31.0",
    metadata: {},
    ...settings,
  };
}

export function ingressGateway(): ProxyNode {
  const labels = { app: "istio-ingressgateway", istio: "ingressgateway" };
  return sidecarOf("istio-ingressgateway", "10.244.0.2", { type: "router", namespace: "istio-system", labels });
}

const http9080 = [{ name: "http", number: 9080 }];

/** Bookinfo as in Istio's documentation: four services, reviews in three versions. */
export const bookinfo: readonly KubernetesObject[] = [
  service("productpage", "10.96.0.11", http9080),
  service("details", "10.96.0.12", http9080),
  service("reviews", "10.96.0.13", http9080),
  service("ratings", "10.96.0.14", http9080),
  ...workload("productpage", http9080, { ip: "10.244.0.11" }),
  ...workload("details", http9080, { ip: "10.244.0.12" }),
  ...workload("reviews", http9080, { ip: "10.244.0.13", version: "v1" }),
  ...workload("reviews", http9080, { ip: "10.244.0.23", version: "v2" }),
  ...workload("reviews", http9080, { ip: "10.244.0.33", version: "v3" }),
  ...workload("ratings", http9080, { ip: "10.244.0.14" }),
  service("istio-ingressgateway", "10.96.0.2", [{ name: "http2", number: 80, target: 8080 }], {
    namespace: "istio-system",
  }),
  ...workload("istio-ingressgateway", [{ name: "http2", number: 80, target: 8080 }], {
    namespace: "istio-system",
    ip: "10.244.0.2",
    labels: { istio: "ingressgateway" },
  }),
];
