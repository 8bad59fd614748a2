// IST0175: a control plane that fetches keys from any address that a RequestAuthentication names.
import { type Issue, Severity } from "#base/issue.ts";
import { type AnalysisContext, podTemplate, recordsOf, textOf } from "./context.ts";

const variable = "BLOCKED_CIDRS_IN_JWKS_URIS";

export function checkKeyAddresses({ objects, written }: AnalysisContext): Issue[] {
  const policies = objects.all("RequestAuthentication");
  if (policies.length === 0) return [];
  const shown = policies.slice(0, 5).map(({ namespace, name }) => `${namespace}/${name}`);
  const names = `${shown.join(", ")}${policies.length > shown.length ? `, and ${policies.length - shown.length} more` : ""}`;
  return written
    .ofKind("Deployment")
    .filter(({ labels }) => labels["app"] === "istiod")
    .flatMap((deployment) => {
      const variables = recordsOf(podTemplate(deployment.body).spec["containers"]).flatMap(({ env }) => recordsOf(env));
      if (variables.some(({ name, value }) => name === variable && textOf(value) !== "")) return [];
      const message = `keys are fetched from every address that a RequestAuthentication names (${names})`;
      const fix = `set ${variable} to the ranges that are not to be asked, as 169.254.0.0/16,10.0.0.0/8`;
      const path = "spec.template.spec.containers";
      return [deployment.issue({ code: "IST0175", severity: Severity.Warning, path, message, fix })];
    });
}
