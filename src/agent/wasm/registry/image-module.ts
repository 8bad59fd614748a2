// A Wasm module out of an image, in the three forms that Istio knows:
//   an artifact with a layer of type application/vnd.module.wasm.content.layer.v1+wasm (or application/wasm)
//   an OCI image whose last layer is a tar.gz with the file plugin.wasm
//   a Docker image of the same kind
// An index leads to one of them.
import { gunzip } from "node:zlib";
import type { ImageReference } from "./image-reference.ts";
import { type FetchedManifest, type RegistryClient, RegistryRefusal } from "./registry-client.ts";
import { fileInTar } from "./tar-file.ts";

const indexTypes: ReadonlySet<string> = new Set([
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
]);
const moduleTypes: ReadonlySet<string> = new Set([
  "application/vnd.module.wasm.content.layer.v1+wasm",
  "application/wasm",
]);
const archiveTypes: ReadonlySet<string> = new Set([
  "application/vnd.oci.image.layer.v1.tar+gzip",
  "application/vnd.docker.image.rootfs.diff.tar.gzip",
]);
const moduleFile = "plugin.wasm";

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly platform: string;
}

/** What an image is, before its layers are fetched. */
export interface ImageManifest {
  /** Of the manifest and of the index that led to it, without `sha256:`. */
  readonly digests: readonly string[];
  readonly layers: readonly Descriptor[];
}

/** Rejects with RegistryRefusal where another try would find the same. */
export async function imageManifest(client: RegistryClient, { tag, digest }: ImageReference): Promise<ImageManifest> {
  const first = await client.manifest(digest === "" ? tag : digest);
  if (!isIndex(first)) return described([first]);
  const entries = descriptors(first, "manifests");
  const chosen =
    entries.find(({ platform }) => platform === "linux/amd64") ??
    entries.find(({ platform }) => /wasm|wasi/.test(platform)) ??
    entries[0];
  if (chosen === undefined) throw new RegistryRefusal("the index of the image is empty");
  const second = await client.manifest(chosen.digest);
  if (isIndex(second)) throw new RegistryRefusal("the index of the image leads to another one");
  return described([first, second]);
}

/** The module; `maxBytes` bounds what is unpacked. */
export async function moduleOf(client: RegistryClient, { layers }: ImageManifest, maxBytes: number): Promise<Buffer> {
  const last = layers.at(-1);
  if (last === undefined) throw new RegistryRefusal("the image has no layer");
  const module = layers.find(({ mediaType }) => moduleTypes.has(mediaType));
  if (module !== undefined) return client.blob(module.digest);
  if (!archiveTypes.has(last.mediaType)) {
    throw new RegistryRefusal(`the image has no module: its last layer is ${last.mediaType || "of no type"}`);
  }
  return inArchive(await client.blob(last.digest), maxBytes);
}

async function inArchive(layer: Buffer, maxBytes: number): Promise<Buffer> {
  let found: Buffer | undefined;
  try {
    found = fileInTar(await unpacked(layer, maxBytes), moduleFile);
  } catch (error) {
    throw new RegistryRefusal(`the last layer of the image cannot be unpacked: ${(error as Error).message}`);
  }
  if (found === undefined) throw new RegistryRefusal(`the last layer of the image holds no ${moduleFile}`);
  return found;
}

function unpacked(layer: Buffer, maxBytes: number): Promise<Buffer> {
  // Beside the module an archive has little.
  const maxOutputLength = maxBytes + 1024 * 1024;
  return new Promise((resolve, reject) => {
    gunzip(layer, { maxOutputLength }, (error, bytes) => (error === null ? resolve(bytes) : reject(error)));
  });
}

function described(manifests: readonly FetchedManifest[]): ImageManifest {
  const image = manifests.at(-1);
  return {
    digests: manifests.map(({ digest }) => digest.slice("sha256:".length)),
    layers: image === undefined ? [] : descriptors(image, "layers"),
  };
}

function isIndex({ json, mediaType }: FetchedManifest): boolean {
  return indexTypes.has(text(json, "mediaType") || mediaType);
}

function descriptors({ json }: FetchedManifest, list: "layers" | "manifests"): Descriptor[] {
  const items = field(json, list);
  if (!Array.isArray(items)) throw new RegistryRefusal(`the manifest has no ${list}`);
  return items.map((item: unknown) => {
    const digest = text(item, "digest");
    if (!/^sha256:[a-f0-9]{64}$/.test(digest)) throw new RegistryRefusal(`"${digest}" is no digest of SHA-256`);
    const platform = field(item, "platform");
    return {
      mediaType: text(item, "mediaType"),
      digest,
      platform: `${text(platform, "os")}/${text(platform, "architecture")}`,
    };
  });
}

function field(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined;
}

function text(value: unknown, key: string): string {
  const found = field(value, key);
  return typeof found === "string" ? found : "";
}
