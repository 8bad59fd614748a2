// Which switches of protocol are allowed: Upgrade and CONNECT. The route has the last word over the connection manager.
import { BODY_TUNNEL } from "../upstream/exchange.ts";
import type { Stream } from "./stream.ts";

/** What the client asks to switch to, where that is not allowed, in lower case; null: all is well. */
export function refusedUpgrade(stream: Stream): string | null {
  if (stream.requestFraming !== BODY_TUNNEL) return null;
  const name = stream.upgrade === "" ? "connect" : stream.upgrade.toLowerCase();
  const action = stream.decision?.route.action;
  const ofRoute = action?.type === "forward" ? action.forward.upgrades.get(name) : undefined;
  return (ofRoute?.enabled ?? stream.manager.config.upgradeTypes.includes(name)) ? null : name;
}
