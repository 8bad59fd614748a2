// Names that the API server makes up, in Kubernetes' alphabet: no vowels and no digits that look like letters.

import { randomInt } from "node:crypto";

const alphabet = "bcdfghjklmnpqrstvwxz2456789";

/** `reviews-v1-` → `reviews-v1-x7k2p`; the base is cut so that the name stays within 63 characters. */
export function generatedName(base: string): string {
  return `${base.slice(0, 58)}${randomSuffix(5)}`;
}

export function randomSuffix(length: number): string {
  let suffix = "";
  for (let index = 0; index < length; index++) suffix += alphabet[randomInt(alphabet.length)];
  return suffix;
}

/** Writes a hash in the same alphabet, as the pod-template-hash is. */
export function safeEncode(text: string): string {
  let result = "";
  for (const character of text) result += alphabet[character.charCodeAt(0) % alphabet.length];
  return result;
}
