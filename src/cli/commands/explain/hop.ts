// What one proxy of the way decided, as it is shown.
import type { Origin } from "#base/issue.ts";
import { compileProxy } from "#mesh/compile/compile.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { addStep, type Trace } from "#proxy/config/trace.ts";
import type { Decision, LayeredVerdict } from "#proxy/decide/decision.ts";
import type { ProxyView } from "#proxy/decide/view.ts";
import { type DecodedProxy, decodeProxy } from "../../mesh/decoded-proxy.ts";

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

/** Compiled and decoded once for each proxy. */
export class Views {
  readonly #snapshot: MeshSnapshot;
  readonly #decoded = new Map<ProxyNode, DecodedProxy>();

  constructor(snapshot: MeshSnapshot) {
    this.#snapshot = snapshot;
  }

  /** Resources that the proxy refuses are missing; the trace says which. */
  of(node: ProxyNode, trace: Trace | null = null): ProxyView {
    let decoded = this.#decoded.get(node);
    if (decoded === undefined) {
      decoded = decodeProxy(compileProxy(this.#snapshot, node), node);
      this.#decoded.set(node, decoded);
    }
    for (const { message, origins } of decoded.refusals) addStep(trace, "refusal", message, origins);
    return decoded.view;
  }
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
