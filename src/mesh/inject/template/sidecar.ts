// Template `sidecar`: capture, then the proxy, as a native sidecar (an init container that keeps running) or as an
// ordinary container.
import { annotationName, isTrue } from "../annotations.ts";
import { type Container, type Pod, podLabels, proxyContainerName } from "../pod.ts";
import { captureContainer, cniAnnotations } from "./capture.ts";
import { interceptionMode, proxyEnvironment } from "./environment.ts";
import { canonicalLabels, defaultContainerAnnotations, hboneLabels } from "./labels.ts";
import { hasStatusPort, proxyContainerBase, readinessProbe, startupProbe } from "./proxy-container.ts";
import { proxyResources } from "./resources.ts";
import { setting, type TemplateInput } from "./template-input.ts";
import { proxyVolumeMounts, proxyVolumes } from "./volumes.ts";

export function sidecarTemplate(input: TemplateInput): Pod {
  const appContainers = (input.pod.spec.containers ?? [])
    .map((container) => container.name)
    .filter((name) => name !== proxyContainerName);
  const proxy = proxyContainer(input, appContainers);
  const capture = interceptionMode(input) === "NONE" ? [] : [captureContainer(input)];
  return {
    metadata: {
      labels: {
        "security.istio.io/tlsMode": podLabels(input.pod)["security.istio.io/tlsMode"] ?? "istio",
        ...hboneLabels(input),
        ...canonicalLabels(input),
      },
      annotations: {
        [annotationName.revision]: input.revision,
        ...defaultContainerAnnotations(input, appContainers),
        ...(input.values.cniEnabled && cniAnnotations(input)),
      },
    },
    spec: {
      initContainers: input.nativeSidecar ? [...capture, proxy] : capture,
      containers: input.nativeSidecar ? [] : [proxy],
      volumes: proxyVolumes(input, { revocationList: true }),
      ...(input.values.imagePullSecrets.length > 0 && {
        imagePullSecrets: input.values.imagePullSecrets.map((name) => ({ name })),
      }),
    },
  };
}

function proxyContainer(input: TemplateInput, appContainers: readonly string[]): Container {
  const lifecycle = proxyLifecycle(input);
  const probed = hasStatusPort(input);
  return {
    ...proxyContainerBase(input, "sidecar"),
    ...(input.nativeSidecar && { restartPolicy: "Always" }),
    ...(lifecycle !== undefined && { lifecycle }),
    env: proxyEnvironment(input, appContainers, "sidecar"),
    ...(probed && input.values.proxy.startupProbe.enabled && { startupProbe: startupProbe(input) }),
    ...(probed && { readinessProbe: readinessProbe(input) }),
    securityContext: proxySecurityContext(input),
    resources: proxyResources(input),
    volumeMounts: proxyVolumeMounts(input, { revocationList: true }),
  };
}

/**
 * Ordinary container: holds the application's start until the proxy is ready. Native sidecar: the drain begins when
 * the pod begins to stop, because SIGTERM comes only after the application has gone.
 */
function proxyLifecycle(input: TemplateInput): Container["lifecycle"] {
  const { proxy } = input.values;
  if (proxy.lifecycle !== undefined) return proxy.lifecycle as NonNullable<Container["lifecycle"]>;
  if (input.nativeSidecar) {
    const port = setting(input, annotationName.statusPort, proxy.statusPort);
    const command = ["pilot-agent", "request", `--debug-port=${port}`, "POST", "drain"];
    return { preStop: { exec: { command } } };
  }
  if (input.proxyConfig.holdApplication || proxy.holdApplicationUntilProxyStarts) {
    return { postStart: { exec: { command: ["pilot-agent", "wait"] } } };
  }
  return undefined;
}

function proxySecurityContext(input: TemplateInput): NonNullable<Container["securityContext"]> {
  const { privileged } = input.values.proxy;
  const add = [
    ...(interceptionMode(input) === "TPROXY" ? ["NET_ADMIN"] : []),
    ...(isTrue(setting(input, annotationName.capNetBindService, "false")) ? ["NET_BIND_SERVICE"] : []),
  ];
  const asRoot = add.length > 0;
  return {
    allowPrivilegeEscalation: privileged,
    capabilities: { ...(asRoot && { add }), drop: ["ALL"] },
    privileged,
    readOnlyRootFilesystem: true,
    runAsNonRoot: !asRoot,
    runAsUser: asRoot ? 0 : input.proxyUid,
    runAsGroup: input.proxyGid,
  };
}
