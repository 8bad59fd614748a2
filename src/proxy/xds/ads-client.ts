// One aggregated delta xDS stream to the control plane, opened again with jittered back-off for as long as it runs. What
// was accepted last stays in force while nobody answers.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ChannelCredentials, Client, type ClientDuplexStream, Metadata } from "@grpc/grpc-js";
import { describeError } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import { Backoff } from "#base/time/backoff.ts";
import type { Clock } from "#base/time/clock.ts";
import type { Node } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from "#wire/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { acceptEncodingKey, gzip } from "#wire/grpc/message-frame.ts";
import { adsPath } from "#wire/grpc/service-definition.ts";
import { DeltaState, type DeltaUpdate, type PreparedUpdate, type Refusals } from "#wire/xds/delta-state.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import type { Configuration } from "./configuration.ts";

export interface AdsOptions {
  /** `istiod.istio-system.svc:15012` */
  readonly address: string;
  /** Null speaks plaintext. Roots are read anew for each connection. */
  readonly tls: { readonly rootCertificates: () => string; readonly serverName?: string } | null;
  /** The bearer token, read anew for each connection; undefined sends none. */
  readonly token: () => Promise<string | undefined>;
  readonly node: Node;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random?: () => number;
  /** Of one message, uncompressed. */
  readonly maxMessageBytes?: number;
  /** Types that are for others in this process: each takes its updates, and may refuse resources. */
  readonly otherTypes?: ReadonlyMap<string, (update: DeltaUpdate) => Refusals>;
  /** Types of ours of which somebody makes updates ready first. */
  readonly preparations?: ReadonlyMap<string, (update: DeltaUpdate) => PreparedUpdate>;
}

export interface WorkloadHealth {
  readonly isHealthy: boolean;
  /** Why not, in words. */
  readonly message: string;
}

export interface AdsStatus {
  readonly connected: boolean;
  readonly address: string;
  /** Milliseconds since the epoch; 0 before the first. */
  readonly lastUpdateMs: number;
  readonly connectAttempts: number;
  /** Why the last stream ended; empty while all is well. */
  readonly lastError: string;
}

/** A bound on what the control plane may send in one message, however small it is compressed. */
const defaultMaxMessageBytes = 256 * 1024 * 1024;

export class AdsClient {
  readonly #options: AdsOptions;
  readonly #configuration: Configuration;
  readonly #state: DeltaState;
  readonly #backoff: Backoff;
  #client: Client | null = null;
  #stream: ClientDuplexStream<DeltaDiscoveryRequest, Buffer> | null = null;
  #cancelRetry: (() => void) | null = null;
  #isStopped = false;
  #isConnected = false;
  #isReceiving = false;
  #lastUpdateMs = 0;
  #connectAttempts = 0;
  #lastError = "";
  /** What was reported last; null: nothing. */
  #health: WorkloadHealth | null = null;
  readonly #updateCounts = new Map<string, number>();

  constructor(configuration: Configuration, options: AdsOptions) {
    this.#options = options;
    this.#configuration = configuration;
    this.#backoff = new Backoff({
      initialMs: 500,
      maxMs: 30_000,
      ...(options.random !== undefined && { random: options.random }),
    });
    // Removals that waited for their grace end subscriptions without a message having come.
    configuration.onChange(() => {
      if (!this.#isReceiving) this.#subscribe();
    });
    this.#state = new DeltaState(options.node, [
      { typeUrl: typeUrl.cluster, wildcard: true },
      { typeUrl: typeUrl.endpoint, wildcard: false },
      { typeUrl: typeUrl.listener, wildcard: true },
      { typeUrl: typeUrl.route, wildcard: false },
      { typeUrl: typeUrl.extensionConfig, wildcard: false },
      { typeUrl: typeUrl.secret, wildcard: false },
      ...[...(options.otherTypes?.keys() ?? [])].map((url) => ({ typeUrl: url, wildcard: true })),
    ]);
  }

  start(): void {
    this.#connect().catch((error: unknown) => this.#ended(describeError(error)));
  }

  get status(): AdsStatus {
    return {
      connected: this.#isConnected,
      address: this.#options.address,
      lastUpdateMs: this.#lastUpdateMs,
      connectAttempts: this.#connectAttempts,
      lastError: this.#lastError,
    };
  }

  /** Tells the control plane how the workload is, now and on each stream to come. */
  reportHealth(health: WorkloadHealth): void {
    this.#health = health;
    if (this.#stream !== null) this.#sendHealth(this.#stream);
  }

  #sendHealth(stream: ClientDuplexStream<DeltaDiscoveryRequest, Buffer>): void {
    if (this.#health === null) return;
    const { isHealthy, message } = this.#health;
    stream.write(
      create(DeltaDiscoveryRequestSchema, {
        typeUrl: typeUrl.healthInformation,
        ...(!isHealthy && { errorDetail: { code: 500, message } }),
      }),
    );
  }

  /** Updates received by type URL. */
  get updateCounts(): ReadonlyMap<string, number> {
    return this.#updateCounts;
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.#stream?.cancel();
    this.#release();
  }

  async #connect(): Promise<void> {
    const { address, tls, token, log } = this.#options;
    this.#connectAttempts++;
    const bearer = await token();
    if (this.#isStopped) return;
    const credentials =
      tls === null
        ? ChannelCredentials.createInsecure()
        : ChannelCredentials.createSsl(Buffer.from(tls.rootCertificates()));
    const client = new Client(address, credentials, {
      "grpc.max_receive_message_length": this.#options.maxMessageBytes ?? defaultMaxMessageBytes,
      "grpc.keepalive_time_ms": 30_000,
      "grpc.keepalive_timeout_ms": 10_000,
      "grpc.use_local_subchannel_pool": 1,
      ...(tls?.serverName !== undefined && {
        "grpc.ssl_target_name_override": tls.serverName,
        "grpc.default_authority": tls.serverName,
      }),
    });
    const metadata = new Metadata();
    metadata.set(acceptEncodingKey, gzip);
    if (bearer !== undefined) metadata.set("authorization", `Bearer ${bearer}`);
    const stream = client.makeBidiStreamRequest<DeltaDiscoveryRequest, Buffer>(
      adsPath.delta,
      (request) => toBuffer(toBinary(DeltaDiscoveryRequestSchema, request)),
      (bytes) => bytes,
      metadata,
    );
    this.#client = client;
    this.#stream = stream;
    stream.on("metadata", () => this.#connected(stream));
    stream.on("data", (bytes: Buffer) => this.#received(stream, bytes));
    stream.on("error", (error: Error) => {
      if (this.#stream === stream) this.#ended(describeError(error));
    });
    stream.on("end", () => {
      if (this.#stream === stream) this.#ended("the control plane closed the stream");
    });
    log.debug("opening the ADS stream", { address });
    for (const request of this.#state.open()) stream.write(request);
    this.#sendHealth(stream);
  }

  #connected(stream: unknown): void {
    if (this.#stream !== stream || this.#isConnected) return;
    this.#isConnected = true;
    this.#lastError = "";
    this.#options.log.info("connected to the control plane", { address: this.#options.address });
  }

  #received(stream: ClientDuplexStream<DeltaDiscoveryRequest, Buffer>, bytes: Buffer): void {
    if (this.#stream !== stream) return;
    this.#connected(stream);
    this.#backoff.reset();
    let response: ReturnType<typeof readResponse>;
    try {
      response = readResponse(bytes);
    } catch (error) {
      stream.cancel();
      this.#ended(`a message of the control plane could not be read: ${describeError(error)}`);
      return;
    }
    const update = this.#state.read(response);
    this.#lastUpdateMs = this.#options.clock.now();
    this.#updateCounts.set(update.typeUrl, (this.#updateCounts.get(update.typeUrl) ?? 0) + 1);
    const { ready, rest } = this.#options.preparations?.get(update.typeUrl)?.(update) ?? { ready: update, rest: null };
    const refusals = this.#take(ready);
    if (rest === null) this.#answer(stream, response, update, refusals);
    else void rest.then((late) => this.#takeLate(stream, response, update, refusals, late));
  }

  #take(update: DeltaUpdate): Refusals {
    this.#isReceiving = true;
    const other = this.#options.otherTypes?.get(update.typeUrl);
    const refusals = other === undefined ? this.#configuration.accept(update) : other(update);
    this.#isReceiving = false;
    return refusals;
  }

  /** The answer is about the whole: until it comes the server sends nothing more of the type. */
  #takeLate(
    stream: Stream,
    response: Response,
    update: DeltaUpdate,
    refusals: Refusals,
    late: { readonly update: DeltaUpdate; readonly refusals: Refusals },
  ): void {
    // The next stream brings it again.
    if (this.#stream !== stream) return;
    const all = new Map([...refusals, ...this.#take(late.update), ...late.refusals]);
    for (const name of late.refusals.keys()) {
      if (!late.update.added.some((added) => added.name === name)) this.#configuration.missed(update.typeUrl, name);
    }
    this.#answer(stream, response, update, all);
  }

  #answer(stream: Stream, response: Response, update: DeltaUpdate, refusals: Refusals): void {
    stream.write(this.#state.answer(response, update, refusals));
    this.#subscribe();
    this.#options.log.debug("xDS update", {
      type: update.typeUrl.slice(update.typeUrl.lastIndexOf(".") + 1),
      added: update.added.length,
      removed: update.removed.length,
      refused: refusals.size,
    });
  }

  /** Asks for what the configuration names now. */
  #subscribe(): void {
    const wanted = [
      [typeUrl.endpoint, this.#configuration.wantedEndpoints()],
      [typeUrl.route, this.#configuration.wantedRoutes()],
      [typeUrl.extensionConfig, this.#configuration.wantedExtensions()],
      [typeUrl.secret, this.#configuration.wantedSecrets()],
    ] as const;
    for (const [type, names] of wanted) {
      const request = this.#state.setNames(type, names);
      if (request !== null) this.#stream?.write(request);
    }
  }

  #ended(reason: string): void {
    if (this.#isStopped || this.#cancelRetry !== null) return;
    const wasConnected = this.#isConnected;
    this.#release();
    this.#lastError = reason;
    const delayMs = this.#backoff.next();
    const { log, clock, address } = this.#options;
    const words = wasConnected ? "lost the control plane, the last configuration stays" : "no control plane yet";
    log.warn(words, { address, reason, retryInMs: Math.round(delayMs) });
    this.#cancelRetry = clock.after(delayMs, () => {
      this.#cancelRetry = null;
      this.start();
    });
  }

  #release(): void {
    this.#isConnected = false;
    this.#state.close();
    this.#stream = null;
    this.#client?.close();
    this.#client = null;
  }
}

type Stream = ClientDuplexStream<DeltaDiscoveryRequest, Buffer>;
type Response = ReturnType<typeof readResponse>;

function readResponse(bytes: Buffer): ReturnType<typeof fromBinary<typeof DeltaDiscoveryResponseSchema>> {
  return fromBinary(DeltaDiscoveryResponseSchema, bytes);
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
