// nginx as backend and as peer, one worker each.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Hop, SecureHop } from "./bootstrap.ts";
import { type BenchProcess, startProcess, waitForPort } from "./process.ts";
import type { Scene } from "./scene.ts";

/** `blocks` are blocks of nginx.conf: `http { ... }`, `stream { ... }`. */
export async function startNginx(scene: Scene, name: string, port: number, blocks: string): Promise<BenchProcess> {
  const prefix = join(scene.folder, name);
  mkdirSync(prefix, { recursive: true });
  const config = join(prefix, "nginx.conf");
  writeFileSync(
    config,
    `daemon off; worker_processes 1; pid ${prefix}/pid; error_log ${prefix}/error.log warn; 
events { worker_connections 16384; }
${blocks}
`,
  );
  const nginx = scene.add(startProcess("nginx", ["-p", prefix, "-c", config]));
  await waitForPort(port);
  return nginx;
}

/** An http block with access log off and connections that stay open. */
function http(content: string): string {
  return `http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; client_body_temp_path .; proxy_temp_path .;
  fastcgi_temp_path .; uwsgi_temp_path .; scgi_temp_path .;
${content}
}`;
}

/** Answers 1 KiB to everything. */
export function backend(port: number): string {
  return http(
    `  server { listen 127.0.0.1:${port}; location / { default_type text/plain; return 200 "${"x".repeat(1024)}"; } }`,
  );
}

/** Answers 16 MiB of a file to everything. */
export function bulkBackend(scene: Scene, port: number): string {
  const file = join(scene.folder, "bulk");
  writeFileSync(file, Buffer.alloc(16 << 20, 0x78));
  return http(
    `  sendfile on; server { listen 127.0.0.1:${port}; location / { root ${scene.folder}; try_files /bulk =404; } }`,
  );
}

const forward = `proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;`;
const kept = "keepalive 256; keepalive_requests 1000000000;";

export function plainHop({ listenPort, upstreamPort }: Hop): string {
  return http(`  upstream next { server 127.0.0.1:${upstreamPort}; ${kept} }
  server { listen 127.0.0.1:${listenPort}; location / { proxy_pass http://next; ${forward} } }`);
}

/** Plain in, mutual TLS out. */
export function clientHop({ listenPort, upstreamPort, files }: SecureHop): string {
  return http(`  upstream next { server 127.0.0.1:${upstreamPort}; ${kept} }
  server { listen 127.0.0.1:${listenPort}; location / {
    proxy_pass https://next; ${forward}
    proxy_ssl_certificate ${files.certificate}; proxy_ssl_certificate_key ${files.key};
    proxy_ssl_trusted_certificate ${files.root}; proxy_ssl_verify off; proxy_ssl_protocols TLSv1.3; proxy_ssl_session_reuse on;
  } }`);
}

/** Mutual TLS in, plain out. */
export function serverHop({ listenPort, upstreamPort, files }: SecureHop): string {
  return http(`  upstream app { server 127.0.0.1:${upstreamPort}; ${kept} }
  server { listen 127.0.0.1:${listenPort} ssl; ssl_certificate ${files.certificate}; ssl_certificate_key ${files.key};
    ssl_client_certificate ${files.root}; ssl_verify_client on; ssl_protocols TLSv1.3;
    location / { proxy_pass http://app; ${forward} }
  }`);
}

/** Answers every gRPC call over HTTP/2 without TLS with one message of 1 KiB and the status OK. */
export function grpcBackend(scene: Scene, port: number): string {
  const message = Buffer.alloc(5 + 1024, 0x78);
  message.writeUInt8(0, 0);
  message.writeUInt32BE(1024, 1);
  writeFileSync(join(scene.folder, "message"), message);
  // A POST for a file is answered with 405 by itself.
  return http(`  server { listen 127.0.0.1:${port} http2; default_type application/grpc;
    location / { add_trailer grpc-status 0; root ${scene.folder}; error_page 405 =200 /message; try_files /message =404; } }`);
}

/** HTTP/2 without TLS in, HTTP/2 with mutual TLS out. */
export function grpcClientHop({ listenPort, upstreamPort, files }: SecureHop): string {
  return http(`  upstream next { server 127.0.0.1:${upstreamPort}; ${kept} }
  server { listen 127.0.0.1:${listenPort} http2; location / {
    grpc_pass grpcs://next; grpc_ssl_certificate ${files.certificate}; grpc_ssl_certificate_key ${files.key};
    grpc_ssl_trusted_certificate ${files.root}; grpc_ssl_verify off; grpc_ssl_protocols TLSv1.3;
  } }`);
}

/** HTTP/2 with mutual TLS in, HTTP/2 without TLS out. */
export function grpcServerHop({ listenPort, upstreamPort, files }: SecureHop): string {
  return http(`  upstream app { server 127.0.0.1:${upstreamPort}; ${kept} }
  server { listen 127.0.0.1:${listenPort} ssl http2;
    ssl_certificate ${files.certificate}; ssl_certificate_key ${files.key};
    ssl_client_certificate ${files.root}; ssl_verify_client on; ssl_protocols TLSv1.3;
    location / { grpc_pass grpc://app; }
  }`);
}
