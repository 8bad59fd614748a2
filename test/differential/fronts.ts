// Servers that read the same bytes: our proxy, nginx and HAProxy in front of one kind of application each, and node:http
// as an application itself. What each made of the bytes is what its application saw and what the client was answered.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type NetConnectOpts } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  chain,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  listenerConfig,
  managerConfig,
  routeEntry,
} from "#proxy/listener/testing/data-path.ts";

export interface Outcome {
  /** Method, target and body of each request that the application saw. */
  readonly requests: readonly string[];
  /** Status of each answer that the client got. */
  readonly statuses: readonly number[];
}

export interface Front {
  readonly name: string;
  play(bytes: Buffer): Promise<Outcome>;
  stop(): Promise<void>;
}

/** The application: node:http, which reads strictly, and remembers what it read. */
class Application {
  requests: string[] = [];
  readonly server: Server;

  constructor() {
    this.server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => this.#take(request, response));
    this.server.on("connect", (request, socket) => {
      this.requests.push(`CONNECT ${request.url}`);
      socket.end("HTTP/1.1 501 Not Implemented\r\nConnection: close\r\n\r\n");
    });
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on("error", () => {});
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString("latin1");
      this.requests.push(`${request.method} ${target(request)} ${JSON.stringify(body)}`);
      response.end("ok");
    });
  }

  async listen(): Promise<number> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    return (this.server.address() as AddressInfo).port;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** A proxy may write an absolute target as path and host. */
function target(request: IncomingMessage): string {
  return (request.url ?? "").replace(/^https?:\/\/[^/?]+/i, "") || "/";
}

/** How long nobody says anything before the server is taken to wait for more. */
const quietMs = 120;

/** Sends bytes and listens until the connection ends or nothing more comes. */
async function exchange(to: NetConnectOpts, bytes: Buffer): Promise<number[]> {
  const socket = connect(to);
  let text = "";
  await new Promise<void>((resolve) => {
    let timer = setTimeout(resolve, quietMs * 5);
    socket.on("data", (data) => {
      text += data.toString("latin1");
      clearTimeout(timer);
      timer = setTimeout(resolve, quietMs);
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      resolve();
    });
    socket.write(bytes);
  });
  socket.destroy();
  return [...text.matchAll(/HTTP\/1\.[01] (\d{3}) /g)].map((match) => Number(match[1]));
}

function front(name: string, application: Application, to: NetConnectOpts, stop: () => Promise<void>): Front {
  return {
    name,
    play: async (bytes) => {
      application.requests = [];
      const statuses = await exchange(to, bytes);
      return { requests: application.requests, statuses };
    },
    stop: async () => {
      await stop();
      application.stop();
    },
  };
}

export async function nodeFront(): Promise<Front> {
  const application = new Application();
  const port = await application.listen();
  return front("node", application, { port, host: "127.0.0.1" }, async () => {});
}

/** Our proxy. Paths are forwarded as they came, as the others do. */
export async function ownFront(): Promise<Front> {
  const application = new Application();
  const port = await application.listen();
  const path = dataPath();
  path.clusters.update(clusterOn("app", [port]));
  const config = managerConfig([routeEntry("/", forward("app")), routeEntry("*", forward("app"))], {
    paths: { normalize: false, mergeSlashes: false, escapedSlashes: "keep" },
  });
  await path.listeners.update(listenerConfig([chain([httpFilter(config)])]));
  return front("outrigger", application, { port: path.port(), host: "127.0.0.1" }, async () => path.stop());
}

/** A program that listens on a socket in a folder of its own. */
async function program(
  name: string,
  write: (folder: string, port: number) => readonly [command: string, ...args: string[]],
): Promise<Front> {
  const application = new Application();
  const port = await application.listen();
  const folder = mkdtempSync(join(tmpdir(), `outrigger-${name}-`));
  const [command, ...args] = write(folder, port);
  const child: ChildProcess = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
  let complaint = "";
  child.stderr?.on("data", (data: Buffer) => (complaint += data.toString()));
  const ended = once(child, "exit");
  const path = join(folder, "socket");
  for (let tries = 0; ; tries++) {
    if (await canConnect(path)) break;
    if (child.exitCode !== null || tries > 100) throw new Error(`${name} does not listen: ${complaint}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return front(name, application, { path }, async () => {
    child.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });
}

async function canConnect(path: string): Promise<boolean> {
  const socket = connect({ path });
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false; // not there yet
  } finally {
    socket.destroy();
  }
}

export function nginxFront(): Promise<Front> {
  return program("nginx", (folder, port) => {
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${folder}/${name};`)
      .join(" ");
    writeFileSync(
      join(folder, "nginx.conf"),
      `daemon off; master_process off; pid ${folder}/pid; error_log stderr crit;
events { worker_connections 256; }
http {
  access_log off; ${paths} client_max_body_size 0;
  server {
    listen unix:${folder}/socket;
    location / { proxy_pass http://127.0.0.1:${port}; proxy_http_version 1.1; proxy_set_header Host $http_host; }
  }
}
`,
    );
    return ["nginx", "-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"];
  });
}

export function haproxyFront(): Promise<Front> {
  return program("haproxy", (folder, port) => {
    writeFileSync(
      join(folder, "haproxy.cfg"),
      `global
  maxconn 256
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 2s
  timeout http-request 5s
frontend in
  bind unix@${folder}/socket
  default_backend out
backend out
  server application 127.0.0.1:${port}
`,
    );
    return ["haproxy", "-f", join(folder, "haproxy.cfg"), "-db", "-q"];
  });
}
