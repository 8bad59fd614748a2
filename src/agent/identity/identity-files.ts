// The files that a pod brings to the certificate service: its token (replaced by the kubelet while the pod runs) and the
// roots it trusts; and the revocation lists of the mesh's CA, where it has any. Directories are watched, because Kubernetes replaces files by swapping a symbolic link.
import { existsSync, type FSWatcher, watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { createSecureContext } from "node:tls";
import { OutriggerError } from "#base/error.ts";

const maxTokenBytes = 64 * 1024;
const maxRootBytes = 4 * 1024 * 1024;
const maxRevocationBytes = 4 * 1024 * 1024;

/** Reads the token; the text is never logged. */
export async function readToken(path: string): Promise<string> {
  return (await read(path, maxTokenBytes)).trim();
}

/** Reads the PEM bundle of roots. */
export async function readRoots(path: string): Promise<string> {
  const text = await read(path, maxRootBytes);
  if (!text.includes("-----BEGIN CERTIFICATE-----")) {
    throw new OutriggerError("IDENTITY_FILES", `${path} holds no certificate`);
  }
  return text;
}

/**
 * Reads the PEM bundle of revocation lists; undefined where there is no file, or nothing in it. Throws IDENTITY_FILES for
 * what OpenSSL would not read, which would cut every connection off.
 */
export async function readRevocations(path: string): Promise<string | undefined> {
  if (path === "" || !existsSync(path)) return undefined;
  const text = await read(path, maxRevocationBytes);
  if (text.trim() === "") return undefined;
  try {
    createSecureContext({ crl: text });
  } catch (cause) {
    throw new OutriggerError("IDENTITY_FILES", `${path} holds no revocation list that can be read`, { cause });
  }
  return text;
}

/** Calls back after something changed near the file; the returned function ends that. */
export function watchFile(path: string, callback: () => void): () => void {
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(dirname(path), { persistent: false }, () => callback());
    watcher.on("error", () => watcher?.close());
  } catch {
    // No directory to watch: the file is read again before each request anyway.
    return () => {};
  }
  return () => watcher.close();
}

async function read(path: string, limit: number): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new OutriggerError("IDENTITY_FILES", `${path} cannot be read`, { cause });
  }
  if (bytes.length > limit) throw new OutriggerError("IDENTITY_FILES", `${path} is larger than ${limit} bytes`);
  return bytes.toString("utf8");
}
