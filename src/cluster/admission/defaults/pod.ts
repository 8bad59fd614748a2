// Defaults of a pod's spec, as Kubernetes fills them (k8s.io/kubernetes pkg/apis/core/v1/defaults.go).

import type { JsonRecord } from "../../store/json.ts";
import { mapField, mapItems, textOf, withDefaults } from "./fields.ts";

/** For pods and for templates of pods. */
export function defaultPodSpec(given: JsonRecord): JsonRecord {
  let spec = withDefaults(given, {
    restartPolicy: "Always",
    terminationGracePeriodSeconds: 30,
    dnsPolicy: "ClusterFirst",
    schedulerName: "default-scheduler",
    securityContext: {},
  });
  spec = mapItems(spec, "initContainers", defaultContainer);
  spec = mapItems(spec, "containers", defaultContainer);
  return mapItems(spec, "volumes", defaultVolume);
}

/** What only a pod has, not a template. */
export function defaultPod(object: JsonRecord, stored: JsonRecord | undefined): JsonRecord {
  const pod = stored === undefined ? { ...object, status: { phase: "Pending" } } : object;
  return mapField(pod, "spec", (given) => {
    const account = textOf(given["serviceAccountName"]) || textOf(given["serviceAccount"]) || "default";
    const spec = withDefaults(defaultPodSpec(given), { enableServiceLinks: true });
    if (spec["serviceAccountName"] === account && spec["serviceAccount"] === account) return spec;
    return { ...spec, serviceAccountName: account, serviceAccount: account };
  });
}

function defaultContainer(given: JsonRecord): JsonRecord {
  const image = textOf(given["image"]);
  const tag = image.includes("@") ? "digest" : (/:([^:/]+)$/.exec(image)?.[1] ?? "latest");
  let container = withDefaults(given, {
    imagePullPolicy: tag === "latest" ? "Always" : "IfNotPresent",
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    resources: {},
  });
  container = mapItems(container, "ports", (port) => withDefaults(port, { protocol: "TCP" }));
  container = mapItems(container, "env", (variable) =>
    mapField(variable, "valueFrom", (from) => mapField(from, "fieldRef", defaultFieldRef)),
  );
  for (const probe of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    container = mapField(container, probe, defaultProbe);
  }
  return mapField(container, "lifecycle", (lifecycle) =>
    mapField(mapField(lifecycle, "postStart", defaultHttpGet), "preStop", defaultHttpGet),
  );
}

function defaultProbe(given: JsonRecord): JsonRecord {
  const probe = withDefaults(given, { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 });
  return defaultHttpGet(mapField(probe, "grpc", (grpc) => withDefaults(grpc, { service: "" })));
}

function defaultHttpGet(action: JsonRecord): JsonRecord {
  return mapField(action, "httpGet", (get) => withDefaults(get, { path: "/", scheme: "HTTP" }));
}

function defaultFieldRef(reference: JsonRecord): JsonRecord {
  return withDefaults(reference, { apiVersion: "v1" });
}

const volumeSources = ["configMap", "secret", "projected", "downwardAPI"];

function defaultVolume(given: JsonRecord): JsonRecord {
  if (Object.keys(given).length === 1 && given["name"] !== undefined) return { ...given, emptyDir: {} };
  let volume = given;
  for (const source of volumeSources) {
    volume = mapField(volume, source, (value) => withDefaults(defaultItems(value), { defaultMode: 0o644 }));
  }
  return mapField(volume, "projected", (projected) =>
    mapItems(projected, "sources", (source) =>
      mapField(
        mapField(source, "serviceAccountToken", (token) => withDefaults(token, { expirationSeconds: 3600 })),
        "downwardAPI",
        defaultItems,
      ),
    ),
  );
}

function defaultItems(source: JsonRecord): JsonRecord {
  return mapItems(source, "items", (item) => mapField(item, "fieldRef", defaultFieldRef));
}
