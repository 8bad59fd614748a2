// External authorization services that mesh configuration names (`extensionProviders`), read from its raw JSON.

export interface AuthorizationProvider {
  readonly name: string;
  readonly protocol: "grpc" | "http";
  /** `[namespace/]host` */
  readonly service: string;
  readonly port: number;
  readonly timeoutMs: number;
  readonly failOpen: boolean;
  /** HTTP status of an answer when the service cannot be asked; 0 when not set. */
  readonly statusOnError: number;
  readonly body: { readonly maxBytes: number; readonly partial: boolean; readonly asBytes: boolean } | undefined;
  readonly pathPrefix: string;
  readonly requestHeaders: readonly string[];
  readonly addedHeaders: Readonly<Record<string, string>>;
  readonly upstreamOnAllow: readonly string[];
  readonly downstreamOnDeny: readonly string[];
  readonly downstreamOnAllow: readonly string[];
}

/** Reads the authorization providers; others, and what cannot be read, are left out. */
export function authorizationProviders(providers: unknown): ReadonlyMap<string, AuthorizationProvider> {
  const result = new Map<string, AuthorizationProvider>();
  for (const item of Array.isArray(providers) ? providers : []) {
    const provider = readProvider(item);
    if (provider !== undefined) result.set(provider.name, provider);
  }
  return result;
}

function readProvider(item: unknown): AuthorizationProvider | undefined {
  const fields = object(item);
  const name = text(fields["name"]);
  const protocol = fields["envoyExtAuthzGrpc"] === undefined ? "http" : "grpc";
  const settings = object(fields["envoyExtAuthzGrpc"] ?? fields["envoyExtAuthzHttp"]);
  const service = text(settings["service"]);
  const port = Number(settings["port"]);
  if (name === "" || service === "" || !Number.isInteger(port) || port < 1 || port > 65535) return undefined;
  const body = settings["includeRequestBodyInCheck"];
  const current = list(settings["includeRequestHeadersInCheck"]);
  return {
    name,
    protocol,
    service,
    port,
    // Without a timeout of its own a service may take its time, as in Istio: ten minutes.
    timeoutMs: seconds(settings["timeout"]) ?? 600_000,
    failOpen: settings["failOpen"] === true,
    statusOnError: Number(settings["statusOnError"]) || 0,
    body: body === undefined ? undefined : readBody(object(body)),
    pathPrefix: text(settings["pathPrefix"]),
    requestHeaders: current.length > 0 ? current : list(settings["includeHeadersInCheck"]),
    addedHeaders: Object.fromEntries(
      Object.entries(object(settings["includeAdditionalHeadersInCheck"])).map(([key, value]) => [key, text(value)]),
    ),
    upstreamOnAllow: list(settings["headersToUpstreamOnAllow"]),
    downstreamOnDeny: list(settings["headersToDownstreamOnDeny"]),
    downstreamOnAllow: list(settings["headersToDownstreamOnAllow"]),
  };
}

function readBody(fields: Readonly<Record<string, unknown>>): AuthorizationProvider["body"] {
  return {
    maxBytes: Number(fields["maxRequestBytes"]) || 0,
    partial: fields["allowPartialMessage"] === true,
    asBytes: fields["packAsBytes"] === true,
  };
}

function seconds(value: unknown): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text(value));
  return match === null ? undefined : Number(match[1]) * (unitsMs[match[2] ?? "s"] ?? 1000);
}

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

function object(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function list(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
