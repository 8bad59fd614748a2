// Starts the API server: on a Unix socket for the administrator, over TLS for service accounts.

import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Socket } from "node:net";
import { dirname } from "node:path";
import type { Duplex } from "node:stream";
import { Lifecycle } from "#base/lifecycle.ts";
import { systemClock } from "#base/time/clock.ts";
import { createAdmission } from "../admission/admission.ts";
import { openTokenAuthority } from "../tokens/token-authority.ts";
import { type Authenticator, asAdministrator, bearerAuthenticator } from "./authenticate.ts";
import type { ApiContext } from "./call.ts";
import { serverCertificate } from "./certificate/cluster-ca.ts";
import { handleRequest, handleUpgrade } from "./handler.ts";
import type { ApiServerOptions, RunningApiServer } from "./options.ts";
import { ResourceRegistry } from "./registry.ts";

const limits = {
  maxHeaderSize: 64 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  keepAliveTimeout: 60_000,
  // Others that offer to upgrade (to HTTP/2, say) are answered as they are.
  shouldUpgradeCallback: (request: IncomingMessage): boolean =>
    /\/(?:portforward|exec)(?:\?|$)/.test(request.url ?? ""),
};

/** The names under which pods reach the API. */
const serverNames = [
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  "kubernetes.default.svc.cluster.local",
  "localhost",
  "127.0.0.1",
  "10.96.0.1",
];

export async function startApiServer(options: ApiServerOptions): Promise<RunningApiServer> {
  const { store, log, clock = systemClock, https } = options;
  const lifecycle = new Lifecycle();
  const tokens = openTokenAuthority({ store, clock });
  const admission = createAdmission({ store, log });
  lifecycle.onStop(() => admission.close());
  const context: ApiContext = {
    store,
    registry: new ResourceRegistry(store),
    admission,
    tokens,
    node: options.node,
    log,
    clock,
  };
  const names = https === undefined ? serverNames : [...serverNames, https.host];
  const certificate = serverCertificate(store, [...new Set(names)], clock.now());
  let httpsPort = 0;
  try {
    if (options.socketPath !== undefined) {
      const server = createHttpServer(limits, listener(context, asAdministrator));
      await listenOnSocket(attach(context, server, asAdministrator, lifecycle), options.socketPath);
    }
    if (https !== undefined) {
      const authenticate = bearerAuthenticator(tokens);
      const settings = {
        ...limits,
        key: certificate.keyPem,
        cert: certificate.certificatePem,
        minVersion: "TLSv1.2",
      } as const;
      const server = createHttpsServer(settings, listener(context, authenticate));
      httpsPort = await listenOnPort(attach(context, server, authenticate, lifecycle), https);
    }
  } catch (error) {
    await lifecycle.stop();
    throw error;
  }
  return { caPem: certificate.caPem, httpsPort, tokens, admission, stop: () => lifecycle.stop() };
}

function listener(context: ApiContext, authenticate: Authenticator): RequestListener {
  return (request, response) => {
    // It answers every failure itself.
    void handleRequest(context, authenticate, request, response);
  };
}

/** Adds upgrades and the end: all connections are closed, also those that watch or were upgraded. */
function attach(context: ApiContext, server: Server, authenticate: Authenticator, lifecycle: Lifecycle): Server {
  const upgraded = new Set<Duplex>();
  server.on("upgrade", (request, socket: Duplex, head: Buffer) => {
    upgraded.add(socket);
    socket.on("close", () => upgraded.delete(socket));
    void handleUpgrade(context, authenticate, request, socket, head);
  });
  server.on("clientError", (_error, socket: Duplex) => {
    if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  });
  server.on("connection", (socket: Socket) => socket.setNoDelay(true));
  lifecycle.onStop(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
        for (const socket of upgraded) socket.destroy();
      }),
  );
  return server;
}

/** The mask keeps the socket from being open to others even for a moment. */
async function listenOnSocket(server: Server, path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  rmSync(path, { force: true });
  await listening(server, () => {
    // Node binds within this call.
    const mask = process.umask(0o177);
    try {
      server.listen({ path });
    } finally {
      process.umask(mask);
    }
  });
  chmodSync(path, 0o600);
}

async function listenOnPort(server: Server, { host, port }: { host: string; port: number }): Promise<number> {
  await listening(server, () => server.listen({ host, port }));
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : port;
}

function listening(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      resolve();
    });
    listen();
  });
}
