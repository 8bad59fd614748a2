// What every namespace has: the service account `default` and the cluster's CA in `kube-root-ca.crt`.

import type { Running } from "#base/lifecycle.ts";
import { asRecord, jsonEqual } from "../../store/json.ts";
import { configMaps, namespaces, serviceAccounts } from "../../store/resources.ts";
import type { ObjectStore } from "../../store/store.ts";
import { runController } from "../controller.ts";
import type { ControllerContext } from "../options.ts";

const caName = "kube-root-ca.crt";

export function startNamespaceContent(context: ControllerContext, caPem: string): Running {
  const { store } = context;
  return runController(context, {
    name: "namespace-content",
    triggers: [
      { resource: namespaces, keys: (namespace) => [namespace.metadata.name] },
      {
        resource: serviceAccounts,
        keys: ({ metadata }) => (metadata.name === "default" ? [metadata.namespace ?? ""] : []),
      },
      { resource: configMaps, keys: ({ metadata }) => (metadata.name === caName ? [metadata.namespace ?? ""] : []) },
    ],
    reconcile: (name) => {
      const namespace = store.get(namespaces, "", name);
      if (namespace !== undefined && namespace.metadata.deletionTimestamp === undefined)
        ensureContent(store, name, caPem);
    },
  });
}

/** Makes what is absent, and puts the right CA into the ConfigMap. */
export function ensureContent(store: ObjectStore, namespace: string, caPem: string): void {
  if (store.get(serviceAccounts, namespace, "default") === undefined) {
    store.create(serviceAccounts, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "default", namespace },
    });
  }
  const data = { "ca.crt": caPem };
  const map = store.get(configMaps, namespace, caName);
  if (map === undefined) {
    const annotations = {
      "kubernetes.io/description": "The CA that signs the certificate of the cluster's API server.",
    };
    store.create(configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: caName, namespace, annotations },
      data,
    });
  } else if (!jsonEqual(asRecord(map["data"]), data)) {
    store.update(configMaps, { ...map, data });
  }
}
