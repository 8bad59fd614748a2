// HOT: per response that could be compressed. Which encoding a client gets (RFC 9110 12.5.3), of those that the
// compressors of its chain offer. Several compressors stand in one chain; the first that sees a request keeps its
// `accept-encoding` for all, because one of them may take it off the request.
import type { Stream } from "../../stream.ts";

export interface OfferedEncoding {
  readonly encoding: string;
  readonly contentTypes: ReadonlySet<string>;
}

/** What a stream's compressors offer, in their order, and what its client accepts. */
export interface EncodingOffer {
  readonly accepted: string | undefined;
  readonly offered: OfferedEncoding[];
}

const offers = new WeakMap<Stream, EncodingOffer>();

/** Adds a compressor to a stream's offer. */
export function offerEncoding(stream: Stream, offered: OfferedEncoding): void {
  const offer = offers.get(stream);
  if (offer === undefined) {
    offers.set(stream, { accepted: stream.headers.get("accept-encoding"), offered: [offered] });
  } else {
    offer.offered.push(offered);
  }
}

export function offerOf(stream: Stream): EncodingOffer | undefined {
  return offers.get(stream);
}

/** Why an encoding was chosen, as statistics name it. */
type ChoiceReason = "no_accept_header" | "header_identity" | "header_not_valid" | "header_wildcard" | "named";

export interface EncodingChoice {
  /** Empty: identity. */
  readonly encoding: string;
  readonly reason: ChoiceReason;
}

/** Chooses among the offered encodings for a response of that type. */
export function chooseEncoding(offer: EncodingOffer, contentType: string, choosesFirst: boolean): EncodingChoice {
  if (offer.accepted === undefined) return { encoding: "", reason: "no_accept_header" };
  const allowed = new Set<string>();
  for (const { encoding, contentTypes } of offer.offered) {
    if (contentType === "" || contentTypes.has(contentType)) allowed.add(encoding);
  }
  const wishes = parseAcceptEncoding(offer.accepted);
  for (const { name, quality } of wishes) if (quality === 0) allowed.delete(name);
  if (wishes.length === 0 || allowed.size === 0) return { encoding: "", reason: "header_identity" };
  let best: Wish | null = null;
  for (const wish of wishes) {
    const isKnown = allowed.has(wish.name) || wish.name === "identity" || wish.name === "*";
    if (!isKnown || wish.quality === 0) continue;
    if (best === null || wish.quality > best.quality) best = wish;
    else if (choosesFirst && wish.quality === best.quality && isBefore(allowed, wish.name, best.name)) best = wish;
  }
  if (best === null) return { encoding: "", reason: "header_not_valid" };
  if (best.name === "identity") return { encoding: "", reason: "header_identity" };
  if (best.name !== "*") return { encoding: best.name, reason: "named" };
  return { encoding: [...allowed][0] ?? "", reason: "header_wildcard" };
}

function isBefore(order: ReadonlySet<string>, a: string, b: string): boolean {
  const list = [...order];
  return list.includes(a) && list.indexOf(a) < list.indexOf(b);
}

interface Wish {
  readonly name: string;
  /** From 0 to 1. */
  readonly quality: number;
}

/** More elements than a client has reason to send are not read. */
const maxWishes = 32;

function parseAcceptEncoding(value: string): Wish[] {
  return value
    .split(",", maxWishes)
    .map((element): Wish => {
      const [name = "", ...parameters] = element.split(";").map((part) => part.trim().toLowerCase());
      const weight = parameters.find((parameter) => parameter.startsWith("q="));
      const quality = weight === undefined ? 1 : Number(weight.slice(2));
      return { name, quality: quality >= 0 && quality <= 1 ? quality : 0 };
    })
    .filter(({ name }) => name !== "");
}
