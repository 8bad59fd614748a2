// nginx as a peer: the backend that answers 1 KiB, and the two hops of an mTLS pair.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CertificateFiles } from "./certificates.ts";
import { type BenchProcess, startProcess, waitForPort } from "./process.ts";

export async function startNginx(folder: string, name: string, port: number, http: string): Promise<BenchProcess> {
  const prefix = join(folder, name);
  mkdirSync(prefix, { recursive: true });
  const config = join(prefix, "nginx.conf");
  writeFileSync(
    config,
    `daemon off; worker_processes 1; pid ${prefix}/pid; error_log ${prefix}/error.log warn;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; client_body_temp_path ${prefix}; proxy_temp_path ${prefix};
  fastcgi_temp_path ${prefix}; uwsgi_temp_path ${prefix}; scgi_temp_path ${prefix};
${http}
}
`,
  );
  const nginx = startProcess("nginx", ["-p", prefix, "-c", config]);
  await waitForPort(port);
  return nginx;
}

export function backend(port: number): string {
  return `  server { listen 127.0.0.1:${port}; location / { default_type text/plain; return 200 "${"x".repeat(1024)}"; } }`;
}

/** Plain in, mutual TLS out. */
export function clientHop(port: number, upstreamPort: number, files: CertificateFiles): string {
  return `  upstream next { server 127.0.0.1:${upstreamPort}; keepalive 256; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:${port}; location / {
    proxy_pass https://next; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_ssl_certificate ${files.certificate}; proxy_ssl_certificate_key ${files.key};
    proxy_ssl_trusted_certificate ${files.root}; proxy_ssl_verify off; proxy_ssl_protocols TLSv1.3; proxy_ssl_session_reuse on;
  } }`;
}

/** Mutual TLS in, plain out. */
export function serverHop(port: number, upstreamPort: number, files: CertificateFiles): string {
  return `  upstream app { server 127.0.0.1:${upstreamPort}; keepalive 256; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:${port} ssl; ssl_certificate ${files.certificate}; ssl_certificate_key ${files.key};
    ssl_client_certificate ${files.root}; ssl_verify_client on; ssl_protocols TLSv1.3;
    location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }
  }`;
}
