// The parts that the proxy's container has in common as sidecar and as gateway.
import { annotationName } from "../annotations.ts";
import type { Container, Probe } from "../pod.ts";
import { proxyContainerName } from "../pod.ts";
import { setting, type TemplateInput } from "./template-input.ts";

export function proxyContainerBase(input: TemplateInput, role: "sidecar" | "router"): Container {
  const { values } = input;
  return {
    name: proxyContainerName,
    image: input.image,
    ...(values.imagePullPolicy !== "" && { imagePullPolicy: values.imagePullPolicy }),
    ports: [{ containerPort: 15090, protocol: "TCP", name: "http-envoy-prom" }],
    args: proxyArguments(input, role),
  };
}

function proxyArguments(input: TemplateInput, role: "sidecar" | "router"): string[] {
  const { values } = input;
  const args = [
    "proxy",
    role,
    "--domain",
    `$(POD_NAMESPACE).svc.${values.proxy.clusterDomain}`,
    `--proxyLogLevel=${setting(input, annotationName.logLevel, values.proxy.logLevel)}`,
    `--proxyComponentLogLevel=${setting(input, annotationName.componentLogLevel, values.proxy.componentLogLevel)}`,
    `--log_output_level=${setting(input, annotationName.agentLogLevel, values.agentLogLevel)}`,
  ];
  if (values.stsPort > 0) args.push(`--stsPort=${values.stsPort}`);
  if (values.logAsJson) args.push("--log_as_json");
  if (values.proxy.outlierLogPath !== "") args.push(`--outlierLogPath=${values.proxy.outlierLogPath}`);
  return args;
}

/** Port 0 switches the status server, and with it the probes, off. */
export function hasStatusPort(input: TemplateInput): boolean {
  return setting(input, annotationName.statusPort, input.values.proxy.statusPort) !== "0";
}

export function readinessProbe(input: TemplateInput): Probe {
  const { proxy } = input.values;
  const initialDelay = Number(setting(input, annotationName.readinessInitialDelay, proxy.readinessInitialDelaySeconds));
  return {
    httpGet: { path: "/healthz/ready", port: 15021 },
    ...(initialDelay > 0 && { initialDelaySeconds: initialDelay }),
    periodSeconds: Number(setting(input, annotationName.readinessPeriod, proxy.readinessPeriodSeconds)),
    timeoutSeconds: 3,
    failureThreshold: Number(setting(input, annotationName.readinessFailureThreshold, proxy.readinessFailureThreshold)),
  };
}

export function startupProbe(input: TemplateInput): Probe {
  return {
    httpGet: { path: "/healthz/ready", port: 15021 },
    periodSeconds: 1,
    timeoutSeconds: 3,
    failureThreshold: input.values.proxy.startupProbe.failureThreshold,
  };
}
