// Names of images in registries: `oci://host:port/path/of/repository:tag@sha256:digest`. A name without a host is one of
// Docker Hub, as for everybody who pulls images.

export interface ImageReference {
  /** `host` or `host:port`, as credentials go by it. */
  readonly registry: string;
  readonly repository: string;
  /** Empty: only the digest counts. */
  readonly tag: string;
  /** `sha256:…`; empty: the tag says it. */
  readonly digest: string;
}

const dockerHub = "docker.io";
const hubAliases: ReadonlySet<string> = new Set([dockerHub, "index.docker.io", "registry-1.docker.io"]);

/** Undefined for what is no name of an image. */
export function parseImageReference(url: string): ImageReference | undefined {
  const name = url.replace(/^oci:\/\//i, "");
  const [, path = "", tag = "", digest = ""] =
    /^([^@]+?)(?::([A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(sha256:[a-f0-9]{64}))?$/.exec(name) ?? [];
  const [first = "", ...rest] = path.split("/");
  const hasHost = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  const parts = hasHost ? rest : [first, ...rest];
  if (!parts.every((part) => /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/.test(part))) return undefined;
  if (hasHost && !URL.canParse(`https://${first}/`)) return undefined;
  const registry = hasHost && !hubAliases.has(first) ? first : dockerHub;
  const isOfficial = registry === dockerHub && parts.length === 1;
  const repository = isOfficial ? `library/${parts[0] ?? ""}` : parts.join("/");
  return { registry, repository, tag: tag === "" && digest === "" ? "latest" : tag, digest };
}

/** Where a registry's API is. */
export function registryHost({ registry }: ImageReference): string {
  return registry === dockerHub ? "registry-1.docker.io" : registry;
}

/** The keys under which credentials for the registry may stand. */
export function credentialKeys({ registry }: ImageReference): readonly string[] {
  return registry === dockerHub ? ["https://index.docker.io/v1/", ...hubAliases] : [registry];
}
