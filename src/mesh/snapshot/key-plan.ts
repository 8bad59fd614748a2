// Who fetches the keys of a token issuer: the control plane, or the proxies themselves through the cluster of the service
// that `jwksUri` names (Istio's PILOT_JWT_ENABLE_REMOTE_JWKS).
import { type KeySource, keySourceOf } from "../kinds/request-authentication/resolve.ts";
import type { JwtRule } from "../kinds/request-authentication/spec.ts";
import type { ServiceIndex } from "./service-index.ts";

/**
 * istiod: the control plane fetches all keys. hybrid: proxies fetch those that a service of the mesh has, the control
 * plane the others. envoy: proxies fetch whatever has a `jwksUri`.
 */
export type KeyFetching = "istiod" | "hybrid" | "envoy";

export type KeyPlan =
  | { readonly by: "nobody"; readonly keys: string }
  | { readonly by: "control plane"; readonly source: KeySource }
  | {
      readonly by: "proxy";
      readonly source: KeySource;
      readonly hostname: string;
      readonly port: number;
      /** Whether a service of the mesh has that host and port. */
      readonly isService: boolean;
    };

export type KeyPlanner = (rule: JwtRule) => KeyPlan;

export function keyPlanner(services: ServiceIndex, fetching: KeyFetching): KeyPlanner {
  return (rule) => {
    const source = keySourceOf(rule);
    if (source === undefined) return { by: "nobody", keys: rule.jwks };
    // An OpenID configuration is read by the control plane alone: a proxy only knows an address of keys.
    const url = fetching === "istiod" || source.kind === "openid" ? undefined : addressOf(source.url);
    if (url === undefined) return { by: "control plane", source };
    const { hostname, port } = url;
    const isService = (services.byHostname.get(hostname) ?? []).some(({ ports }) =>
      ports.some(({ number }) => number === port),
    );
    return isService || fetching === "envoy"
      ? { by: "proxy", source, hostname, port, isService }
      : { by: "control plane", source };
  };
}

function addressOf(text: string): { hostname: string; port: number } | undefined {
  if (!URL.canParse(text)) return undefined;
  const { protocol, hostname, port } = new URL(text);
  return { hostname, port: port === "" ? (protocol === "https:" ? 443 : 80) : Number(port) };
}
