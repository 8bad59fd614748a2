// Injection against Istio's public golden files. Level 1: containers in order, annotations, labels. Level 2: probes,
// security context, volumes, resources. Level 3: arguments and environment.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parse, parseAllDocuments } from "yaml";
import { injectYaml } from "./inject-yaml.ts";
import type { InjectionContext } from "./injection.ts";
import { isRecord } from "./pod.ts";

interface Case {
  readonly id: string;
  readonly inputYaml: string;
  readonly goldenFile?: string;
  readonly goldenYaml?: string;
  readonly setFlags?: readonly string[];
  readonly iopYaml?: string;
  readonly meshConfigOverride?: Record<string, unknown>;
  readonly featureFlags?: Readonly<Record<string, unknown>>;
  readonly expectedError?: string;
  readonly expectedLog?: string;
}

type Record_ = Record<string, unknown>;

/** Levels at which a case is not compared, and why. */
const unrecorded = "the case carries no settings of its own, and its golden file needs some";
const reinjection = "an injected pod is injected afresh; upstream keeps fields of the old proxy container";
const jobMetadata = "upstream annotates the job template, where pods do not see it; we annotate the pod template";
const exceptions: Readonly<Record<string, { levels: readonly number[]; reason: string }>> = {
  "inject/TestInjection/024-cronjob.yaml.injected": { levels: [1], reason: jobMetadata },
  "inject/TestInjectionOlderVersion/001-cronjob-old-version.yaml.injected": { levels: [1], reason: jobMetadata },
  "inject/TestInjection/056-merge-probers.yaml.injected": { levels: [2, 3], reason: reinjection },
  "inject/TestInjection/122-merge-probers.yaml.injected": { levels: [2, 3], reason: reinjection },
  "inject/TestInjection/057-hello-tracing-disabled.yaml.injected": {
    levels: [3],
    reason: "the empty tracing block is set outside the recorded mesh configuration",
  },
  "inject/TestInjection/061-hello-openshift-custom-injection.yaml.injected": {
    levels: [1, 2, 3],
    reason: "OpenShift's own default UID in the user's proxy container is honoured, not dropped",
  },
  "inject/TestInjection/100-hello-openshift-custom-injection.yaml.injected": { levels: [1, 2, 3], reason: unrecorded },
  "inject/TestInjection/069-sidecar-spire.yaml.injected": {
    levels: [1, 2, 3],
    reason: "upstream's pod has two containers named istio-proxy, which an API server refuses; we merge them",
  },
  "inject/TestInjection/089-grpc-simple.yaml.injected": {
    levels: [0, 1, 2, 3],
    reason: "template grpc-simple (proxyless gRPC) is not built in",
  },
  "inject/TestInjection/091-hello-existing-cncf-networks.yaml.injected": { levels: [1, 2, 3], reason: unrecorded },
  "inject/TestInjection/101-hello-openshift-tproxy.yaml.injected": { levels: [1, 2, 3], reason: unrecorded },
  "inject/TestInjection/104-hello-probes-localhost.yaml.injected": { levels: [3], reason: unrecorded },
  "inject/TestInjection/138-proxy-resources-memory-null.yaml.injected": { levels: [2], reason: unrecorded },
  "inject/TestInjection/139-proxy-resources-mixed-null.yaml.injected": { levels: [2], reason: unrecorded },
};

const dataFile = join(import.meta.dirname, "../../../../shared/testdata/injection.json");

describe("injection compared with Istio's golden files", { skip: !existsSync(dataFile) && "no test data here" }, () => {
  const cases: Case[] = existsSync(dataFile)
    ? (JSON.parse(readFileSync(dataFile, "utf8")) as { cases: Case[] }).cases
    : [];
  const passed = [0, 0, 0, 0];
  for (const current of cases) {
    test(current.id, () => {
      const left = exceptions[current.id]?.levels ?? [];
      if (left.includes(0)) return;
      const result = injectYaml(current.inputYaml, { context: contextFor(current, cases) });
      if (current.goldenYaml === undefined) {
        assert.notEqual(result.issues.length, 0, "the input is refused");
        return;
      }
      assert.deepEqual(result.issues, []);
      const ours = podsOf(result.text);
      const golden = podsOf(current.goldenYaml);
      for (const level of [1, 2, 3] as const) {
        if (left.includes(level)) continue;
        assert.deepEqual(
          ours.map((pod) => project(pod, level)),
          golden.map((pod) => project(pod, level)),
          `level ${level}`,
        );
        passed[level] = (passed[level] ?? 0) + 1;
      }
    });
  }
  test("counts per level", (t) => {
    t.diagnostic(`level 1: ${passed[1]}, level 2: ${passed[2]}, level 3: ${passed[3]} of ${cases.length}`);
  });
});

/** Cases of the older-version series carry no settings of their own: a sibling with the same golden file lends them. */
function contextFor(current: Case, cases: readonly Case[]): InjectionContext {
  const hasSettings = (item: Case): boolean =>
    (item.setFlags ?? item.iopYaml ?? item.meshConfigOverride ?? item.featureFlags) !== undefined;
  const lender = hasSettings(current)
    ? current
    : (cases.find((item) => item.goldenYaml === current.goldenYaml && hasSettings(item)) ?? current);
  const values: Record_ = {
    global: { hub: "registry.istio.io/testing", tag: "latest", proxy: { image: "proxyv2" } },
  };
  const iop: unknown = lender.iopYaml === undefined ? {} : parse(lender.iopYaml);
  mergeInto(values, at(iop, ["spec", "values"]));
  for (const flag of lender.setFlags ?? []) {
    const [path = "", value = ""] = flag.split("=");
    const fields = path.split(".");
    if (fields[0] === "values") fields.shift();
    if (fields[0] === "components") fields.splice(0, 1, "pilot");
    if (fields[0] === "cni") fields.unshift("pilot");
    setAt(values, fields, value === "true" ? true : value);
  }
  const userTemplates = at(values, ["sidecarInjectorWebhook", "templates"]);
  const older =
    current.id.includes("OlderVersion") || lender.featureFlags?.["features.EnableNativeSidecars"] !== undefined;
  const openshift = lender.featureFlags?.["env:PLATFORM"] === "openshift";
  return {
    values,
    meshConfig: { ...lender.meshConfigOverride },
    config: isRecord(userTemplates) ? { templates: userTemplates as Record<string, string> } : {},
    nativeSidecars: !older,
    ...(openshift && { proxyUid: 1000629999 }),
  };
}

function podsOf(text: string): Record_[] {
  return parseAllDocuments(text, { version: "1.1" }).flatMap((document) => podsIn(document.toJS()));
}

function podsIn(object: unknown): Record_[] {
  if (!isRecord(object)) return [];
  if (Array.isArray(object["items"])) return object["items"].flatMap(podsIn);
  const template = at(object, ["spec", "jobTemplate", "spec", "template"]) ?? at(object, ["spec", "template"]);
  if (isRecord(template)) return [template];
  return object["kind"] === "Pod" ? [object] : [];
}

function project(pod: Record_, level: 1 | 2 | 3): unknown {
  const spec = (pod["spec"] ?? {}) as Record_;
  const containers = (field: string, view: (container: Record_) => unknown): unknown =>
    ((spec[field] ?? []) as Record_[]).map(view);
  if (level === 1) {
    const metadata = (pod["metadata"] ?? {}) as Record_;
    const annotations = Object.entries((metadata["annotations"] ?? {}) as Record<string, string>).map(
      ([name, value]) => [name, readJson(value)] as const,
    );
    return {
      containers: containers("containers", (container) => [container["name"], container["image"]]),
      initContainers: containers("initContainers", (container) => [container["name"], container["image"]]),
      annotations: Object.fromEntries(annotations),
      labels: metadata["labels"] ?? {},
    };
  }
  if (level === 2) {
    const fields = [
      "livenessProbe",
      "readinessProbe",
      "startupProbe",
      "lifecycle",
      "securityContext",
      "resources",
      "volumeMounts",
      "ports",
      "restartPolicy",
    ];
    const view = (container: Record_): unknown =>
      fields.map((field) => normal(container[field] ?? (field === "resources" ? {} : undefined)));
    return {
      containers: containers("containers", view),
      initContainers: containers("initContainers", view),
      volumes: ((spec["volumes"] ?? []) as Record_[]).map((volume) =>
        Object.keys(volume).length === 1 ? { ...volume, emptyDir: {} } : volume,
      ),
      securityContext: spec["securityContext"],
      imagePullSecrets: spec["imagePullSecrets"],
    };
  }
  const view = (container: Record_): unknown => [
    container["command"],
    container["args"],
    ((container["env"] ?? []) as Record_[]).map((variable) => ({
      ...variable,
      value: readJson(variable["value"] ?? ""),
    })),
  ];
  return { containers: containers("containers", view), initContainers: containers("initContainers", view) };
}

/** Quantities in their shortest form, as an API server writes them. */
function normal(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(normal);
  if (isRecord(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, normal(item)]));
  if (typeof value !== "string") return value;
  if (/^\d+000m$/.test(value)) return value.slice(0, -4);
  if (/^\d+Mi$/.test(value) && Number(value.slice(0, -2)) % 1024 === 0) return `${Number(value.slice(0, -2)) / 1024}Gi`;
  return value;
}

function readJson(value: unknown): unknown {
  if (typeof value !== "string" || !/^\s*[[{]/.test(value)) return value;
  try {
    return normal(JSON.parse(value));
  } catch {
    return value;
  }
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((below, field) => (isRecord(below) ? below[field] : undefined), value);
}

function setAt(target: Record_, path: readonly string[], value: unknown): void {
  const [field, ...rest] = path;
  if (field === undefined) return;
  if (rest.length === 0) target[field] = value;
  else setAt((target[field] ??= {}) as Record_, rest, value);
}

function mergeInto(target: Record_, source: unknown): void {
  if (!isRecord(source)) return;
  for (const [field, value] of Object.entries(source)) {
    if (isRecord(value)) mergeInto((target[field] ??= {}) as Record_, value);
    else target[field] = value;
  }
}
