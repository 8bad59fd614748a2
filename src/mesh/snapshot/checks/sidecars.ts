// Sidecars against the rest: TLS beside mutual TLS, and egress proxies that are not there.
import { Severity } from "#base/issue.ts";
import type { SidecarSpec } from "../../kinds/sidecar/spec.ts";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { type CheckContext, type Finding, finding } from "./finding.ts";

export function checkSidecars(context: CheckContext): Finding[] {
  return context.objects
    .all("Sidecar")
    .flatMap((sidecar) => [...tlsBesideMutualTls(sidecar, context), ...missingEgressProxy(sidecar, context)]);
}

/** TLS of the user's own and mutual TLS cannot be told apart on one port. */
function tlsBesideMutualTls(sidecar: MeshObject<SidecarSpec>, { inboundMtls }: CheckContext): Finding[] {
  const { namespace, spec } = sidecar;
  const mtls = inboundMtls({ namespace, labels: spec.workloadSelector?.labels ?? {} });
  return spec.ingress.flatMap(({ port, tls }, index) => {
    const mode = mtls.ports.get(port.number)?.mode ?? mtls.mode;
    if (tls === undefined || mode === "DISABLE") return [];
    const problem = {
      code: "OUT0006",
      severity: Severity.Warning,
      path: `spec.ingress[${index}].tls`,
      message: `tls has no effect while mutual TLS is ${mode} on port ${port.number}`,
      fix: `a PeerAuthentication with portLevelMtls ${port.number}: DISABLE`,
    };
    return [finding(sidecar, problem, "partly")];
  });
}

function missingEgressProxy(sidecar: MeshObject<SidecarSpec>, { services }: CheckContext): Finding[] {
  const host = sidecar.spec.outboundTrafficPolicy?.egressProxy?.host.toLowerCase();
  if (host === undefined) return [];
  if (services.visibleFrom(sidecar.namespace).some(({ hostname }) => hostname === host)) return [];
  const problem = {
    code: "IST0101",
    severity: Severity.Warning,
    path: "spec.outboundTrafficPolicy.egressProxy.host",
    message: `there is no service ${host}: connections to unknown destinations fail`,
    fix: "the full name of a service, as egress.istio-system.svc.cluster.local",
  };
  return [finding(sidecar, problem, "partly")];
}
