// Containers that the user wrote under the injector's names (`istio-proxy`, `istio-init`): their fields win over the
// template's. They are remembered in annotation `proxy.istio.io/overrides`, so that a second injection starts from
// what the user wrote and not from what the first one made of it.
import { overlay } from "./overlay.ts";
import { type Container, isRecord, type Pod, podAnnotations, proxyContainerName } from "./pod.ts";
import { parseJson } from "./status.ts";

export interface UserContainers {
  readonly containers: readonly Container[];
  readonly initContainers: readonly Container[];
}

const overridesAnnotation = "proxy.istio.io/overrides";

/** The user's word on the containers that the templates add. `image: auto` leaves the choice to the injector. */
export function findUserContainers(pod: Pod, added: Pod): UserContainers {
  const written = [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])];
  const matching = (containers: readonly Container[] | undefined): Container[] =>
    (containers ?? []).flatMap((container) => {
      const user = written.find((candidate) => candidate.name === container.name);
      return user === undefined ? [] : [withoutAuto(user)];
    });
  return { containers: matching(added.spec.containers), initContainers: matching(added.spec.initContainers) };
}

export function applyUserContainers(pod: Pod, user: UserContainers): Pod {
  if (user.containers.length === 0 && user.initContainers.length === 0) return pod;
  const value = {
    ...(user.containers.length > 0 && { containers: user.containers }),
    ...(user.initContainers.length > 0 && { initContainers: user.initContainers }),
  };
  return overlay(pod, {
    metadata: { annotations: { [overridesAnnotation]: JSON.stringify(value) } },
    spec: value,
  });
}

/** The user and group that the user chose for the proxy: capture must exempt the same. */
export function userProxyIdentity(pod: Pod): { uid: number | undefined; gid: number | undefined } {
  const proxy = [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])].find(
    (container) => container.name === proxyContainerName,
  );
  return { uid: proxy?.securityContext?.runAsUser, gid: proxy?.securityContext?.runAsGroup };
}

/** Reads the annotation of an earlier injection. */
export function readOverrides(pod: Pod): UserContainers {
  const value = parseJson(podAnnotations(pod)[overridesAnnotation] ?? "{}");
  if (!isRecord(value)) return { containers: [], initContainers: [] };
  return { containers: containerList(value["containers"]), initContainers: containerList(value["initContainers"]) };
}

/**
 * Moves a proxy that the user wrote among the containers to where a native sidecar stands; otherwise the pod would
 * have two containers of one name.
 */
export function moveProxyToInitContainers(pod: Pod): Pod {
  const containers = pod.spec.containers ?? [];
  const proxies = containers.filter((container) => container.name === proxyContainerName);
  if (proxies.length === 0) return pod;
  return {
    ...pod,
    spec: {
      ...pod.spec,
      containers: containers.filter((container) => container.name !== proxyContainerName),
      initContainers: [...(pod.spec.initContainers ?? []), ...proxies],
    },
  };
}

function withoutAuto(container: Container): Container {
  const { image, ...rest } = container;
  const named: Container = image === undefined || image === "auto" ? { ...rest } : { ...rest, image };
  return { ...named, resources: container.resources ?? {} };
}

function containerList(value: unknown): Container[] {
  if (!Array.isArray(value)) return [];
  return value.filter((item): item is Container => isRecord(item) && typeof item["name"] === "string");
}
