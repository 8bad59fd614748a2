// One gRPC port: aggregated discovery and the certificate service together, as istiod serves them.
import { Server, ServerCredentials, type ServerOptions } from "@grpc/grpc-js";
import { OutriggerError } from "#base/error.ts";
import type { Running } from "#base/lifecycle.ts";
import { writesFrames } from "#wire/grpc/message-frame.ts";
import { adsService } from "#wire/grpc/service-definition.ts";
import type { BoundAddress } from "../bind.ts";
import { certificateService, type createCertificateHandlers } from "../ca/certificate-service.ts";
import type { createAdsHandlers } from "./ads-server.ts";

export interface GrpcServerOptions {
  readonly host: string;
  readonly port: number;
  readonly credentials?: ServerCredentials;
  readonly ads: ReturnType<typeof createAdsHandlers>;
  readonly certificates: ReturnType<typeof createCertificateHandlers> | undefined;
  /** Connections are asked to reconnect after this, so that replicas share the load. Default 30 minutes. */
  readonly maxConnectionAgeMs?: number;
}

/** Requests are subscriptions and ACKs; a client with 100,000 resources sends some 10 MB. */
const maxRequestBytes = 32 * 1024 * 1024;

export class GrpcServer implements Running {
  readonly #options: GrpcServerOptions;
  readonly #server: Server;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    const settings: ServerOptions = {
      interceptors: [writesFrames],
      "grpc.max_receive_message_length": maxRequestBytes,
      "grpc.max_send_message_length": -1,
      "grpc.max_concurrent_streams": 1000,
      "grpc.keepalive_time_ms": 30_000,
      "grpc.keepalive_timeout_ms": 10_000,
      "grpc.keepalive_permit_without_calls": 1,
      "grpc.max_connection_age_ms": options.maxConnectionAgeMs ?? 30 * 60_000,
      "grpc.max_connection_age_grace_ms": 10_000,
      "grpc.so_reuseport": 0,
    };
    this.#server = new Server(settings);
    this.#server.addService(adsService, options.ads);
    if (options.certificates !== undefined) this.#server.addService(certificateService, options.certificates);
  }

  listen(): Promise<BoundAddress> {
    const { host, port, credentials } = this.#options;
    const address = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, credentials ?? ServerCredentials.createInsecure(), (cause, bound) => {
        if (cause !== null) reject(new OutriggerError("BIND_FAILED", `${address} cannot be opened`, { cause }));
        else resolve({ host, port: bound });
      });
    });
  }

  /** Takes no new connections and streams any more: open ones go on, their clients are told (GOAWAY). */
  retire(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.tryShutdown(() => resolve());
    });
  }

  /** Closes at once: proxies keep their configuration and reconnect elsewhere. */
  async stop(): Promise<void> {
    this.#server.forceShutdown();
  }
}
