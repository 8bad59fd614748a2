// Requests of operators on an ADS stream: Istio's type `istio.io/debug` and what stands below it. A stream that begins
// with one is no proxy's: it is compiled nothing, and nobody sees it among the proxies.
import type { Caller } from "../ca/authenticate.ts";
import type { ProtocolVariant } from "./stream-session.ts";

const debugType = "istio.io/debug";

export interface DebugResource {
  readonly name: string;
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

export interface DebugQuery {
  readonly typeUrl: string;
  readonly names: readonly string[];
  /** Undefined where nobody is authenticated. */
  readonly caller: Caller | undefined;
}

export type DebugReply =
  | { readonly resources: readonly DebugResource[] }
  | { readonly refused: "unauthenticated" | "denied" | "invalid"; readonly message: string };

export type DebugTypes = (query: DebugQuery) => Promise<DebugReply>;

export function isDebugType(url: string): boolean {
  return url === debugType || url.startsWith(`${debugType}/`);
}

/** What one stream has asked: an answer that is only acknowledged is not given again. */
export class DebugRequests<Request> {
  readonly #variant: ProtocolVariant<Request>;
  readonly #types: DebugTypes;
  readonly #asked = new Map<string, string>();
  #nonce = 0;

  constructor(variant: ProtocolVariant<Request>, types: DebugTypes) {
    this.#variant = variant;
    this.#types = types;
  }

  /** The response's bytes; undefined where none is due, and why the request is refused. */
  async answer(
    request: Request,
    caller: Caller | undefined,
  ): Promise<Buffer | undefined | Extract<DebugReply, { refused: unknown }>> {
    const variant = this.#variant;
    const typeUrl = variant.typeUrlOf(request);
    const names = variant.namesOf(request);
    const isAnswer = variant.nonceOf(request) !== "";
    const question = names.join("\n");
    if (isAnswer && (names.length === 0 || this.#asked.get(typeUrl) === question)) return undefined;
    this.#asked.set(typeUrl, question);
    const reply = await this.#types({ typeUrl, names, caller });
    if ("refused" in reply) return reply;
    return variant.encodeOnce({ typeUrl, nonce: `debug-${++this.#nonce}`, resources: reply.resources });
  }
}
