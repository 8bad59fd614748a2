// One connected proxy: its stream's session, and what the rest of the control plane may ask about it.

import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import { type MessageFrame, sharedFrame } from "#wire/grpc/message-frame.ts";
import { formatWorkloadIdentity } from "#wire/spiffe/spiffe-id.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import type { Caller } from "../ca/authenticate.ts";
import type { ProxyResources } from "../push/encoded-resource.ts";
import type { PushMetrics } from "../push/push-metrics.ts";
import type { PushTarget } from "../push/pusher.ts";
import type { SendBudget } from "./send-budget.ts";
import type { ResponseMessage } from "./shared-responses.ts";
import { type ProtocolVariant, StreamSession } from "./stream-session.ts";
import type { Rejection, TypeState } from "./type-state.ts";

/** `envoy.config.cluster.v3.Cluster` → `cds`. */
export const shortTypeNames: Readonly<Record<string, string>> = {
  [typeUrl.cluster]: "cds",
  [typeUrl.endpoint]: "eds",
  [typeUrl.listener]: "lds",
  [typeUrl.route]: "rds",
  [typeUrl.secret]: "sds",
  [typeUrl.extensionConfig]: "ecds",
};

export interface ConnectionInfo {
  /** Unique among all streams of this control plane. */
  readonly id: string;
  readonly node: ProxyNode;
  readonly peer: string;
  readonly caller: Caller | undefined;
  /** `envoy`, `outrigger`, `gRPC Node Pure JS`, ... */
  readonly userAgent: string;
  readonly connectedAtMs: number;
}

export interface ConnectionOptions {
  readonly info: ConnectionInfo;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: PushMetrics;
  /** Whether the client takes compressed messages. */
  readonly compresses: boolean;
  /** Calls back when the bytes are on the wire. */
  readonly write: (frame: MessageFrame, onSent: () => void) => void;
  readonly budget: SendBudget;
  /** Ends the stream in order. */
  readonly close: () => void;
  /** The proxy accepted or rejected something. */
  readonly onProgress: () => void;
}

export class ProxyConnection<Request = unknown> implements PushTarget {
  readonly info: ConnectionInfo;
  readonly session: StreamSession<Request>;
  readonly #options: ConnectionOptions;
  readonly #flush: () => void = () => this.session.flush();
  readonly #unsent = new Map<ResponseMessage, () => void>();
  #updatedAtMs = 0;

  constructor(variant: ProtocolVariant<Request>, options: ConnectionOptions) {
    this.info = options.info;
    this.#options = options;
    this.session = new StreamSession(variant, {
      clock: options.clock,
      resendEndpoints: options.info.userAgent === "envoy",
      events: {
        maySend: () => options.budget.admits(this.#flush),
        send: (message, url) => this.#send(message, url),
        onAck: () => this.#acked(),
        onNack: (url, rejection) => this.#rejected(url, rejection),
        onStaleNonce: (url) => options.metrics.expiredNonces.labels(shortName(url)).increment(),
      },
    });
  }

  get node(): ProxyNode {
    return this.info.node;
  }

  get account(): PushTarget["account"] {
    return this.info.caller?.identity;
  }

  get types(): ReadonlyMap<string, TypeState> {
    return this.session.types;
  }

  get protocol(): "delta" | "sotw" {
    return this.session.variant.name;
  }

  get identity(): string {
    return this.info.caller === undefined ? "" : formatWorkloadIdentity(this.info.caller.identity);
  }

  update(resources: ProxyResources): void {
    this.#updatedAtMs = this.#options.clock.now();
    this.session.update(resources);
  }

  #send(message: ResponseMessage, url: string): void {
    const type = shortName(url);
    const { metrics, compresses } = this.#options;
    const compressed = compresses ? message.compressed() : undefined;
    const frame = sharedFrame(compressed ?? message.bytes(), compressed !== undefined);
    metrics.pushes.labels(type).increment();
    metrics.configBytes.labels(url).observe(message.length);
    const free = this.#options.budget.spend(frame.wire.length);
    // Holds the message, which others may still be sent.
    const release = (): void => {
      free();
      this.#unsent.delete(message);
    };
    this.#unsent.set(message, release);
    this.#options.write(frame, release);
  }

  /** Asks the proxy to go on at another replica. */
  close(): void {
    this.#options.close();
  }

  /** The stream is gone, and what was on its way with it. */
  end(): void {
    this.session.end();
    this.#options.budget.forget(this.#flush);
    for (const release of this.#unsent.values()) release();
    this.#unsent.clear();
  }

  #acked(): void {
    this.#options.onProgress();
    if (this.#updatedAtMs === 0) return;
    for (const state of this.types.values()) if (state.outstanding !== undefined || state.waiting) return;
    this.#options.metrics.convergence.observe((this.#options.clock.now() - this.#updatedAtMs) / 1000);
    this.#updatedAtMs = 0;
  }

  #rejected(url: string, rejection: Rejection): void {
    const { metrics, log } = this.#options;
    const type = shortName(url);
    this.#options.onProgress();
    metrics.totalRejects.increment();
    metrics.rejects[type]?.increment();
    log.warn("a proxy rejected its configuration and keeps what it had", {
      proxy: this.node.id,
      type,
      resources: rejection.resources.slice(0, 10).join(", "),
      error: rejection.message,
    });
  }
}

function shortName(url: string): string {
  return shortTypeNames[url] ?? "other";
}
