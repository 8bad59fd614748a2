// What one proxy of the way decided, as it is shown.
import type { Message } from "@bufbuild/protobuf";
import { type Origin, Severity } from "#base/issue.ts";
import { metadataIn } from "#control/push/resource-origins.ts";
import { type CompiledResources, compileProxy } from "#mesh/compile/compile.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { decodeView } from "#proxy/config/decode-view.ts";
import { addStep, type Trace } from "#proxy/config/trace.ts";
import type { Decision, LayeredVerdict } from "#proxy/decide/decide.ts";
import type { ProxyView } from "#proxy/decide/view.ts";
import { decodeProvenance } from "#wire/xds/provenance.ts";

export interface Hop {
  /** `reviews-v1-0.default` */
  readonly proxy: string;
  readonly listener: string | null;
  readonly filterChain: string | null;
  readonly virtualHost: string | null;
  readonly route: string | null;
  readonly cluster: string | null;
  readonly endpoints: readonly string[];
  /** Of a proxy that sends: to the endpoint. Of one that receives: from the caller. */
  readonly tls: "mutual" | "simple" | "none";
  readonly authorization: readonly Authorization[];
}

export interface Authorization {
  readonly proxy: string;
  /** Of the connection, or of the request. */
  readonly layer: "network" | "http";
  readonly allowed: boolean;
  /** The policy that decided: `default/closed`; null when none matched. */
  readonly policy: string | null;
  /** The place of its rule that matched, from 0. */
  readonly rule: number | null;
  readonly origin: Origin | null;
  /** When no policy matched: the one that came nearest, and what it would have needed. */
  readonly nearestMiss: {
    readonly policy: string;
    readonly rule: number | null;
    readonly needs: readonly string[];
    readonly origin: Origin | null;
  } | null;
}

interface DecodedProxy {
  readonly view: ProxyView;
  /** What the proxy refuses of its configuration. */
  readonly refusals: readonly { readonly words: string; readonly origins: readonly Origin[] }[];
}

/** Compiled and decoded once for each proxy. */
export class Views {
  readonly #snapshot: MeshSnapshot;
  readonly #decoded = new Map<ProxyNode, DecodedProxy>();

  constructor(snapshot: MeshSnapshot) {
    this.#snapshot = snapshot;
  }

  /** Resources that the proxy refuses are missing; the trace says which. */
  of(node: ProxyNode, trace: Trace): ProxyView {
    let decoded = this.#decoded.get(node);
    if (decoded === undefined) {
      decoded = decodeProxy(compileProxy(this.#snapshot, node));
      this.#decoded.set(node, decoded);
    }
    for (const { words, origins } of decoded.refusals) addStep(trace, "refusal", words, origins);
    return decoded.view;
  }
}

function decodeProxy({ listeners, routes, clusters, endpoints }: CompiledResources): DecodedProxy {
  const { view, issues } = decodeView({
    listeners: listeners.values(),
    routes: routes.values(),
    clusters: clusters.values(),
    endpoints: endpoints.values(),
  });
  const byKind: Partial<Record<string, ReadonlyMap<string, Message>>> = {
    listener: listeners,
    route: routes,
    cluster: clusters,
    endpoints,
  };
  const refused = new Map<string, readonly Origin[]>();
  for (const { severity, object, message } of issues) {
    if (severity !== Severity.Error) continue;
    const { kind = "", name = "" } = object ?? {};
    const resource = byKind[kind]?.get(name);
    // Each chain of a listener says the same, so the place does not belong to the words.
    const words = `the proxy refuses ${kind} ${name}, and keeps what it had: ${message}`;
    if (!refused.has(words)) refused.set(words, resource === undefined ? [] : writersOf(resource));
  }
  return { view, refusals: [...refused].map(([words, origins]) => ({ words, origins })) };
}

/** Who wrote what a proxy does not take: EnvoyFilters, where there are any. */
function writersOf(resource: Message): readonly Origin[] {
  const all = [...metadataIn(resource)].flatMap((metadata) => decodeProvenance(metadata?.filterMetadata).origins);
  const patches = all.filter(({ kind }) => kind === "EnvoyFilter");
  return patches.length > 0 ? patches : all;
}

export function hopOf(proxy: string, decision: Decision, tls: Hop["tls"]): Hop {
  return {
    proxy,
    listener: decision.listener?.name ?? null,
    filterChain: decision.chain?.name ?? null,
    virtualHost: decision.route?.virtualHost.name ?? null,
    route: decision.route?.route.name ?? null,
    cluster: decision.cluster?.name ?? null,
    endpoints: decision.endpoints.map((endpoint) => endpoint.key),
    tls,
    authorization: decision.authorization.map((verdict) => authorizationOf(proxy, verdict)),
  };
}

function authorizationOf(proxy: string, verdict: LayeredVerdict): Authorization {
  const { layer, allowed, policy, nearestMiss } = verdict;
  return {
    proxy,
    layer,
    allowed,
    ...(policy === null ? { policy: null, rule: null } : nameOf(policy.name)),
    origin: policy?.origin ?? null,
    nearestMiss:
      nearestMiss === null
        ? null
        : { ...nameOf(nearestMiss.policy.name), needs: nearestMiss.failed, origin: nearestMiss.policy.origin },
  };
}

/** Reads `ns[default]-policy[closed]-rule[0]`; the name of a policy that Istio's rules do not make stays as it is. */
function nameOf(name: string): { readonly policy: string; readonly rule: number | null } {
  const match = /ns\[([^\]]*)\]-policy\[([^\]]*)\]-rule\[(\d+)\]/.exec(name);
  return match === null ? { policy: name, rule: null } : { policy: `${match[1]}/${match[2]}`, rule: Number(match[3]) };
}
