// Turns a container of a pod into a process: looks up its image, builds environment, user, mounts and command.

import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, normalize } from "node:path";
import { describeError } from "#base/error.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { ImageCommand, Images } from "../images.ts";
import type { PodNetwork } from "../network/pod-network.ts";
import { systemPath } from "../network/run-command.ts";
import type { ObjectStore } from "../store/store.ts";
import { containerIdentity } from "./container-identity.ts";
import type { ContainerLog } from "./container-log.ts";
import { type MountSource, mountTable, mountTarget } from "./container-mounts.ts";
import { type ContainerProcess, launchContainer } from "./container-process.ts";
import { containerEnvironment, type Environment, expand } from "./environment.ts";
import { compileCacheMount, type NodeFiles } from "./node-files.ts";
import { type ContainerSpec, hostnameOf, podSpec, type VolumeMount } from "./pod-spec.ts";
import type { PodVolumes } from "./volumes/pod-volumes.ts";
import { WaitingError } from "./waiting-error.ts";

export interface ContainerLaunchContext {
  readonly store: Pick<ObjectStore, "get">;
  readonly images: Images;
  readonly files: NodeFiles;
  readonly pod: KubernetesObject;
  /** The pod's folder on the node. */
  readonly folder: string;
  readonly network: PodNetwork;
  readonly volumes: PodVolumes;
}

/** Throws a WaitingError while the image is unknown, a ConfigMap is missing and the like. */
export async function launch(
  context: ContainerLaunchContext,
  container: ContainerSpec,
  log: ContainerLog,
): Promise<ContainerProcess> {
  const { pod, images, files, network } = context;
  const image = images.find(container.image);
  if (image === undefined) throw new WaitingError("ErrImagePull", images.explainMissing(container.image));
  const identity = containerIdentity(container, podSpec(pod).securityContext, image);
  const environment = containerEnvironment({
    store: context.store,
    pod,
    container,
    podAddress: network.address,
    defaults: {
      // The pinned Node.js before any that the system has.
      PATH: `${dirname(process.execPath)}:${systemPath}`,
      HOME: "/tmp",
      NODE_COMPILE_CACHE: compileCacheMount,
      ...image.env,
    },
  });
  const command = commandLine(container, image, environment);
  const folder = join(context.folder, "containers", container.name);
  const table = prepareMounts(context, container, folder, environment, files.compileCache(identity.user));
  const mountTableFile = join(folder, "mounts");
  writeFileSync(mountTableFile, table);
  return launchContainer({
    command,
    environment,
    workingDir: container.workingDir ?? image.workingDir,
    identity,
    hostname: hostnameOf(pod),
    network: network.namespaceFile,
    mounts: files.containerNamespace,
    mountTableFile,
    onOutput: (stream, chunk) => log.write(stream, chunk),
  });
}

/** As Kubernetes: `command` replaces the entry point and the image's arguments, `args` only the arguments. */
function commandLine(container: ContainerSpec, image: ImageCommand, environment: Environment): string[] {
  const { command, args } = container;
  const hasCommand = command !== undefined && command.length > 0;
  const words = [
    ...(hasCommand ? command.map((word) => expand(word, environment)) : image.command),
    ...(args === undefined ? (hasCommand ? [] : (image.args ?? [])) : args.map((word) => expand(word, environment))),
  ];
  return words[0] === "node" ? [process.execPath, ...words.slice(1)] : words;
}

function prepareMounts(
  context: ContainerLaunchContext,
  container: ContainerSpec,
  folder: string,
  environment: Environment,
  compileCache: string,
): string {
  // What a container writes outside its volumes is gone when it starts again.
  rmSync(folder, { recursive: true, force: true });
  const own = { tmp: 0o1777, run: 0o755, shm: 0o1777 };
  for (const [name, mode] of Object.entries(own)) {
    mkdirSync(join(folder, name), { recursive: true });
    chmodSync(join(folder, name), mode);
  }
  const etc = join(context.folder, "etc");
  const mounts: MountSource[] = [
    { source: join(folder, "tmp"), target: "/tmp" },
    { source: join(folder, "run"), target: "/run" },
    { source: join(folder, "shm"), target: "/dev/shm" },
    { source: join(etc, "resolv.conf"), target: "/etc/resolv.conf", readOnly: true },
    { source: join(etc, "hosts"), target: "/etc/hosts" },
    { source: join(etc, "hostname"), target: "/etc/hostname", readOnly: true },
    { source: compileCache, target: compileCacheMount },
    ...context.files.exposed,
    ...(container.volumeMounts ?? []).map((mount) => volumeMount(context, mount, environment)),
  ];
  const { points, table } = mountTable(mounts, context.files.hidden);
  for (const { path, source } of points) makeMountPoint(path, statSync(source).isDirectory());
  return table;
}

function volumeMount(context: ContainerLaunchContext, mount: VolumeMount, environment: Environment): MountSource {
  const volume = podSpec(context.pod).volumes?.find(({ name }) => name === mount.name);
  if (volume === undefined) throw new WaitingError("CreateContainerConfigError", `there is no volume "${mount.name}"`);
  const target = mountTarget(mount.mountPath, realPathOf);
  const root = context.volumes.path(mount.name);
  const isReadOnly = mount.readOnly === true || volume.emptyDir === undefined;
  const subPath = mount.subPathExpr === undefined ? mount.subPath : expand(mount.subPathExpr, environment);
  if (subPath === undefined || subPath === "") return { source: root, target, readOnly: isReadOnly };
  const relative = normalize(subPath);
  if (relative.startsWith("..") || relative.startsWith("/")) {
    throw new WaitingError("CreateContainerConfigError", `subPath ${subPath} leads out of volume "${mount.name}"`);
  }
  const source = join(root, relative);
  if (!existsSync(source)) {
    if (volume.emptyDir === undefined)
      throw new WaitingError("CreateContainerConfigError", `volume "${mount.name}" has no ${subPath}`);
    mkdirSync(source, { recursive: true });
    chmodSync(source, 0o777);
  }
  // Links inside a volume (`..data`) are fine, links that a container made to lead elsewhere are not.
  const real = realpathSync(source);
  if (real !== root && !real.startsWith(`${root}/`)) {
    throw new WaitingError("CreateContainerConfigError", `subPath ${subPath} leads out of volume "${mount.name}"`);
  }
  return { source: real, target, readOnly: isReadOnly };
}

/** The path with the symbolic links of its existing part followed. */
function realPathOf(path: string): string {
  if (path === "/") return path;
  if (existsSync(path)) return realpathSync(path);
  return join(realPathOf(dirname(path)), basename(path));
}

function makeMountPoint(path: string, isFolder: boolean): void {
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) return;
  try {
    if (isFolder) {
      mkdirSync(path, { recursive: true, mode: 0o755 });
    } else {
      mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
      closeSync(openSync(path, "a", 0o644));
    }
  } catch (error) {
    const message = `mount path ${path} cannot be made on this node: ${describeError(error)}`;
    throw new WaitingError("CreateContainerConfigError", message);
  }
}
