// For each port of each service that a client sees: what its proxy sends, what the servers take, and whether that fits.
// Columns and words are those of `istioctl authn tls-check`.
import { formatOrigin, type Origin } from "#base/issue.ts";
import type { EffectiveMtlsMode } from "#mesh/kinds/peer-authentication/spec.ts";
import { originAt } from "#mesh/objects/mesh-object.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import type { Pod } from "../../mesh/pods.ts";
import { renderTable } from "../../render/table.ts";
import { type ClientUse, clientUses, judgeTls } from "../../traffic/client-tls.ts";
import { Views } from "../explain/hop.ts";
import { type ExplainWorkload, workloadOfPod } from "../explain/workload.ts";

export interface TlsCheck {
  readonly client: string;
  readonly host: string;
  readonly port: number;
  readonly status: "OK" | "CONFLICT";
  /** `MIXED`: the workloads behind it differ; `-`: none of them has a sidecar, as gateways. */
  readonly server: EffectiveMtlsMode | "MIXED" | "-";
  /** As DestinationRules name them; `MIXED`: mutual TLS to some endpoints only. */
  readonly clientMode: ClientMode | "MIXED";
  readonly policy: Origin | null;
  readonly rule: Origin | null;
  /** Of a conflict. */
  readonly reasons: readonly string[];
}

type ClientMode = "ISTIO_MUTUAL" | "MUTUAL" | "SIMPLE" | "DISABLE";

export function tlsChecks(
  snapshot: MeshSnapshot,
  pods: readonly Pod[],
  clients: readonly ExplainWorkload[],
  host?: string,
): TlsCheck[] {
  const { trustDomain } = snapshot.meshConfig;
  const views = new Views(snapshot);
  const byIp = new Map(pods.map((pod) => [pod.status?.podIP ?? "", workloadOfPod(pod, trustDomain)]));
  return clients.flatMap((client) => {
    if (client.node === undefined) return [];
    const uses = clientUses(views.of(client.node), snapshot, client.identity, host);
    return [...Map.groupBy(uses, ({ service, port }) => `${service} ${port}`).values()].flatMap((all): TlsCheck[] => {
      const [first] = all;
      if (first === undefined) return [];
      const servers = all.map(({ endpoint }) => byIp.get(endpoint.host)?.node);
      const decisions = all.flatMap((use, index) => {
        const node = servers[index];
        // A gateway's servers say themselves what they take.
        return node === undefined || node.type === "router" ? [] : [snapshot.inboundMtlsMode(node, use.endpoint.port)];
      });
      const reasons = all.flatMap((use, index) => {
        const { fits, reason } = judgeTls(views, use, servers[index], client.ip);
        return fits ? [] : [`${use.endpoint.host}:${use.endpoint.port}: ${reason}`];
      });
      const policy = decisions.find((decision) => decision.policy !== undefined)?.policy;
      return [
        {
          client: client.name,
          host: first.service,
          port: first.port,
          status: reasons.length === 0 ? "OK" : "CONFLICT",
          server: onlyOne(decisions.map(({ mode }) => mode)) ?? "-",
          clientMode: onlyOne(all.map(clientMode)) ?? "DISABLE",
          policy: policy === undefined ? null : originAt(policy, "spec.mtls"),
          rule: all.find(({ rule }) => rule !== null)?.rule ?? null,
          reasons: [...new Set(reasons)],
        },
      ];
    });
  });
}

function onlyOne<T extends string>(values: readonly T[]): T | "MIXED" | undefined {
  const [first, ...more] = new Set(values);
  return more.length === 0 ? first : "MIXED";
}

function clientMode({ tls, isMeshTls }: ClientUse): ClientMode {
  if (tls === "plaintext") return "DISABLE";
  if (tls === "TLS") return "SIMPLE";
  return isMeshTls ? "ISTIO_MUTUAL" : "MUTUAL";
}

/** `withClient`: of several clients. */
export function renderTlsChecks(checks: readonly TlsCheck[], withClient: boolean): string {
  const headings = ["HOST:PORT", "STATUS", "SERVER", "CLIENT", "AUTHN POLICY", "DESTINATION RULE"];
  const rows = checks.map((check) => [
    ...(withClient ? [check.client] : []),
    `${check.host}:${check.port}`,
    check.status,
    check.server,
    check.clientMode,
    check.policy === null ? "-" : nameOf(check.policy),
    check.rule === null ? "-" : nameOf(check.rule),
  ]);
  const conflicts = checks.flatMap(({ client, host, port, reasons, policy, rule }) =>
    reasons.map((reason) => {
      const places = [policy, rule].flatMap((origin) => (origin === null ? [] : [formatOrigin(origin)]));
      return `${client} → ${host}:${port}: ${reason}${places.length === 0 ? "" : ` [${places.join(", ")}]`}`;
    }),
  );
  return [renderTable(withClient ? ["POD", ...headings] : headings, rows), ...conflicts].join("\n");
}

function nameOf({ namespace, name }: Origin): string {
  return `${namespace}/${name}`;
}
