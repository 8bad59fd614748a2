// IST0002: fields and kinds that Istio wants to be rid of.
import { type Issue, Severity } from "#base/issue.ts";
import { type AnalysisContext, at, issueOf } from "./context.ts";

export function checkDeprecations({ objects, written }: AnalysisContext): Issue[] {
  const severity = Severity.Warning;
  return [
    ...objects.all("VirtualService").flatMap((virtualService) =>
      virtualService.spec.http.flatMap(({ fault }, index) => {
        if ((fault?.delay?.percent ?? 0) <= 0) return [];
        const path = `spec.http[${index}].fault.delay.percent`;
        const problem = { message: "percent is deprecated", fix: "percentage: { value: ... }" };
        return [issueOf(virtualService, { code: "IST0002", severity, path, ...problem })];
      }),
    ),
    ...objects.all("Sidecar").flatMap((sidecar) => {
      if (sidecar.spec.outboundTrafficPolicy?.egressProxy === undefined) return [];
      const path = "spec.outboundTrafficPolicy.egressProxy";
      const message = "egressProxy is deprecated";
      const fix = "a ServiceEntry and a VirtualService that lead to the egress gateway";
      return [issueOf(sidecar, { code: "IST0002", severity, path, message, fix })];
    }),
    ...written.ofKind("CustomResourceDefinition").flatMap((definition) => {
      if (at(definition.body, "spec", "group") !== "rbac.istio.io") return [];
      const message = "the kinds of rbac.istio.io are no more";
      const fix = "AuthorizationPolicy";
      return [definition.issue({ code: "IST0002", severity, path: "spec.group", message, fix })];
    }),
  ];
}
