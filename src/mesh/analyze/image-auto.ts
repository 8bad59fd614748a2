// IST0146 and IST0147: `image: auto` stands for what the injector fills in; without it the container cannot start.
import { type Issue, Severity } from "#base/issue.ts";
import { injectionWebhookConfiguration } from "../inject/webhook-configuration.ts";
import { type KubernetesSelector, type Labels, matchesKubernetesSelector } from "../objects/fields/selector.ts";
import { type AnalysisContext, at, type JsonRecord, podTemplate, recordOf, recordsOf, textOf } from "./context.ts";

export function checkImageAuto({ written }: AnalysisContext): Issue[] {
  const found = written
    .ofKind("MutatingWebhookConfiguration")
    .flatMap(({ body }) => recordsOf(body["webhooks"]))
    .filter(({ name }) => textOf(name).endsWith("istio.io"));
  // Files hold none: then the selectors of the default installation count.
  const webhooks = found.length > 0 ? found : recordsOf(injectionWebhookConfiguration()["webhooks"]);
  return [
    ...written.ofKind("Pod").flatMap((pod) => {
      const path = autoImage(recordOf(at(pod.body, "spec")), "spec");
      if (path === undefined) return [];
      const message = "image: auto was not replaced: the injector did not see this pod";
      const fix = "write a Deployment, or a label sidecar.istio.io/inject, and apply it where injection is on";
      return [pod.issue({ code: "IST0147", severity: Severity.Error, path, message, fix })];
    }),
    ...written.ofKind("Deployment").flatMap((deployment) => {
      const { spec, labels } = podTemplate(deployment.body);
      const path = autoImage(spec, "spec.template.spec");
      const namespaceLabels = written.namespaceLabels(deployment.namespace);
      if (path === undefined || webhooks.some((webhook) => selectsPod(webhook, namespaceLabels, labels))) return [];
      const message = "image: auto is for the injector, and no injection webhook selects these pods";
      const fix = 'label the pods sidecar.istio.io/inject: "true"';
      return [deployment.issue({ code: "IST0146", severity: Severity.Warning, path, message, fix })];
    }),
  ];
}

function autoImage(spec: JsonRecord, path: string): string | undefined {
  const index = recordsOf(spec["containers"]).findIndex(
    ({ name, image }) => name === "istio-proxy" && image === "auto",
  );
  return index === -1 ? undefined : `${path}.containers[${index}].image`;
}

function selectsPod(webhook: JsonRecord, namespaceLabels: Labels, labels: Labels): boolean {
  const matches = (selector: unknown, of: Labels): boolean =>
    selector === undefined || matchesKubernetesSelector(selector as KubernetesSelector, of);
  return matches(webhook["namespaceSelector"], namespaceLabels) && matches(webhook["objectSelector"], labels);
}
