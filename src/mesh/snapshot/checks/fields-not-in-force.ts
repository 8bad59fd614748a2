// Fields that are accepted and validated, but that a sidecar or gateway of ours does not act on: the compiler leaves them
// out, or the proxy does not do what it is sent. Each one that is set is reported, so that nothing is silently without
// effect. A line is deleted when its feature is there.
import { Severity } from "#base/issue.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { joinPath, type PathSegment } from "../../objects/path.ts";
import type { Problem } from "../../objects/report.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

/** What happens instead; `when` where only some values are without effect. */
type Instead = string | { readonly when: RegExp; readonly instead: string };

/** Path within the spec (`[]` stands for every item) → what happens instead. */
type Fields = Readonly<Record<string, Instead>>;

const trafficPolicy: Fields = {
  "outlierDetection.consecutiveErrors": "consecutive5xxErrors counts, as in Istio",
  "outlierDetection.outlierDetectionHttpErrorCodes": "every 5xx is an error, as in Istio",
  "retryBudget.budgetInterval": "the budget is a share of the requests that are open, as in Istio",
};

const unverified = "signatures of images are not looked at, as in Istio; sha256 pins one";

const under = (prefix: string, fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).map(([path, instead]) => [`${prefix}.${path}`, instead]));

const fieldsByKind: Readonly<Record<string, Fields>> = {
  VirtualService: {
    "tcp[].match[].sourceSubnet": "connections of every source match, as in Istio",
  },
  DestinationRule: {
    ...under("trafficPolicy", trafficPolicy),
    ...under("trafficPolicy.portLevelSettings[]", trafficPolicy),
    ...under("subsets[].trafficPolicy", trafficPolicy),
    ...under("subsets[].trafficPolicy.portLevelSettings[]", trafficPolicy),
  },
  WasmPlugin: { verificationKey: unverified },
  TrafficExtension: { "wasm.verificationKey": unverified },
  Gateway: {
    "servers[].defaultEndpoint": "VirtualServices say where requests go",
  },
  EnvoyFilter: {
    "configPatches[].applyTo": { when: /^BOOTSTRAP$/, instead: "proxies keep their bootstrap" },
  },
  HTTPRoute: { "rules[].sessionPersistence.idleTimeout": "a session lasts as long as its cookie or header" },
  GRPCRoute: { "rules[].sessionPersistence.idleTimeout": "a session lasts as long as its cookie or header" },
  "Gateway.gateway.networking.k8s.io": {
    defaultScope: "routes attach where they name the Gateway",
  },
};

export function checkFieldsInForce({ objects }: CheckContext): Finding[] {
  return Object.entries(fieldsByKind).flatMap(([kind, fields]) =>
    objects.ofKind(kind).flatMap((object) => withoutEffect(object, fields)),
  );
}

function withoutEffect(object: MeshObject<unknown>, fields: Fields): Finding[] {
  return Object.entries(fields).flatMap(([pattern, field]) =>
    [...places(object.spec, pattern.split(/\.|(?=\[\])/), [])]
      .filter(({ value }) => typeof field === "string" || field.when.test(String(value)))
      .map(({ path, value }) => {
        const name = pattern.split(".").at(-1) ?? "";
        const what = typeof field === "string" ? name : `${name} ${String(value)}`;
        return finding(object, notYet(path, what, typeof field === "string" ? field : field.instead), "partly");
      }),
  );
}

function notYet(path: readonly PathSegment[], what: string, instead: string): Problem {
  const message = `${what} is accepted and not in force yet: ${instead}`;
  return { code: "OUT0003", severity: Severity.Warning, path: joinPath(["spec", ...path]), message };
}

interface Place {
  readonly path: PathSegment[];
  readonly value: unknown;
}

/** The places in a value that a pattern names and where something is set. */
function* places(value: unknown, pattern: readonly string[], path: readonly PathSegment[]): Iterable<Place> {
  const [next, ...rest] = pattern;
  if (next === undefined) {
    if (isSet(value)) yield { path: [...path], value };
  } else if (next === "[]") {
    if (!Array.isArray(value)) return;
    for (const [index, item] of value.entries()) yield* places(item, rest, [...path, index]);
  } else if (typeof value === "object" && value !== null && next in value) {
    yield* places((value as Record<string, unknown>)[next], rest, [...path, next]);
  }
}

function isSet(value: unknown): boolean {
  if (value === undefined || value === "" || value === 0 || value === false) return false;
  return !Array.isArray(value) || value.length > 0;
}
