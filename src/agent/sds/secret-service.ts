// Envoy's secret discovery service (envoy.service.secret.v3) on the secrets of this process: state of the world, delta,
// and single fetches. A name is answered as soon as its secret is there, and again when it changes.
import { create } from "@bufbuild/protobuf";
import {
  type handleBidiStreamingCall,
  type handleUnaryCall,
  type MethodDefinition,
  type ServerDuplexStream,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { Logger } from "#base/log/log.ts";
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from "#wire/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { unaryMethod } from "#wire/grpc/service-definition.ts";
import type { SecretStore } from "#wire/tls/secrets.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { type SecretResource, secretResource } from "./secret-resource.ts";

const path = "/envoy.service.secret.v3.SecretDiscoveryService";

export const fetchSecretsMethod: MethodDefinition<DiscoveryRequest, DiscoveryResponse> = unaryMethod(
  `${path}/FetchSecrets`,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
);
export const streamSecretsMethod: MethodDefinition<DiscoveryRequest, DiscoveryResponse> = {
  ...unaryMethod(`${path}/StreamSecrets`, DiscoveryRequestSchema, DiscoveryResponseSchema),
  requestStream: true,
  responseStream: true,
};
export const deltaSecretsMethod: MethodDefinition<DeltaDiscoveryRequest, DeltaDiscoveryResponse> = {
  ...unaryMethod(`${path}/DeltaSecrets`, DeltaDiscoveryRequestSchema, DeltaDiscoveryResponseSchema),
  requestStream: true,
  responseStream: true,
};

export const secretService: ServiceDefinition = {
  StreamSecrets: streamSecretsMethod,
  DeltaSecrets: deltaSecretsMethod,
  FetchSecrets: fetchSecretsMethod,
};

export interface SecretHandlers extends UntypedServiceImplementation {
  readonly StreamSecrets: handleBidiStreamingCall<DiscoveryRequest, DiscoveryResponse>;
  readonly DeltaSecrets: handleBidiStreamingCall<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;
  readonly FetchSecrets: handleUnaryCall<DiscoveryRequest, DiscoveryResponse>;
}

export interface SecretServiceOptions {
  readonly secrets: SecretStore;
  readonly log: Logger;
}

/** Names of one stream; an Envoy asks for one or two in each. */
const maxNames = 64;
const maxNameLength = 4096;

export function createSecretHandlers(options: SecretServiceOptions): SecretHandlers {
  let streams = 0;
  return {
    StreamSecrets: (call) => serve(call, fullVariant, options, `stream ${++streams}`),
    DeltaSecrets: (call) => serve(call, deltaVariant, options, `stream ${++streams}`),
    FetchSecrets: ({ request }, callback) => {
      const problem = refusal(request.typeUrl, request.resourceNames);
      if (problem !== undefined) {
        callback({ code: status.INVALID_ARGUMENT, details: problem });
        return;
      }
      const found = request.resourceNames.flatMap((name) => secretResource(options.secrets, name) ?? []);
      if (found.length === 0) callback({ code: status.NOT_FOUND, details: "there is no such secret" });
      else callback(null, fullResponse(found, "1"));
    },
  };
}

function refusal(wantedType: string, names: readonly string[]): string | undefined {
  if (wantedType !== "" && wantedType !== typeUrl.secret) return `only ${typeUrl.secret} is served here`;
  if (names.length > maxNames) return `more than ${maxNames} names`;
  return names.some((name) => name.length > maxNameLength) ? `a name of more than ${maxNameLength} bytes` : undefined;
}

/** What a stream has asked for, and what it has got. */
interface StreamState {
  readonly names: Set<string>;
  /** Name → version. */
  readonly sent: Map<string, string>;
  nonce: number;
}

/** How the two variants of the protocol differ. */
interface Variant<Request, Response> {
  namesOf(request: Request): readonly string[];
  subscribe(state: StreamState, request: Request): void;
  /** Undefined where the variant has no word for it. */
  encode(changed: readonly SecretResource[], removed: readonly string[], nonce: string): Response | undefined;
}

const fullVariant: Variant<DiscoveryRequest, DiscoveryResponse> = {
  namesOf: (request) => request.resourceNames,
  subscribe: ({ names, sent }, request) => {
    const wanted = new Set(request.resourceNames);
    for (const name of names) {
      if (wanted.has(name)) continue;
      names.delete(name);
      sent.delete(name);
    }
    for (const name of wanted) names.add(name);
  },
  // A secret that is gone is kept by the client.
  encode: (changed, _, nonce) => (changed.length === 0 ? undefined : fullResponse(changed, nonce)),
};

const deltaVariant: Variant<DeltaDiscoveryRequest, DeltaDiscoveryResponse> = {
  namesOf: (request) => request.resourceNamesSubscribe,
  subscribe: (state, request) => {
    const { names, sent, nonce } = state;
    if (nonce === 0 && names.size === 0) {
      for (const [name, version] of Object.entries(request.initialResourceVersions)) sent.set(name, version);
    }
    for (const name of request.resourceNamesSubscribe) {
      if (names.size >= maxNames) break;
      names.add(name);
      // Who subscribes again has lost it.
      if (nonce > 0) sent.delete(name);
    }
    for (const name of request.resourceNamesUnsubscribe) {
      names.delete(name);
      sent.delete(name);
    }
  },
  encode: (changed, removed, nonce) =>
    create(DeltaDiscoveryResponseSchema, {
      typeUrl: typeUrl.secret,
      nonce,
      systemVersionInfo: nonce,
      resources: changed.map(({ name, version, value }) => ({ name, version, resource: any(value) })),
      removedResources: [...removed],
    }),
};

function serve<Request extends DiscoveryRequest | DeltaDiscoveryRequest, Response>(
  call: ServerDuplexStream<Request, Response>,
  variant: Variant<Request, Response>,
  { secrets, log }: SecretServiceOptions,
  id: string,
): void {
  const state: StreamState = { names: new Set(), sent: new Map(), nonce: 0 };
  const send = (): void => {
    const found = [...state.names].flatMap((name) => secretResource(secrets, name) ?? []);
    const changed = found.filter(({ name, version }) => state.sent.get(name) !== version);
    const removed = [...state.sent.keys()].filter((name) => found.every((resource) => resource.name !== name));
    if (changed.length === 0 && removed.length === 0) return;
    for (const { name, version } of changed) state.sent.set(name, version);
    for (const name of removed) state.sent.delete(name);
    const response = variant.encode(changed, removed, String(++state.nonce));
    if (response !== undefined) call.write(response);
  };
  const unsubscribe = secrets.onChange((name) => {
    if (state.names.has(name)) send();
  });
  const end = (): void => {
    unsubscribe();
    secrets.setWanted(new Set(), id);
  };
  call.on("data", (request: Request) => {
    const problem = refusal(request.typeUrl, variant.namesOf(request));
    if (problem !== undefined) {
      end();
      call.emit("error", { code: status.INVALID_ARGUMENT, details: problem });
      return;
    }
    if (request.errorDetail !== undefined) {
      const reason = request.errorDetail.message.slice(0, 500);
      log.warn("a client refused a secret", { names: [...state.names].join(" "), reason });
    }
    // An answer to an older response: a newer one is under way.
    if (request.responseNonce !== "" && request.responseNonce !== String(state.nonce)) return;
    variant.subscribe(state, request);
    secrets.setWanted(new Set(state.names), id);
    send();
  });
  call.on("end", () => call.end());
  for (const event of ["error", "close", "cancelled"] as const) call.on(event, end);
}

function fullResponse(resources: readonly SecretResource[], nonce: string): DiscoveryResponse {
  return create(DiscoveryResponseSchema, {
    typeUrl: typeUrl.secret,
    versionInfo: resources.map(({ version }) => version).join("-"),
    nonce,
    resources: resources.map(({ value }) => any(value)),
  });
}

function any(value: Uint8Array): { typeUrl: string; value: Uint8Array } {
  return { typeUrl: typeUrl.secret, value };
}
