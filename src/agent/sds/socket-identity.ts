// The workload's identity from somebody else's socket (SPIRE's, say): the secrets `default` and `ROOTCA` of the store are
// what the provider says they are, and it renews them. No request for a certificate leaves the pod.
import { create } from "@bufbuild/protobuf";
import { Client, type ClientDuplexStream, credentials, type ServiceError } from "@grpc/grpc-js";
import { OutriggerError } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import type { MetricRegistry } from "#base/metrics/registry.ts";
import { Backoff } from "#base/time/backoff.ts";
import type { Clock } from "#base/time/clock.ts";
import {
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
} from "#wire/gen/envoy/service/discovery/v3/discovery_pb.ts";
import type { SecretStore } from "#wire/tls/secrets.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { exposeCertificateExpiry } from "../identity/certificate-expiry.ts";
import { certificateName, type Identity, rootsName } from "../identity/start-identity.ts";
import { type ReadSecret, readSecretResource } from "./secret-resource.ts";
import { streamSecretsMethod } from "./secret-service.ts";

export interface SocketIdentityOptions {
  readonly socket: string;
  readonly nodeId: string;
  readonly secrets: SecretStore;
  readonly log: Logger;
  readonly metrics: MetricRegistry;
  readonly clock: Clock;
}

type Stream = ClientDuplexStream<DiscoveryRequest, DiscoveryResponse>;

/** Starts at once and goes on trying; it does not wait for the provider. */
export function startSocketIdentity(options: SocketIdentityOptions): Identity {
  return new SocketIdentity(options);
}

class SocketIdentity implements Identity {
  readonly ready: Promise<void>;
  readonly #options: SocketIdentityOptions;
  readonly #client: Client;
  readonly #backoff: Backoff = new Backoff({ initialMs: 200, maxMs: 10_000 });
  readonly #becomeReady: () => void;
  readonly #stopCollecting: () => void;
  #stream: Stream | undefined;
  #cancel: () => void = () => {};
  #isStopped = false;

  constructor(options: SocketIdentityOptions) {
    this.#options = options;
    this.#client = new Client(`unix:${options.socket}`, credentials.createInsecure(), {
      "grpc.enable_http_proxy": 0,
      "grpc.max_receive_message_length": 4 * 1024 * 1024,
      "grpc.default_authority": "localhost",
    });
    const ready = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.#becomeReady = () => ready.resolve();
    this.#stopCollecting = exposeCertificateExpiry(options.metrics, options.secrets, options.clock);
    options.log.info("the identity comes from a socket of another provider", { socket: options.socket });
    this.#open();
  }

  /** The provider decides when: the stream is opened anew. */
  async renew(): Promise<boolean> {
    this.#stream?.cancel();
    return false;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel();
    this.#stopCollecting();
    this.#stream?.cancel();
    this.#client.close();
  }

  #open(): void {
    const { path, requestSerialize, responseDeserialize } = streamSecretsMethod;
    const stream = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    this.#stream = stream;
    stream.on("data", (response: DiscoveryResponse) => {
      this.#backoff.reset();
      this.#take(stream, response);
    });
    stream.once("error", (error: ServiceError) => this.#again(error.details));
    stream.once("end", () => stream.end());
    stream.write(this.#request());
  }

  #request(fields: { versionInfo?: string; responseNonce?: string; problem?: string } = {}): DiscoveryRequest {
    const { problem, ...rest } = fields;
    return create(DiscoveryRequestSchema, {
      node: { id: this.#options.nodeId },
      typeUrl: typeUrl.secret,
      resourceNames: [certificateName, rootsName],
      ...rest,
      ...(problem !== undefined && { errorDetail: { code: 3, message: problem } }),
    });
  }

  #take(stream: Stream, response: DiscoveryResponse): void {
    const read = response.resources.map(({ value }) => readSecretResource(value));
    const problem = read.map(problemOf).find((text) => text !== undefined);
    const { versionInfo, nonce } = response;
    if (problem !== undefined) {
      this.#options.log.warn(`a secret of the socket is refused: ${problem}`);
      stream.write(this.#request({ responseNonce: nonce, problem }));
      return;
    }
    const { secrets, log } = this.#options;
    for (const secret of read) {
      if (typeof secret === "string") continue;
      if ("roots" in secret) secrets.setTrustedRoots(secret.name, secret.roots, secret.revocationList);
      else {
        secrets.setCertificate(secret.name, secret.certificate);
        const { spiffeId, serialNumber, notAfterMs } = secret.certificate;
        log.info("new certificate", { spiffeId, serial: serialNumber, expires: new Date(notAfterMs).toISOString() });
      }
    }
    if (secrets.certificate(certificateName) !== undefined) this.#becomeReady();
    stream.write(this.#request({ versionInfo, responseNonce: nonce }));
  }

  #again(details: string): void {
    if (this.#isStopped) return;
    const delayMs = this.#backoff.next();
    const { socket, log, clock } = this.#options;
    const error = new OutriggerError("SDS_UNREACHABLE", `no certificate from ${socket}: ${details}`);
    log.warn(`${error.message}; next try in ${Math.round(delayMs)} ms`);
    this.#cancel = clock.after(delayMs, () => this.#open());
  }
}

function problemOf(secret: ReadSecret | string): string | undefined {
  if (typeof secret === "string") return secret;
  const isOurs = secret.name === ("roots" in secret ? rootsName : certificateName);
  return isOurs ? undefined : `nobody asked for a secret ${secret.name.slice(0, 100)} of this type`;
}
