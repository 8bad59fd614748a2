// IST0139, IST0163, IST0164: webhooks through which an API server asks a control plane.
import { type Issue, Severity } from "#base/issue.ts";
import { ipVersion } from "#base/net/ip-version.ts";
import { type KubernetesSelector, type Labels, matchesKubernetesSelector } from "../objects/fields/selector.ts";
import {
  type AnalysisContext,
  at,
  type JsonRecord,
  recordOf,
  recordsOf,
  textOf,
  type WrittenObject,
} from "./context.ts";

const revisionLabel = "istio.io/rev";

interface Webhook {
  readonly configuration: WrittenObject;
  readonly entry: JsonRecord;
  readonly path: string;
  readonly name: string;
}

/** A pod that two injectors see gets two sidecars, and one whose injector is not there does not start. */
export function checkWebhooks({ written }: AnalysisContext): Issue[] {
  const webhooks = written.ofKind("MutatingWebhookConfiguration").flatMap((configuration) => {
    const entries = webhooksOf(configuration);
    const isOurs = entries.some(({ name }) => name.endsWith("istio.io")) || revisionsOf(configuration).length > 0;
    return isOurs ? entries : [];
  });
  const revisions = [...new Set(webhooks.flatMap(({ configuration }) => revisionsOf(configuration)))];
  const namespaces = withRevisions(
    [{}, { "istio-injection": "enabled" }, { "istio-injection": "disabled" }],
    revisions,
  );
  const inject = "sidecar.istio.io/inject";
  const pods = withRevisions([{}, { [inject]: "true" }, { [inject]: "false" }], revisions);
  const overlaps = new Map<Webhook, Set<Webhook>>();
  for (const namespace of namespaces) {
    for (const pod of pods) {
      const asked = webhooks.filter(({ entry }) => selects(entry, namespace, pod));
      for (const webhook of asked.length > 1 ? asked : []) {
        const others = overlaps.get(webhook) ?? new Set();
        for (const other of asked) if (other !== webhook) others.add(other);
        overlaps.set(webhook, others);
      }
    }
  }
  return [
    ...[...overlaps].map(([{ configuration, path }, others]) => {
      const names = [...others].map((other) => `${other.configuration.name}/${other.name}`).sort();
      const message = `pods that it selects are selected by ${names.join(", ")} too: they would be injected twice`;
      return configuration.issue({ code: "IST0139", path, message, fix: "remove the older installation's webhooks" });
    }),
    ...webhooks.flatMap(({ configuration, entry, path }) => {
      const service = recordOf(at(entry, "clientConfig", "service"));
      const [namespace, name] = [textOf(service["namespace"]), textOf(service["name"])];
      if (name === "" || written.find("Service", namespace, name) !== undefined) return [];
      // Files that hold no Service of a control plane say nothing about it.
      if (!written.ofKind("Service").some((object) => object.namespace === namespace)) return [];
      const message = `the injector is the Service ${namespace}/${name}, which does not exist`;
      return [configuration.issue({ code: "IST0139", path: `${path}.clientConfig.service`, message })];
    }),
  ];
}

/** Webhooks of a control plane outside of the cluster have to name its host. */
export function checkExternalControlPlane({ written }: AnalysisContext): Issue[] {
  const kinds = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];
  return kinds.flatMap((kind) =>
    written
      .ofKind(kind)
      .filter(({ name }) => name.endsWith("-external-istiod"))
      .flatMap(webhooksOf)
      .flatMap(({ configuration, entry, path }) => {
        const url = textOf(at(entry, "clientConfig", "url"));
        const report = (code: string, severity: Severity, message: string, fix: string): Issue[] => [
          configuration.issue({ code, severity, path: `${path}.clientConfig.url`, message, fix }),
        ];
        const host = URL.parse(url)?.hostname.replaceAll(/^\[|\]$/g, "") ?? "";
        const fix = "the URL of the external control plane, as https://istiod.example.com:15017/inject";
        if (url === "")
          return report("IST0163", Severity.Warning, "the webhook of an external control plane has no URL", fix);
        if (host === "") return report("IST0163", Severity.Warning, `"${url}" is not a URL with a host`, fix);
        if (ipVersion(host) === undefined) return [];
        const message = `${host} is an address: certificates and moves of the control plane want a name`;
        return report("IST0164", Severity.Info, message, "a host name");
      }),
  );
}

function webhooksOf(configuration: WrittenObject): Webhook[] {
  return recordsOf(configuration.body["webhooks"]).map((entry, index) => ({
    configuration,
    entry,
    path: `webhooks[${index}]`,
    name: textOf(entry["name"]),
  }));
}

function revisionsOf({ labels, body }: WrittenObject): string[] {
  const own = labels[revisionLabel] === undefined ? [] : [labels[revisionLabel]];
  const selectors = recordsOf(body["webhooks"]).flatMap((entry) => [
    entry["namespaceSelector"],
    entry["objectSelector"],
  ]);
  return [
    ...own,
    ...selectors.flatMap((selector) => {
      const label = textOf(at(selector, "matchLabels", revisionLabel));
      const values = recordsOf(at(selector, "matchExpressions")).flatMap(({ key, values: list }) =>
        key === revisionLabel && Array.isArray(list) ? list.map(textOf) : [],
      );
      return label === "" ? values : [label, ...values];
    }),
  ];
}

function withRevisions(bases: readonly Labels[], revisions: readonly string[]): Labels[] {
  return bases.flatMap((base) => [base, ...revisions.map((revision) => ({ ...base, [revisionLabel]: revision }))]);
}

function selects(entry: JsonRecord, namespace: Labels, pod: Labels): boolean {
  const matches = (selector: unknown, labels: Labels): boolean =>
    selector === undefined || selector === null || matchesKubernetesSelector(selector as KubernetesSelector, labels);
  return matches(entry["namespaceSelector"], namespace) && matches(entry["objectSelector"], pod);
}
