// HAProxy as peer, one thread.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Hop, SecureHop } from "./bootstrap.ts";
import { type BenchProcess, startProcess, waitForPort } from "./process.ts";
import type { Scene } from "./scene.ts";

export async function startHaproxy(scene: Scene, name: string, port: number, sections: string): Promise<BenchProcess> {
  const path = join(scene.folder, `${name}.cfg`);
  writeFileSync(
    path,
    `global
  nbthread 1
  maxconn 4000
defaults
  timeout connect 5s
  timeout client 1h
  timeout server 1h
${sections}
`,
  );
  const haproxy = scene.add(startProcess("haproxy", ["-db", "-q", "-f", path]));
  await waitForPort(port);
  return haproxy;
}

export function plainHop({ listenPort, upstreamPort }: Hop): string {
  return `listen hop
  mode http
  bind 127.0.0.1:${listenPort}
  http-reuse always
  server next 127.0.0.1:${upstreamPort}`;
}

export function tcpHop({ listenPort, upstreamPort }: Hop): string {
  return `listen hop
  mode tcp
  bind 127.0.0.1:${listenPort}
  server next 127.0.0.1:${upstreamPort}`;
}

/** Bytes in, mutual TLS out. */
export function tcpClientHop({ listenPort, upstreamPort, files }: SecureHop): string {
  return `listen hop
  mode tcp
  bind 127.0.0.1:${listenPort}
  server next 127.0.0.1:${upstreamPort} ssl crt ${files.both} ca-file ${files.root} verify required ssl-min-ver TLSv1.3`;
}

/** Mutual TLS in, bytes out. */
export function tcpServerHop({ listenPort, upstreamPort, files }: SecureHop): string {
  return `listen hop
  mode tcp
  bind 127.0.0.1:${listenPort} ssl crt ${files.both} ca-file ${files.root} verify required ssl-min-ver TLSv1.3
  server next 127.0.0.1:${upstreamPort}`;
}
