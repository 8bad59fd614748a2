// IST0102, IST0103, IST0123, IST0148, IST0158: namespaces and pods against sidecar injection, as Istio's
// `injection.Analyzer` and `injection.ImageAnalyzer` look at them.
import { type Issue, Severity } from "#base/issue.ts";
import { systemNamespaces } from "../inject/should-inject.ts";
import {
  type AnalysisContext,
  at,
  type JsonRecord,
  recordOf,
  recordsOf,
  textOf,
  type WrittenObject,
  type WrittenObjects,
} from "./context.ts";

const injectionLabel = "istio-injection";
const revisionLabel = "istio.io/rev";
const injectName = "sidecar.istio.io/inject";

export function checkInjection({ snapshot, written }: AnalysisContext): Issue[] {
  const root = snapshot.meshConfig.rootNamespace;
  const namespaces = written
    .ofKind("Namespace")
    .filter(({ name }) => name !== root && name !== "istio-system" && !systemNamespaces.includes(name));
  return [
    ...namespaces.flatMap((namespace) => namespaceIssues(namespace, written)),
    ...written.ofKind("Pod").flatMap((pod) => missingProxy(pod, written)),
  ];
}

function namespaceIssues(namespace: WrittenObject, written: WrittenObjects): Issue[] {
  const { name, labels } = namespace;
  const injection = labels[injectionLabel] ?? "";
  const revision = labels[revisionLabel];
  const report = (code: string, severity: Severity, message: string, fix?: string): Issue[] => [
    namespace.issue({ code, severity, path: "metadata.labels", message, ...(fix !== undefined && { fix }) }),
  ];
  if (injection !== "" && revision !== undefined) {
    const message = `${injectionLabel} and ${revisionLabel} both say whether sidecars are injected`;
    return report("IST0123", Severity.Warning, message, "keep one of the two labels");
  }
  if (injection !== "" || revision !== undefined || labels["istio.io/dataplane-mode"] === "ambient") return [];
  if (enablesByDefault(written)) {
    return report("IST0148", Severity.Info, "sidecars are injected here, because the injector does so by default");
  }
  const message = "no sidecars are injected here";
  const fix = `kubectl label namespace ${name} ${injectionLabel}=enabled, or =disabled to say that it is meant`;
  return report("IST0102", Severity.Info, message, fix);
}

function missingProxy(pod: WrittenObject, written: WrittenObjects): Issue[] {
  if (!isInjected(pod.namespace, written) || systemNamespaces.includes(pod.namespace)) return [];
  const own = pod.labels[injectName] ?? pod.annotations[injectName] ?? "";
  if (own.toLowerCase() === "false" || at(pod.body, "spec", "hostNetwork") === true) return [];
  if (proxyOf(recordOf(at(pod.body, "spec"))) !== undefined) return [];
  const message = "the pod has no sidecar, and its namespace injects them";
  return [
    pod.issue({
      code: "IST0103",
      severity: Severity.Warning,
      path: "spec.containers",
      message,
      fix: "start the pod again",
    }),
  ];
}

/** Whether the namespace's labels alone ask for sidecars. */
function isInjected(namespace: string, written: WrittenObjects): boolean {
  const labels = written.namespaceLabels(namespace);
  if (labels[revisionLabel] !== undefined) return labels[injectionLabel] === undefined;
  return labels[injectionLabel] === "enabled";
}

/** Whether a pod of this template gets, or has, a sidecar. */
export function isInMesh(template: JsonRecord, namespace: string, written: WrittenObjects): boolean {
  if (proxyOf(recordOf(template["spec"])) !== undefined) return true;
  const metadata = recordOf(template["metadata"]);
  const own = textOf(at(metadata, "labels", injectName)) || textOf(at(metadata, "annotations", injectName));
  if (own !== "") return own.toLowerCase() === "true";
  return isInjected(namespace, written) || (noLabels(namespace, written) && enablesByDefault(written));
}

function noLabels(namespace: string, written: WrittenObjects): boolean {
  return written.namespaceLabels(namespace)[injectionLabel] === undefined;
}

/** The proxy's container, native sidecars included. */
function proxyOf(spec: JsonRecord): JsonRecord | undefined {
  return [...recordsOf(spec["containers"]), ...recordsOf(spec["initContainers"])].find(
    ({ name }) => name === "istio-proxy",
  );
}

function injectorValues(written: WrittenObjects, revision: string): JsonRecord | undefined {
  const name =
    revision === "" || revision === "default" ? "istio-sidecar-injector" : `istio-sidecar-injector-${revision}`;
  const configMap = written.ofKind("ConfigMap").find((object) => object.name === name);
  if (configMap === undefined) return undefined;
  try {
    return recordOf(JSON.parse(textOf(at(configMap.body, "data", "values"))));
  } catch {
    return undefined;
  }
}

function enablesByDefault(written: WrittenObjects): boolean {
  return at(injectorValues(written, ""), "sidecarInjectorWebhook", "enableNamespacesByDefault") === true;
}

/** Pods that run another proxy than the injector gives. */
export function checkProxyImages({ snapshot, written }: AnalysisContext): Issue[] {
  const pods = Map.groupBy(
    written.ofKind("Pod").filter((pod) => isInjected(pod.namespace, written)),
    ({ namespace }) => namespace,
  );
  const type = textOf(at(snapshot.meshConfig.defaultConfig.rest["image"], "imageType"));
  return [...pods].flatMap(([name, members]) => {
    const namespace = written.find("Namespace", "", name);
    const expected = expectedImage(written, namespace?.labels[revisionLabel] ?? "", type);
    if (namespace === undefined || expected === undefined) return [];
    const other = members.filter((pod) => {
      if (pod.annotations["sidecar.istio.io/proxyImage"] !== undefined) return false;
      const image = proxyOf(recordOf(at(pod.body, "spec")))?.["image"];
      return typeof image === "string" && image !== "auto" && image !== expected;
    });
    if (other.length === 0) return [];
    const shown = other.slice(0, 5).map((pod) => pod.name);
    const more = other.length > shown.length ? ` and ${other.length - shown.length} more` : "";
    const message = `the sidecars of ${shown.join(", ")}${more} are not ${expected}, which the injector gives now`;
    const fix = "start the pods again";
    return [namespace.issue({ code: "IST0158", severity: Severity.Warning, path: "metadata.name", message, fix })];
  });
}

function expectedImage(written: WrittenObjects, revision: string, type: string): string | undefined {
  const global = recordOf(injectorValues(written, revision)?.["global"]);
  const image = textOf(at(global, "proxy", "image"));
  if (image === "") return undefined;
  if (image.includes("/")) return image;
  const suffix = type || textOf(global["variant"]);
  const tag = textOf(global["tag"]);
  const ends = suffix === "" || suffix === "default" || tag.endsWith(`-${suffix}`);
  return `${textOf(global["hub"])}/${image}:${tag}${ends ? "" : `-${suffix}`}`;
}
