// Why a request that has passed the filters goes nowhere: its upgrade is not allowed, or no route is for it.
import type { Origin } from "#base/issue.ts";
import { type LocalReply, routeConfigMissing, routeNotFound, upgradeRefused } from "./local-replies.ts";
import type { Stream } from "./stream.ts";
import { refusedUpgrade } from "./upgrade.ts";

export interface RoutingRefusal {
  readonly reply: LocalReply;
  readonly cause: string;
  readonly origins: readonly Origin[];
}

/** Null for a request with a route. */
export function routingRefusal(stream: Stream): RoutingRefusal | null {
  const { decision, routeConfig } = stream;
  const refused = refusedUpgrade(stream);
  if (refused !== null) {
    const cause = `${refused} is not among the upgrades of this listener and route`;
    return { reply: upgradeRefused, cause, origins: decision?.route.provenance.origins ?? [] };
  }
  if (decision !== null) return null;
  if (routeConfig === null) {
    const name = stream.manager.config.routeConfigName ?? "";
    return { reply: routeConfigMissing, cause: `the route configuration "${name}" is not there yet`, origins: [] };
  }
  const what = `${stream.method} ${stream.authority}${stream.path}`;
  const cause = `no route of configuration "${routeConfig.name}" matches ${what}`;
  return { reply: routeNotFound, cause, origins: [] };
}
