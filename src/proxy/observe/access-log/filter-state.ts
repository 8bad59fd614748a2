// `%FILTER_STATE(key:format:field)%`: the objects of Envoy's filter state that are known here. They are Istio's: who is on
// the other side of the request, and the identity that it proved.
import type { AccessLogEntry, PeerSide } from "../../config/access-log.ts";

type Read = (entry: AccessLogEntry) => string | undefined;

const sides: Readonly<Record<string, PeerSide>> = { downstream_peer: "downstream", upstream_peer: "upstream" };

/** In Istio's order. */
const peerFields = ["workload", "cluster", "namespace", "service", "revision", "app", "version"] as const;

/** Whether an argument names an object that nobody puts there: its value is always `-`. */
export function isUnknownState(argument: string): boolean {
  const [key = ""] = argument.split(":", 1);
  return sides[key] === undefined && key !== "io.istio.peer_principal";
}

/** A text says what is wrong with the argument. */
export function filterState(argument: string): Read | string {
  const [key = "", format = "TYPED", field = "", ...rest] = argument.split(":");
  if (key === "") return "%FILTER_STATE% names no object";
  const wantsField = format === "FIELD";
  if (!["", "TYPED", "PLAIN", "FIELD"].includes(format) || wantsField !== (field !== "") || rest.length > 0) {
    return `"${argument}" is not KEY, KEY:PLAIN, KEY:TYPED or KEY:FIELD:name of %FILTER_STATE%`;
  }
  if (key === "io.istio.peer_principal") {
    if (wantsField) return () => undefined;
    return format === "PLAIN"
      ? (entry) => entry.peerUriSan
      : (entry) => entry.peerUriSan && JSON.stringify(entry.peerUriSan);
  }
  const side = sides[key];
  if (side === undefined) return () => undefined;
  return (entry) => {
    const peer = entry.peer?.(side);
    if (peer === null || peer === undefined) return undefined;
    if (wantsField) return (Object.hasOwn(peer, field) && peer[field]) || undefined;
    const known = peerFields.flatMap((name) => (peer[name] ? [[name, peer[name]] as const] : []));
    if (known.length === 0) return undefined;
    return format === "PLAIN"
      ? known.map(([name, value]) => `${name}=${value}`).join(",")
      : JSON.stringify(Object.fromEntries(known));
  };
}
