// Environment of the proxy's container: who the pod is, and how to reach the control plane.
import { annotationName } from "../annotations.ts";
import { type ContainerPort, type EnvironmentVariable, podAnnotations, podLabels } from "../pod.ts";
import { istiodName } from "../proxy-config.ts";
import { ownerUri } from "../workload-owner.ts";
import { canonicalRevision } from "./labels.ts";
import { setting, type TemplateInput } from "./template-input.ts";

export function proxyEnvironment(
  input: TemplateInput,
  appContainers: readonly string[],
  role: "sidecar" | "router",
): EnvironmentVariable[] {
  const { values } = input;
  const containers: EnvironmentVariable = { name: "ISTIO_META_APP_CONTAINERS", value: appContainers.join(",") };
  const memory = fromResource("GOMEMLIMIT", "limits.memory");
  const env: EnvironmentVariable[] = [
    { name: "PILOT_CERT_PROVIDER", value: values.certProvider },
    { name: "CA_ADDR", value: caAddress(input) },
    fromField("POD_NAME", "metadata.name"),
    fromField("POD_NAMESPACE", "metadata.namespace"),
    fromField("INSTANCE_IP", "status.podIP"),
    fromField("SERVICE_ACCOUNT", "spec.serviceAccountName"),
    fromField("HOST_IP", "status.hostIP"),
    fromResource("ISTIO_CPU_LIMIT", "limits.cpu"),
    { name: "PROXY_CONFIG", value: `${input.proxyConfigJson}\n` },
    { name: "ISTIO_META_POD_PORTS", value: podPorts(input) },
    ...(role === "sidecar" ? [containers, memory] : [memory, containers]),
    { name: "ISTIO_META_CLUSTER_ID", value: input.clusterId },
    fromField("ISTIO_META_NODE_NAME", "spec.nodeName"),
    { name: "ISTIO_META_INTERCEPTION_MODE", value: interceptionMode(input) },
  ];
  const add = (name: string, value: string): void => {
    if (value !== "") env.push({ name, value });
  };
  add("ISTIO_META_WORKLOAD_NAME", podLabels(input.pod)["service.istio.io/workload-name"] ?? input.owner.name);
  if (input.owner.name !== "") add("ISTIO_META_OWNER", ownerUri(input.owner, input.namespace));
  if (podAnnotations(input.pod)[annotationName.bootstrapOverride] !== undefined) {
    add("ISTIO_BOOTSTRAP_OVERRIDE", "/etc/istio/custom-bootstrap/custom_bootstrap.json");
  }
  add("ISTIO_META_MESH_ID", values.meshId || input.trustDomain);
  add("TRUST_DOMAIN", input.trustDomain);
  add("OTEL_RESOURCE_ATTRIBUTES", otelResourceAttributes(input, appContainers));
  add("ISTIO_META_NETWORK", input.network);
  const named = new Map(env.map((variable) => [variable.name, variable]));
  for (const [name, value] of input.proxyConfig.metadata) named.set(name, { name, value });
  for (const [name, value] of Object.entries(input.injectedEnv)) named.set(name, { name, value });
  return [...named.values()];
}

export function interceptionMode(input: TemplateInput): string {
  return setting(input, annotationName.interceptionMode, input.proxyConfig.interceptionMode);
}

function caAddress(input: TemplateInput): string {
  return input.values.caAddress || `${istiodName(input.values.revision)}.${input.values.istioNamespace}.svc:15012`;
}

/** The application's ports as a list that a person can read in `kubectl describe`. */
function podPorts(input: TemplateInput): string {
  const ports = (input.pod.spec.containers ?? []).flatMap((container) => container.ports ?? []);
  const lines = ports.map((port, index) => `    ${index === 0 ? "" : ","}${JSON.stringify(inOrder(port))}`);
  return ["[", ...lines, "]"].join("\n");
}

function inOrder(port: ContainerPort): ContainerPort {
  return {
    ...(port.name !== undefined && { name: port.name }),
    ...(port.hostPort !== undefined && { hostPort: port.hostPort }),
    containerPort: port.containerPort,
    ...(port.protocol !== undefined && { protocol: port.protocol }),
    ...(port.hostIP !== undefined && { hostIP: port.hostIP }),
  };
}

/** OpenTelemetry's names for the workload, where a tracing provider of the mesh asks for them. */
function otelResourceAttributes(input: TemplateInput, appContainers: readonly string[]): string {
  if (!input.otelAttributes) return "";
  const version = canonicalRevision(podLabels(input.pod));
  return [
    `service.namespace=${input.namespace}`,
    ...(version === "latest" ? [] : [`service.version=${version}`]),
    `service.instance.id=${[input.namespace, "$(POD_NAME)", ...appContainers.slice(0, 1)].join(".")}`,
  ].join(",");
}

function fromField(name: string, fieldPath: string): EnvironmentVariable {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}

function fromResource(name: string, resource: string): EnvironmentVariable {
  return { name, valueFrom: { resourceFieldRef: { resource, divisor: "1" } } };
}
