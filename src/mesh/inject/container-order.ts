// Where the injected containers stand. Native sidecar: capture, proxy, then the user's init containers, which are
// thus part of the mesh. Otherwise capture comes last, because nothing could be reached after it; the proxy comes
// last too, so that kubectl's default stays the application, or first when the application waits for it.
import { type Container, initContainerName, type Pod, proxyContainerName, validationContainerName } from "./pod.ts";

export function orderContainers(pod: Pod, holdApplication: boolean): Pod {
  const containers = pod.spec.containers ?? [];
  const initContainers = pod.spec.initContainers ?? [];
  const native = initContainers.some((container) => container.name === proxyContainerName);
  const placed = native
    ? [initContainerName, validationContainerName, proxyContainerName].reduceRight(moveFirst, initContainers)
    : moveLast(moveFirst(initContainers, validationContainerName), initContainerName);
  return {
    ...pod,
    spec: {
      ...pod.spec,
      ...(placed.length > 0 && { initContainers: placed }),
      containers: holdApplication
        ? moveFirst(containers, proxyContainerName)
        : moveLast(containers, proxyContainerName),
    },
  };
}

function moveFirst(containers: readonly Container[], name: string): readonly Container[] {
  return [...containers.filter((item) => item.name === name), ...containers.filter((item) => item.name !== name)];
}

function moveLast(containers: readonly Container[], name: string): readonly Container[] {
  return [...containers.filter((item) => item.name !== name), ...containers.filter((item) => item.name === name)];
}
