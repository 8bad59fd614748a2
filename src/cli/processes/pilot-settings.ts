// Istio's environment variables that the control plane heeds. One that cannot be read is told and has its default.
import type { Logger } from "#base/log/log.ts";
import type { ControlPlaneOptions } from "#control/options.ts";
import { defaultDebounce } from "#control/push/debounce.ts";
import { parseDuration } from "#mesh/objects/duration.ts";
import type { KeyFetching } from "#mesh/snapshot/key-plan.ts";
import { type AuthoritySettings, authoritySettings, flag } from "./authority-settings.ts";

type PilotSettings = AuthoritySettings &
  Pick<
    ControlPlaneOptions,
    | "debounce"
    | "newStreamsPerSecond"
    | "blockedKeyAddresses"
    | "authenticatePlaintext"
    | "debugAccess"
    | "keyFetching"
    | "scopesGateways"
    | "severalProviders"
  >;

export function pilotSettings(env: Readonly<Record<string, string | undefined>>, log: Logger): PilotSettings {
  const read = <T>(name: string, parse: (text: string) => T | undefined): T | undefined => {
    const text = env[name];
    if (text === undefined || text === "") return undefined;
    const value = parse(text);
    if (value === undefined) log.warn("a setting cannot be read and has its default", { name, value: text });
    return value;
  };
  const quietMs = read("PILOT_DEBOUNCE_AFTER", parseDuration);
  const maxMs = read("PILOT_DEBOUNCE_MAX", parseDuration);
  const newStreamsPerSecond = read("PILOT_MAX_REQUESTS_PER_SECOND", positive);
  const blocked = read("BLOCKED_CIDRS_IN_JWKS_URIS", list);
  const authenticatePlaintext = read("XDS_AUTH_PLAINTEXT", flag);
  const keyFetching = read("PILOT_JWT_ENABLE_REMOTE_JWKS", (text) =>
    Object.hasOwn(keyFetchers, text) ? keyFetchers[text] : undefined,
  );
  const scopesGateways = read("PILOT_SCOPE_GATEWAY_TO_NAMESPACE", flag);
  const severalProviders = read("PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS", flag);
  const onHttp = read("ENABLE_DEBUG_ON_HTTP", flag);
  const authentication = read("ENABLE_DEBUG_ENDPOINT_AUTH", flag);
  const allowedNamespaces = read("DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES", list);
  return {
    debounce: {
      ...defaultDebounce,
      ...(quietMs !== undefined && { quietMs, urgentQuietMs: Math.min(quietMs, defaultDebounce.urgentQuietMs) }),
      ...(maxMs !== undefined && { maxMs }),
    },
    blockedKeyAddresses: blocked ?? [],
    ...(authenticatePlaintext !== undefined && { authenticatePlaintext }),
    ...(keyFetching !== undefined && { keyFetching }),
    ...(scopesGateways !== undefined && { scopesGateways }),
    ...(severalProviders !== undefined && { severalProviders }),
    debugAccess: {
      ...(onHttp !== undefined && { onHttp }),
      ...(authentication !== undefined && { authentication }),
      ...(allowedNamespaces !== undefined && { allowedNamespaces }),
    },
    ...(newStreamsPerSecond !== undefined && { newStreamsPerSecond }),
    ...authoritySettings(read),
  };
}

const keyFetchers: Readonly<Record<string, KeyFetching>> = {
  false: "istiod",
  istiod: "istiod",
  true: "hybrid",
  hybrid: "hybrid",
  envoy: "envoy",
};

function list(text: string): string[] {
  return text.split(",").flatMap((item) => item.trim() || []);
}

function positive(text: string): number | undefined {
  const value = Number(text);
  return Number.isFinite(value) && value > 0 ? value : undefined;
}
