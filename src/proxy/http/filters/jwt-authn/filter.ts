// HOT: per request. JWT authentication: which tokens a request must carry follows from rules on its head. A request whose
// tokens need keys that are not there yet waits for them; without keys it is refused.
import {
  JwtAuthenticationSchema,
  PerRouteConfigSchema,
} from "#wire/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts";
import { isKeySet } from "#wire/jose/key-set.ts";
import { jwtOk } from "#wire/jose/status.ts";
import { matchablePath } from "../../../decide/route.ts";
import type { Counter } from "../../../stats/stats.ts";
import {
  CONTINUE,
  DONE,
  defineHttpFilter,
  type FilterContext,
  type HttpFilter,
  type HttpFilterType,
  PAUSE,
  settingsFrom,
  sharedFilter,
  type Verdict,
} from "../../filter.ts";
import { jwtRefused } from "../../local-replies.ts";
import type { Stream } from "../../stream.ts";
import { type Authentication, authenticate, isRemote, type KeySource, waiting } from "./authenticate.ts";
import { applyTokens, claimHeaderNames, metadataOf } from "./effects.ts";
import { explainJwt } from "./explain.ts";
import { challengeFor, httpStatusOf } from "./refusal.ts";
import { type RemoteKeys, remoteKeysFor } from "./remote-keys.ts";
import type { Requirement } from "./requirement.ts";
import { requirementOf } from "./rules.ts";
import {
  type JwtProvider,
  type JwtRouteSettings,
  type JwtSettings,
  originsOf,
  parseJwtAuthn,
  parseJwtPerRoute,
} from "./settings.ts";
import { VerifiedTokens } from "./token-memory.ts";

export const jwtAuthn: HttpFilterType = defineHttpFilter<JwtSettings, JwtRouteSettings>({
  type: "jwt_authn",
  messages: [settingsFrom(JwtAuthenticationSchema, parseJwtAuthn)],
  routeMessages: [settingsFrom(PerRouteConfigSchema, parseJwtPerRoute)],
  decide: explainJwt,
  configure: (settings, context) => sharedFilter(new JwtFilter(settings, context)),
});

class JwtFilter implements HttpFilter, KeySource {
  readonly #settings: JwtSettings;
  readonly #context: FilterContext<JwtRouteSettings>;
  readonly #remote = new Map<JwtProvider, RemoteKeys>();
  readonly #claimHeaders: readonly string[];
  readonly #memory: VerifiedTokens;
  readonly #allowed: Counter;
  readonly #denied: Counter;
  readonly #preflights: Counter;

  constructor(settings: JwtSettings, context: FilterContext<JwtRouteSettings>) {
    const { environment, statPrefix } = context;
    const counter = (name: string): Counter =>
      environment.stats.counter(`${statPrefix}jwt_authn.${settings.statPrefix}${name}`);
    this.#settings = settings;
    this.#context = context;
    this.#claimHeaders = claimHeaderNames(settings.providers.values());
    this.#memory = new VerifiedTokens(counter("jwt_cache_hit"), counter("jwt_cache_miss"));
    this.#allowed = counter("allowed");
    this.#denied = counter("denied");
    this.#preflights = counter("cors_preflight_bypassed");
    const fetched = counter("jwks_fetch_success");
    const missed = counter("jwks_fetch_failed");
    const { log } = environment;
    for (const provider of settings.providers.values()) {
      const { keys, name } = provider;
      if (isRemote(keys)) {
        const remote = remoteKeysFor(keys, environment, {
          onKeysFetched: () => fetched.add(),
          onKeysMissing: (url, words) => {
            missed.add();
            log.warn(`jwt_authn: keys of provider ${name} from ${url} through cluster ${keys.cluster}: ${words}`);
          },
        });
        this.#remote.set(provider, remote);
        if (keys.isEager) remote.prepare();
      } else if (!isKeySet(keys))
        log.warn(`jwt_authn: provider ${name} has no keys, its tokens are refused: ${keys.text}`);
      else for (const words of keys.leftOut) log.warn(`jwt_authn: provider ${name}: ${words}`);
    }
  }

  keysOf(provider: JwtProvider): ReturnType<KeySource["keysOf"]> {
    const { keys } = provider;
    if (!isRemote(keys)) return keys;
    return this.#remote.get(provider)?.read() ?? { failure: "nobody fetches them" };
  }

  onRequestHeaders(stream: Stream): Verdict {
    const ofRoute = this.#context.routeSettings(stream);
    if (ofRoute?.disabled === true) return CONTINUE;
    for (const name of this.#claimHeaders) stream.headers.remove(name);
    if (this.#settings.bypassesCorsPreflight && isPreflight(stream)) {
      this.#preflights.add();
      return CONTINUE;
    }
    const requirement = requirementOf(this.#settings, ofRoute, {
      request: stream,
      path: matchablePath(stream.routeConfig, stream.path),
      random: this.#context.environment.loop.random(),
    });
    if (requirement === null) {
      this.#allowed.add();
      return CONTINUE;
    }
    if (typeof requirement === "string") {
      this.#denied.add();
      stream.sendLocalReply(jwtRefused(403, `Failed JWT authentication: ${requirement}`, requirement), requirement, []);
      return DONE;
    }
    return this.#decide(stream, requirement);
  }

  #decide(stream: Stream, requirement: Requirement): Verdict {
    const authentication = authenticate(requirement, {
      holder: { path: stream.path, headerValues: (name) => stream.headers.getAll(name) },
      providers: this.#settings.providers,
      nowSeconds: this.#context.environment.loop.now / 1000,
      keys: this,
      memory: this.#memory,
      assumed: null,
    });
    if (authentication.status === waiting) {
      this.#waitFor(authentication, stream, requirement);
      return PAUSE;
    }
    for (const metadata of metadataOf(authentication)) stream.mergeMetadata(metadata);
    if (authentication.status !== jwtOk) {
      this.#refuse(stream, authentication);
      return DONE;
    }
    this.#allowed.add();
    applyTokens(stream, authentication.accepted);
    return CONTINUE;
  }

  #waitFor({ pending }: Authentication, stream: Stream, requirement: Requirement): void {
    const [provider] = pending;
    const remote = provider === undefined ? undefined : this.#remote.get(provider);
    remote?.whenSettled(() => {
      if (stream.isDone) return;
      if (this.#decide(stream, requirement) === CONTINUE) stream.resumeRequest();
    });
  }

  #refuse(stream: Stream, { status, words, provider }: Authentication): void {
    this.#denied.add();
    const { hidesFailure } = this.#settings;
    const reply = jwtRefused(httpStatusOf(status), hidesFailure ? "" : status.text, status.text);
    const challenge = hidesFailure ? null : challengeFor(stream, status);
    stream.sendLocalReply(reply, words, originsOf(this.#settings, provider), (headers) => {
      if (challenge !== null) headers.add("www-authenticate", challenge);
    });
  }
}

function isPreflight(stream: Stream): boolean {
  const { headers, method } = stream;
  return (
    method === "OPTIONS" && Boolean(headers.get("origin")) && Boolean(headers.get("access-control-request-method"))
  );
}
