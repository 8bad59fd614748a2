// A registry of images on a real port, for tests: manifests and blobs by the OCI distribution specification, and a server
// of tokens beside it.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";

export const types = {
  artifact: "application/vnd.module.wasm.content.layer.v1+wasm",
  ociLayer: "application/vnd.oci.image.layer.v1.tar+gzip",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
} as const;

export interface Layer {
  readonly mediaType: string;
  readonly content: Buffer;
}

export interface RegistryFake {
  readonly host: string;
  /** Paths that were asked, with what they were authorized by. */
  readonly asked: string[];
  /** Puts an image under a tag: its digest. */
  push(repository: string, tag: string, layers: readonly Layer[], manifestType?: string): string;
  pushIndex(repository: string, tag: string, entries: readonly (readonly [platform: string, digest: string])[]): string;
  /** Answers a request instead; undefined: as usual. */
  instead: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  /** Who may pull: nobody asks while it is undefined. */
  access: { readonly scheme: "basic" | "bearer"; readonly user: string; readonly refreshToken?: string } | undefined;
  close(): void;
}

export const digestOf = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

export async function registryFake(): Promise<RegistryFake> {
  const manifests = new Map<string, { readonly type: string; readonly bytes: Buffer }>();
  const blobs = new Map<string, Buffer>();
  const server: Server = createServer((request, response) => answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const put = (repository: string, tag: string, type: string, json: object): string => {
    const bytes = Buffer.from(JSON.stringify(json));
    const digest = digestOf(bytes);
    for (const name of [tag, digest]) manifests.set(`/v2/${repository}/manifests/${name}`, { type, bytes });
    return digest;
  };
  const fake: RegistryFake = {
    host,
    asked: [],
    instead: undefined,
    access: undefined,
    push: (repository, tag, layers, manifestType = types.ociManifest) => {
      for (const { content } of layers) blobs.set(`/v2/${repository}/blobs/${digestOf(content)}`, content);
      return put(repository, tag, manifestType, {
        schemaVersion: 2,
        mediaType: manifestType,
        layers: layers.map(({ mediaType, content }) => ({
          mediaType,
          digest: digestOf(content),
          size: content.length,
        })),
      });
    },
    pushIndex: (repository, tag, entries) =>
      put(repository, tag, types.ociIndex, {
        schemaVersion: 2,
        manifests: entries.map(([platform, digest]) => {
          const [os, architecture] = platform.split("/");
          return { mediaType: types.ociManifest, digest, platform: { os, architecture } };
        }),
      }),
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
  const basic = (user: string): string => `Basic ${Buffer.from(user).toString("base64")}`;

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "";
    const authorization = request.headers.authorization ?? "";
    fake.asked.push(`${request.method} ${path} ${authorization}`.trimEnd());
    if (fake.instead?.(request, response) === true) return;
    const { access } = fake;
    if (path.startsWith("/token")) return void giveToken(request, response);
    if (access !== undefined) {
      const wanted = access.scheme === "basic" ? basic(access.user) : "Bearer t0ken";
      if (authorization !== wanted) {
        const challenge =
          access.scheme === "basic"
            ? 'Basic realm="registry"'
            : `Bearer realm="http://${host}/token",service="fake",scope="repository:team/plugin:pull"`;
        response.writeHead(401, { "www-authenticate": challenge });
        response.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
        return;
      }
    }
    const manifest = manifests.get(path);
    if (manifest !== undefined) {
      response.writeHead(200, { "content-type": manifest.type });
      response.end(manifest.bytes);
      return;
    }
    const blob = blobs.get(path);
    response.writeHead(blob === undefined ? 404 : 200);
    response.end(blob ?? '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
  }

  async function giveToken(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const { access } = fake;
    const isRefreshed = new URLSearchParams(body).get("refresh_token") === access?.refreshToken;
    const isKnown =
      request.method === "POST" ? isRefreshed : request.headers.authorization === basic(access?.user ?? "");
    response.writeHead(isKnown ? 200 : 401);
    response.end(
      isKnown ? JSON.stringify(request.method === "POST" ? { access_token: "t0ken" } : { token: "t0ken" }) : "",
    );
  }
  return fake;
}

/** A tar archive of files, compressed; names of more than 100 characters go into a pax header. */
export function tarGz(files: Readonly<Record<string, Buffer>>): Buffer {
  return gzipSync(tar(files));
}

function tar(files: Readonly<Record<string, Buffer>>): Buffer {
  const entries = Object.entries(files).flatMap(([name, content]) => {
    const record = `path=${name}\n`;
    const length = record.length + 1 + String(record.length + 4).length;
    const pax = name.length > 100 ? [entry("pax", "x", Buffer.from(`${length} ${record}`))] : [];
    return [...pax, entry(name.slice(0, 100), "0", content)];
  });
  return Buffer.concat([...entries, Buffer.alloc(1024)]);
}

function entry(name: string, type: string, content: Buffer): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write("0000644\0", 100);
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  header.fill(" ", 148, 156);
  header.write(type, 156);
  header.write("ustar\0" + "00", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}
