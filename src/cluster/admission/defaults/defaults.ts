// The defaults of each kind, by resource. Kinds that are not named here have none.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asRecord, isRecord, type JsonRecord } from "../../store/json.ts";
import { formatResource } from "../../store/resources.ts";
import type { ResourceKey } from "../../store/store.ts";
import { mapField, mapItems, withDefaults } from "./fields.ts";
import { defaultPod } from "./pod.ts";
import { defaultService } from "./service.ts";
import { defaultDaemonSet, defaultDeployment, defaultJob, defaultReplicaSet, defaultStatefulSet } from "./workload.ts";

type Defaulter = (object: JsonRecord, stored: JsonRecord | undefined) => JsonRecord;

const defaulters: Readonly<Record<string, Defaulter>> = {
  pods: defaultPod,
  services: defaultService,
  secrets: defaultSecret,
  namespaces: defaultNamespace,
  "deployments.apps": defaultDeployment,
  "replicasets.apps": defaultReplicaSet,
  "statefulsets.apps": defaultStatefulSet,
  "daemonsets.apps": defaultDaemonSet,
  "jobs.batch": defaultJob,
  "endpointslices.discovery.k8s.io": defaultEndpointSlice,
  "customresourcedefinitions.apiextensions.k8s.io": defaultDefinition,
  "mutatingwebhookconfigurations.admissionregistration.k8s.io": defaultWebhooks,
  "validatingwebhookconfigurations.admissionregistration.k8s.io": defaultWebhooks,
  "rolebindings.rbac.authorization.k8s.io": defaultBinding,
  "clusterrolebindings.rbac.authorization.k8s.io": defaultBinding,
};

/** Fills what the writer left out. The stored object is given on updates. */
export function applyDefaults(
  resource: ResourceKey,
  object: KubernetesObject,
  stored: KubernetesObject | undefined,
): KubernetesObject {
  const defaulter = defaulters[formatResource(resource)];
  if (defaulter === undefined) return object;
  return {
    ...defaulter(object, stored),
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: metadataOf(defaulter, object),
  };
}

function metadataOf(defaulter: Defaulter, object: KubernetesObject): KubernetesObject["metadata"] {
  if (defaulter !== defaultNamespace) return object.metadata;
  const labels = { ...object.metadata.labels, "kubernetes.io/metadata.name": object.metadata.name };
  return { ...object.metadata, labels };
}

function defaultNamespace(object: JsonRecord, stored: JsonRecord | undefined): JsonRecord {
  // The finalizer is not for users to take away: it is what empties the namespace before it goes.
  if (stored !== undefined) return { ...object, spec: stored["spec"] };
  return withDefaults({ ...object, status: { phase: "Active" } }, { spec: { finalizers: ["kubernetes"] } });
}

function defaultSecret(object: JsonRecord): JsonRecord {
  const { stringData, ...rest } = object;
  const secret = withDefaults(rest, { type: "Opaque" });
  if (!isRecord(stringData)) return secret;
  const encoded = Object.entries(stringData).map(([key, text]) => [key, Buffer.from(String(text)).toString("base64")]);
  return { ...secret, data: { ...asRecord(secret["data"]), ...Object.fromEntries(encoded) } };
}

function defaultEndpointSlice(object: JsonRecord): JsonRecord {
  return mapItems(object, "ports", (port) => withDefaults(port, { name: "", protocol: "TCP" }));
}

function defaultWebhooks(object: JsonRecord): JsonRecord {
  return mapItems(object, "webhooks", (given) => {
    const webhook = withDefaults(given, {
      failurePolicy: "Fail",
      matchPolicy: "Equivalent",
      timeoutSeconds: 10,
      namespaceSelector: {},
      objectSelector: {},
      ...(object["kind"] === "MutatingWebhookConfiguration" ? { reinvocationPolicy: "Never" } : {}),
    });
    const scoped = mapItems(webhook, "rules", (rule) => withDefaults(rule, { scope: "*" }));
    return mapField(scoped, "clientConfig", (client) =>
      mapField(client, "service", (service) => withDefaults(service, { port: 443 })),
    );
  });
}

/** A definition is served from the moment it is stored. */
function defaultDefinition(object: JsonRecord): JsonRecord {
  const names = asRecord(asRecord(object["spec"])["names"]);
  const condition = (type: string): JsonRecord => ({ type, status: "True", reason: "Accepted", message: "" });
  const conditions = [condition("NamesAccepted"), condition("Established")];
  return { ...object, status: { acceptedNames: names, conditions, storedVersions: [] } };
}

function defaultBinding(object: JsonRecord): JsonRecord {
  const group = "rbac.authorization.k8s.io";
  const bound = mapItems(object, "subjects", (subject) =>
    withDefaults(subject, { apiGroup: subject["kind"] === "ServiceAccount" ? "" : group }),
  );
  return mapField(bound, "roleRef", (reference) => withDefaults(reference, { apiGroup: group }));
}
