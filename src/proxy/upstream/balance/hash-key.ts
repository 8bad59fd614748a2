// By which text a host stands on a hash ring or in a table: `hash_key` of its `envoy.lb` metadata, else its name where
// that is asked for, else its address.
import type { ConsistentHashing } from "../../config/load-balancing.ts";
import type { BalancedHost } from "./host.ts";

export function hashKey(host: BalancedHost, hashing: ConsistentHashing): string {
  const { metadata, hostname, key } = host.config;
  const own = metadata?.["hash_key"];
  if (typeof own === "string" && own !== "") return asBytes(own);
  return hashing.usesHostname && hostname !== "" ? asBytes(hostname) : key;
}

/** Hashes take one byte per character. */
function asBytes(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}
