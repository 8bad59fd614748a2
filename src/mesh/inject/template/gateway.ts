// Template `gateway`: the pod is a proxy and nothing else. No capture; low ports are open to an ordinary user.
import { annotationName } from "../annotations.ts";
import type { Pod } from "../pod.ts";
import { proxyContainerName } from "../pod.ts";
import { proxyEnvironment } from "./environment.ts";
import { canonicalLabels } from "./labels.ts";
import { hasStatusPort, proxyContainerBase, readinessProbe } from "./proxy-container.ts";
import type { TemplateInput } from "./template-input.ts";
import { proxyVolumeMounts, proxyVolumes } from "./volumes.ts";

export function gatewayTemplate(input: TemplateInput): Pod {
  const appContainers = (input.pod.spec.containers ?? [])
    .map((container) => container.name)
    .filter((name) => name !== proxyContainerName);
  return {
    metadata: {
      labels: canonicalLabels(input),
      annotations: { [annotationName.revision]: input.revision },
    },
    spec: {
      securityContext: { sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }] },
      containers: [
        {
          ...proxyContainerBase(input, "router"),
          ...(input.values.proxy.lifecycle !== undefined && { lifecycle: input.values.proxy.lifecycle }),
          securityContext: { runAsUser: input.proxyUid, runAsGroup: input.proxyGid },
          env: proxyEnvironment(input, appContainers, "router"),
          ...(hasStatusPort(input) && { readinessProbe: readinessProbe(input) }),
          volumeMounts: proxyVolumeMounts(input, { revocationList: false }),
        },
      ],
      volumes: proxyVolumes(input, { revocationList: false }),
      ...(input.values.imagePullSecrets.length > 0 && {
        imagePullSecrets: input.values.imagePullSecrets.map((name) => ({ name })),
      }),
    },
  };
}
