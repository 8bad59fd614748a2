// Persistent sessions: a Service with the label gets its clients back to the pod that served them before, by a cookie or
// a header that the client's proxy writes. A pod that drains (`istio.io/draining`) keeps its sessions and gets no new ones.
import type { Any } from "@bufbuild/protobuf/wkt";
import { StatefulSessionPerRouteSchema } from "#wire/gen/envoy/extensions/filters/http/stateful_session/v3/stateful_session_pb.ts";
import { CookieBasedSessionStateSchema } from "#wire/gen/envoy/extensions/http/stateful_session/cookie/v3/cookie_pb.ts";
import { HeaderBasedSessionStateSchema } from "#wire/gen/envoy/extensions/http/stateful_session/header/v3/header_pb.ts";
import type { Service } from "../../snapshot/service.ts";
import { pack } from "../envoy-values.ts";
import { sessionFilterName } from "../filters/http-filters.ts";
import { once } from "../shared-work.ts";

/** `cookie` or `cookie:path`. */
const cookieLabel = "istio.io/persistent-session";
const headerLabel = "istio.io/persistent-session-header";

export function hasSessions({ labels }: Service): boolean {
  return Boolean(labels[cookieLabel] || labels[headerLabel]);
}

/** Tells whether a proxy that sees these services needs the filter for sessions at all. */
export function sessionsInUse(scope: { readonly services: readonly Service[] }): boolean {
  return once(scope, "persistent sessions", () => scope.services.some(hasSessions));
}

/** Settings of the filter for requests to a service, keyed by the filter's name; empty without the label. */
export function sessionSettings(service: Service | undefined): Record<string, Any> {
  const sessionState = service && sessionStateOf(service);
  if (sessionState === undefined) return {};
  const value = pack(StatefulSessionPerRouteSchema, { override: { case: "statefulSession", value: { sessionState } } });
  return { [sessionFilterName]: value };
}

function sessionStateOf({ labels }: Service): { name: string; typedConfig: Any } | undefined {
  const cookie = labels[cookieLabel];
  if (cookie) {
    const [name = "", path = "/"] = cookie.split(":");
    // Without a time to live it goes when the browser is closed.
    const typedConfig = pack(CookieBasedSessionStateSchema, { cookie: { name, path } });
    return { name: "envoy.http.stateful_session.cookie", typedConfig };
  }
  const name = labels[headerLabel];
  if (!name) return undefined;
  return { name: "envoy.http.stateful_session.header", typedConfig: pack(HeaderBasedSessionStateSchema, { name }) };
}
