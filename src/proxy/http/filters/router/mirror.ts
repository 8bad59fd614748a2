// Copies of a request for other clusters, as request mirroring asks for. A copy never delays or changes the request:
// what its cluster answers is thrown away, and a copy that can't keep up is given up.
import { Headers } from "#wire/http/headers.ts";
import type { MirrorPolicy } from "../../../config/http.ts";
import { protocolFor } from "../../../decide/upstream-protocol.ts";
import { anyHost } from "../../../upstream/balance/choice.ts";
import type { Cluster } from "../../../upstream/cluster.ts";
import type { UpstreamEndpoint } from "../../../upstream/endpoint.ts";
import {
  BODY_NONE,
  BODY_TUNNEL,
  type ResponseHandler,
  type UpstreamExchange,
  type UpstreamRequest,
} from "../../../upstream/exchange.ts";
import type { HttpPool, PoolWaiter } from "../../../upstream/http-pool.ts";
import type { Stream } from "../../stream.ts";

/** Body bytes that wait for a copy's connection; more, and the copy is given up. */
const maxHeldBytes = 1024 * 1024;
/** A copy whose cluster has not answered by then is given up where the route has no timeout. */
const defaultTimeoutMs = 15_000;

/** Starts the copies that the draw asks for; null when there are none. */
export function startMirrors(stream: Stream, policies: readonly MirrorPolicy[], timeoutMs: number): Mirrors | null {
  if (stream.requestFraming === BODY_TUNNEL) return null;
  const { clusters, loop, runtime } = stream.manager.environment;
  const copies = policies.flatMap((policy) => {
    const fraction = runtime.fraction(policy.fraction);
    if (fraction < 1 && loop.random() >= fraction) return [];
    const name = policy.clusterHeader === null ? policy.cluster : stream.header(policy.clusterHeader);
    const cluster = name === undefined ? undefined : clusters.get(name);
    if (cluster === undefined) return [];
    const endpoint = cluster.choose(anyHost);
    return endpoint === null ? [] : [new MirroredRequest(stream, policy, cluster, endpoint, timeoutMs)];
  });
  return copies.length === 0 ? null : new Mirrors(copies);
}

/** All copies of one request. */
export class Mirrors {
  readonly #copies: readonly MirroredRequest[];

  constructor(copies: readonly MirroredRequest[]) {
    this.#copies = copies;
  }

  onRequestData(data: Buffer): void {
    for (const copy of this.#copies) copy.onRequestData(data);
  }

  onRequestEnd(trailers: Headers | null): void {
    for (const copy of this.#copies) copy.onRequestEnd(trailers);
  }

  /** The request was cut short, and so are its copies. */
  abandon(): void {
    for (const copy of this.#copies) copy.abandon();
  }
}

class MirroredRequest implements PoolWaiter, ResponseHandler, UpstreamRequest {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  readonly headers: Headers = new Headers();
  readonly upgrade = "";
  readonly requestFraming: number;
  readonly #endpoint: UpstreamEndpoint;
  #pool: HttpPool | null;
  #exchange: UpstreamExchange | null = null;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #isRequestComplete = false;
  #trailers: Headers | null = null;
  #isOver = false;
  readonly #cancelTimer: () => void;

  constructor(stream: Stream, policy: MirrorPolicy, cluster: Cluster, endpoint: UpstreamEndpoint, timeoutMs: number) {
    this.method = stream.method;
    this.scheme = stream.scheme;
    this.authority = policy.appendShadowSuffix ? shadowAuthority(stream.authority) : stream.authority;
    this.path = stream.path;
    this.requestFraming = stream.requestFraming;
    this.headers.copyFrom(stream.headers);
    this.headers.set("host", this.authority);
    this.#endpoint = endpoint;
    endpoint.activeRequests++;
    endpoint.requestsTotal++;
    this.#cancelTimer = cluster.loop.after(timeoutMs > 0 ? timeoutMs : defaultTimeoutMs, () => this.#finish());
    const pool = cluster.pool(
      endpoint,
      protocolFor(cluster.config, stream, stream.manager.overridesAlpn),
      "default",
      stream.connection,
    );
    this.#pool = pool;
    pool.acquire(this);
  }

  onRequestData(data: Buffer): void {
    if (this.#isOver) return;
    if (this.#exchange !== null) {
      // A copy that its server does not take in time would fill the memory.
      if (!this.#exchange.writeData(data)) {
        this.#heldBytes += data.length;
        if (this.#heldBytes > maxHeldBytes) this.#finish();
      }
      return;
    }
    this.#heldBytes += data.length;
    if (this.#heldBytes > maxHeldBytes) this.#finish();
    else this.#held.push(data);
  }

  onRequestEnd(trailers: Headers | null): void {
    this.#isRequestComplete = true;
    this.#trailers = trailers;
    this.#exchange?.endRequest(trailers);
  }

  /** Ends a copy whose request will never be complete. */
  abandon(): void {
    if (!this.#isRequestComplete) this.#finish();
  }

  onPoolReady(exchange: UpstreamExchange): void {
    this.#pool = null;
    this.#exchange = exchange;
    exchange.begin(this);
    const hasBody = this.requestFraming !== BODY_NONE;
    exchange.start(this, !hasBody);
    for (const data of this.#held) exchange.writeData(data);
    this.#held = [];
    this.#heldBytes = 0;
    if (hasBody && this.#isRequestComplete) exchange.endRequest(this.#trailers);
  }

  onPoolFailed(): void {
    this.#pool = null;
    this.#finish();
  }

  onUpstreamInformational(): void {}
  onUpstreamHead(): void {}
  onUpstreamData(): void {}

  onUpstreamEnd(): void {
    this.#finish();
  }

  onUpstreamReset(): void {
    this.#endpoint.requestErrors++;
    this.#exchange = null;
    this.#finish();
  }

  onUpstreamDrain(): void {
    this.#heldBytes = 0;
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelTimer();
    this.#pool?.cancel(this);
    this.#pool = null;
    this.#held = [];
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.release();
    this.#endpoint.activeRequests--;
  }
}

/** `-shadow` behind the host name and before its port. */
function shadowAuthority(authority: string): string {
  const colon = authority.lastIndexOf(":");
  const hasPort = colon > authority.lastIndexOf("]") && colon >= 0;
  return hasPort ? `${authority.slice(0, colon)}-shadow${authority.slice(colon)}` : `${authority}-shadow`;
}
