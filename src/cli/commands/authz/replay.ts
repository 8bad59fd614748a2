// What policies would have done to the traffic that was seen: every row of it once more through the proxy's own decisions,
// over the configuration with these policies. What the present configuration refuses too, though it went through, depends
// on something that is not counted (headers, tokens, addresses): such rows are not judged.
import { formatIssue, formatOrigin, type Origin, Severity } from "#base/issue.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { decideGateway, decideInbound } from "#proxy/decide/decide.ts";
import type { Decision, Question } from "#proxy/decide/decision.ts";
import type { ProxyView } from "#proxy/decide/view.ts";
import type { InboundCaller } from "#proxy/stats/inbound-traffic.ts";
import { anyRest, anySegment } from "#proxy/stats/path-classes.ts";
import { UsageError } from "../../context.ts";
import type { Population } from "../../population.ts";
import type { ObservedWorkload } from "../../traffic/observed-traffic.ts";
import { handshakeOf, type SourceName, SourceNames } from "../../traffic/sources.ts";
import { workloadsOf } from "../../traffic/workload-name.ts";
import { Views } from "../explain/hop.ts";
import { workloadOfPod } from "../explain/workload.ts";

export interface ReplayedRow {
  readonly workload: string;
  readonly port: number;
  readonly source: SourceName;
  /** Of a gateway; empty elsewhere. */
  readonly host: string;
  /** Empty for bytes. */
  readonly method: string;
  readonly path: string;
  /** Requests, or connections of bytes. */
  readonly count: number;
  readonly verdict: "allowed" | "denied" | "not judged";
  /** Why not allowed. */
  readonly reason: string;
  readonly origin: Origin | null;
}

export interface Replay {
  readonly rows: readonly ReplayedRow[];
  readonly allowed: number;
  readonly denied: number;
  readonly notJudged: number;
}

/** Throws what is wrong with the policies. They stand beside those that are there; one of the same name takes the other's place. */
export function replay(
  mesh: Population,
  observed: readonly ObservedWorkload[],
  policies: readonly KubernetesObject[],
): Replay {
  const { snapshot, pods } = mesh;
  const { trustDomain } = snapshot.meshConfig;
  const keyOf = ({ kind, metadata }: KubernetesObject): string =>
    `${kind}/${metadata.namespace ?? "default"}/${metadata.name}`;
  const replaced = new Set(policies.map(keyOf));
  const changed = mesh.changed({ drops: (object) => replaced.has(keyOf(object)), adds: policies });
  const wrong = changed.issues.find(
    ({ object, severity }) =>
      severity === Severity.Error &&
      object !== undefined &&
      replaced.has(`${object.kind}/${object.namespace}/${object.name}`),
  );
  if (wrong !== undefined) throw new UsageError(formatIssue(wrong));
  const before = new Views(snapshot);
  const after = new Views(changed);
  const workloads = workloadsOf(pods);
  const names = new SourceNames(pods, trustDomain);
  const rows = observed.flatMap(({ workload, callers }) => {
    const pod = workloads.get(workload);
    const node = pod === undefined ? undefined : workloadOfPod(pod, trustDomain).node;
    if (node === undefined) return [];
    const httpPorts = new Set(callers.filter(({ requests }) => requests.length > 0).map(({ port }) => port));
    return callers.flatMap((caller) =>
      questionsOf(snapshot, node, caller, httpPorts.has(caller.port)).map(({ question, ...asked }) => {
        const decide = node.type === "router" ? decideGateway : decideInbound;
        const judged = judge(before.of(node), after.of(node), (view) => decide(view, question, null));
        return { workload, port: caller.port, source: names.of(caller), ...asked, ...judged };
      }),
    );
  });
  const total = (verdict: ReplayedRow["verdict"]): number =>
    rows.filter((row) => row.verdict === verdict).reduce((sum, { count }) => sum + count, 0);
  return { rows, allowed: total("allowed"), denied: total("denied"), notJudged: total("not judged") };
}

interface Asked {
  readonly question: Question;
  readonly host: string;
  readonly method: string;
  readonly path: string;
  readonly count: number;
}

/** Of what went through: what was refused has been refused. */
function questionsOf(snapshot: MeshSnapshot, node: ProxyNode, caller: InboundCaller, isHttp: boolean): Asked[] {
  const connection = {
    destinationIp: node.ipAddresses[0] ?? "",
    destinationPort: caller.port,
    sourceIp: caller.address,
    tls: handshakeOf(caller),
    random: 0,
  };
  if (!isHttp) {
    const count = caller.connections - caller.refused;
    return count > 0 ? [{ question: { ...connection, http: null }, host: "", method: "", path: "", count }] : [];
  }
  const authority = snapshot.serviceInstances(node).find(({ targetPort }) => targetPort === caller.port)
    ?.service.hostname;
  return caller.requests
    .filter(({ forwarded }) => forwarded > 0)
    .map(({ host = "", method, path, forwarded }) => ({
      question: {
        ...connection,
        tls: handshakeOf(caller, node.type === "router" ? host.replace(/:\d+$/, "") : ""),
        http: {
          method: method || "GET",
          authority: host || (authority ?? connection.destinationIp),
          path: memberOf(path),
          headers: {},
        },
      },
      host,
      method,
      path,
      count: forwarded,
    }));
}

/** One path of a class. */
function memberOf(path: string): string {
  return path.replaceAll(anyRest, "x").replaceAll(anySegment, "x");
}

function judge(
  before: ProxyView,
  after: ProxyView,
  decide: (view: ProxyView) => Decision,
): Pick<ReplayedRow, "verdict" | "reason" | "origin"> {
  const decided = decide(after);
  if (!isDenied(decided)) return { verdict: "allowed", reason: "", origin: null };
  const denial = decided.authorization.find(({ allowed }) => !allowed);
  const origin = denial?.policy?.origin ?? denial?.nearestMiss?.policy.origin ?? null;
  const wasDenied = isDenied(decide(before));
  const reason =
    decided.reason +
    (origin === null || decided.reason.includes(formatOrigin(origin)) ? "" : ` (${formatOrigin(origin)})`);
  return { verdict: wasDenied ? "not judged" : "denied", reason, origin };
}

function isDenied({ authorization }: Decision): boolean {
  return authorization.some(({ allowed }) => !allowed);
}
