// Persistent sessions: a Service with the label gets its clients back to the pod that served them before, by a cookie or
// a header that the client's proxy writes. A pod that drains (`istio.io/draining`) keeps its sessions and gets no new ones.
import type { Any } from "@bufbuild/protobuf/wkt";
import { StatefulSessionPerRouteSchema } from "#wire/gen/envoy/extensions/filters/http/stateful_session/v3/stateful_session_pb.ts";
import { CookieBasedSessionStateSchema } from "#wire/gen/envoy/extensions/http/stateful_session/cookie/v3/cookie_pb.ts";
import { HeaderBasedSessionStateSchema } from "#wire/gen/envoy/extensions/http/stateful_session/header/v3/header_pb.ts";
import type { HttpRoute, RouteSession } from "../../kinds/virtual-service/spec.ts";
import type { Service } from "../../snapshot/service.ts";
import type { GatewayScope, SidecarScope } from "../../snapshot/snapshot.ts";
import { milliseconds, pack } from "../envoy-values.ts";
import { sessionFilterName } from "../filters/http-filters.ts";
import { once } from "../shared-work.ts";

/** `cookie` or `cookie:path`. */
const cookieLabel = "istio.io/persistent-session";
const headerLabel = "istio.io/persistent-session-header";

export function hasSessions({ labels }: Service): boolean {
  return Boolean(labels[cookieLabel] || labels[headerLabel]);
}

/** Tells whether a proxy that sees these services and routes needs the filter for sessions at all. */
export function sessionsInUse(scope: SidecarScope | GatewayScope): boolean {
  return once(
    scope,
    "persistent sessions",
    () => scope.services.some(hasSessions) || routesOf(scope).some(({ session }) => session !== undefined),
  );
}

function routesOf(scope: SidecarScope | GatewayScope): HttpRoute[] {
  const virtualServices =
    "virtualServices" in scope
      ? scope.virtualServices
      : scope.listeners.flatMap(({ servers }) =>
          servers.flatMap((server) => server.virtualServices.map(({ virtualService }) => virtualService)),
        );
  return virtualServices.flatMap(({ spec }) => spec.http);
}

/**
 * Settings of the filter for requests to a service, keyed by the filter's name; empty without the label. What a route
 * itself says stands over it.
 */
export function sessionSettings(service: Service | undefined, ofRoute?: RouteSession): Record<string, Any> {
  const sessionState = ofRoute === undefined ? service && sessionStateOf(service) : stateOfRoute(ofRoute);
  if (sessionState === undefined) return {};
  const value = pack(StatefulSessionPerRouteSchema, { override: { case: "statefulSession", value: { sessionState } } });
  return { [sessionFilterName]: value };
}

function stateOfRoute({ type, name, lifetime }: RouteSession): { name: string; typedConfig: Any } {
  if (type === "Header") {
    return { name: "envoy.http.stateful_session.header", typedConfig: pack(HeaderBasedSessionStateSchema, { name }) };
  }
  const cookie = { name, path: "/", ...(lifetime !== undefined && { ttl: milliseconds(lifetime) }) };
  return { name: "envoy.http.stateful_session.cookie", typedConfig: pack(CookieBasedSessionStateSchema, { cookie }) };
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
