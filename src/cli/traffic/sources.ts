// Who stands behind a caller that a sidecar counted: a workload by its address, an identity by its certificate.
import type { Question } from "#proxy/decide/decision.ts";
import type { InboundCaller } from "#proxy/stats/inbound-traffic.ts";
import { workloadOfPod } from "../commands/explain/workload.ts";
import { hasProxy, type Pod } from "../mesh/pods.ts";
import { workloadName } from "./workload-name.ts";

export interface SourceName {
  /** The pod's workload that has the address now; null for an address of nobody here. */
  readonly workload: string | null;
  /** False: what it sends has no sidecar's help. Null: it is not known. */
  readonly hasSidecar: boolean | null;
  /** Of the certificate; without one that of the workload's service account, which nothing proves. */
  readonly identity: string | null;
  readonly isProven: boolean;
  readonly address: string;
}

export class SourceNames {
  readonly #podByIp: ReadonlyMap<string, Pod>;
  readonly #trustDomain: string;

  constructor(pods: readonly Pod[], trustDomain: string) {
    this.#podByIp = new Map(pods.flatMap((pod) => (pod.status?.podIP === undefined ? [] : [[pod.status.podIP, pod]])));
    this.#trustDomain = trustDomain;
  }

  of({ principal, address }: Pick<InboundCaller, "principal" | "address">): SourceName {
    const pod = this.#podByIp.get(address);
    const assumed = pod === undefined ? null : workloadOfPod(pod, this.#trustDomain).identity;
    return {
      workload: pod === undefined ? null : workloadName(pod),
      hasSidecar: pod === undefined ? null : hasProxy(pod),
      identity: principal === "" ? assumed : principal,
      isProven: principal !== "",
      address,
    };
  }
}

/** As its client began, for the walk of a connection. `serverName` is what a client of a gateway asks for. */
export function handshakeOf({ protection, principal, requests }: InboundCaller, serverName = ""): Question["tls"] {
  if (protection === "plaintext") return null;
  if (protection !== "mutual_tls") return { serverName, alpn: ["h2", "http/1.1"], peerId: undefined };
  if (serverName !== "") return { serverName, alpn: ["h2", "http/1.1"], peerId: principal };
  const alpn = requests.length > 0 ? ["istio-http/1.1", "istio", "http/1.1"] : ["istio-peer-exchange", "istio"];
  return { serverName: "", alpn, peerId: principal };
}
