// The filter's verdict for explain: the same evaluation, with the token that the question carries, or with claims that are
// taken for those of a good one. Keys that would be fetched are not there.

import { jwtOk } from "#wire/jose/status.ts";
import type { FilterDecide } from "../../../config/http.ts";
import type { RbacSubject } from "../../../config/rbac.ts";
import { addStep } from "../../../config/trace.ts";
import type { RouteRequest } from "../../../decide/route.ts";
import { type Authentication, authenticate, isRemote, type KeySource, waiting } from "./authenticate.ts";
import { metadataOf } from "./effects.ts";
import { httpStatusOf } from "./refusal.ts";
import { requirementOf } from "./rules.ts";
import { type JwtRouteSettings, type JwtSettings, originsOf } from "./settings.ts";

export function explainJwt(settings: JwtSettings): FilterDecide {
  return (subject, routeSettings, trace) => {
    const ofRoute = (routeSettings[0] as JwtRouteSettings | undefined) ?? null;
    const request = requestOf(subject);
    const requirement = requirementOf(settings, ofRoute, { request, path: subject.path ?? "", random: 0 });
    if (requirement === null) return null;
    if (typeof requirement === "string") {
      return { refusal: { status: 403, reason: requirement }, authorization: null };
    }
    const authentication = authenticate(requirement, {
      holder: { path: request.path, headerValues: (name) => subject.headerValues?.(name) },
      providers: settings.providers,
      nowSeconds: subject.nowSeconds ?? 0,
      keys: ownKeys,
      memory: null,
      assumed: subject.claims ?? null,
    });
    if (trace !== null) {
      const provider = authentication.provider ?? authentication.accepted[0]?.provider ?? null;
      addStep(trace, "authentication", describe(authentication), originsOf(settings, provider));
    }
    const { status, words } = authentication;
    const isRefused = status !== jwtOk && status !== waiting;
    const refusal = isRefused ? { status: httpStatusOf(status), reason: words } : null;
    return { refusal, authorization: null, metadata: metadataOf(authentication) };
  };
}

const ownKeys: KeySource = { keysOf: ({ keys }) => (isRemote(keys) ? "pending" : keys) };

function describe({ status, words, accepted, pending }: Authentication): string {
  if (status === waiting) {
    const urls = pending.map(({ keys, name }) => (isRemote(keys) ? `${keys.url} (provider ${name})` : name));
    return `verifies the token with keys from ${[...new Set(urls)].join(", ")}, which are not known here`;
  }
  if (status !== jwtOk) return `${status.text}: ${words}`;
  if (accepted.length === 0) return "passes without a token";
  return `accepts the token of ${accepted.map(({ provider, jwt }) => `${jwt.issuer ?? "nobody"} (provider ${provider.name})`).join(", ")}`;
}

function requestOf(subject: RbacSubject): RouteRequest {
  return {
    authority: subject.header?.(":authority") ?? "",
    path: subject.header?.(":path") ?? "",
    header: (name) => subject.header?.(name),
    metadata: (filter) => subject.metadata?.(filter),
    share: ({ fraction }) => fraction,
    clientCertificate: subject.peer === null ? "none" : "validated",
  };
}
