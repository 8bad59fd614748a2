// What goes into an injection and what comes out: the contract between the injector, the webhook and kube-inject.

import type { Issue } from "#base/issue.ts";
import type { KubernetesSelector } from "../objects/fields/selector.ts";
import type { JsonRecord, Pod } from "./pod.ts";
import type { WorkloadOwner } from "./workload-owner.ts";

/** A Kubernetes label selector. */
/** Key `config` of ConfigMap `istio-sidecar-injector`. */
export interface InjectorConfig {
  /** Whether pods that say nothing are injected. Default `enabled`. */
  readonly policy?: "enabled" | "disabled";
  readonly alwaysInjectSelector?: readonly KubernetesSelector[];
  readonly neverInjectSelector?: readonly KubernetesSelector[];
  /** Added to every injected pod. */
  readonly injectedAnnotations?: Readonly<Record<string, string>>;
  /** Templates of pods that name none. Default `[sidecar]`. */
  readonly defaultTemplates?: readonly string[];
  /** A name that stands for several templates. */
  readonly aliases?: Readonly<Record<string, readonly string[]>>;
  /** Templates of the user by name: a partial Pod as YAML, laid over the pod. */
  readonly templates?: Readonly<Record<string, string>>;
}

export interface InjectionContext {
  /** MeshConfig as JSON (ConfigMap `istio`, key `mesh`). Absent fields take Istio's defaults. */
  readonly meshConfig?: JsonRecord;
  /** Installation values as JSON (ConfigMap `istio-sidecar-injector`, key `values`). Absent fields take defaults. */
  readonly values?: JsonRecord;
  readonly config?: InjectorConfig;
  /** Default `default`. */
  readonly revision?: string;
  /** Overrides `values.global.multiCluster.clusterName`, as `/inject/cluster/<id>` does. */
  readonly clusterId?: string;
  /** Overrides `values.global.network`, as `/inject/net/<network>` does. */
  readonly network?: string;
  /** Further environment of the proxy, as other pairs in the webhook's path. */
  readonly injectedEnv?: Readonly<Record<string, string>>;
  /** The proxy as init container that keeps running (default), or as an ordinary container. */
  readonly nativeSidecars?: boolean;
  /** The proxy's user; where the platform assigns a range to each namespace. Default 1337. */
  readonly proxyUid?: number;
  readonly proxyGid?: number;
  /** What ProxyConfigs say about a workload: below its annotation `proxy.istio.io/config`, and above it. */
  readonly proxyConfigs?: (workload: InjectedWorkload) => ProxyConfigsOfWorkload;
  /** Which workload a pod belongs to, when its owner references do not say (kube-inject). */
  readonly owner?: WorkloadOwner;
}

interface InjectedWorkload {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

interface ProxyConfigsOfWorkload {
  readonly below: readonly JsonRecord[];
  readonly above: JsonRecord;
}

export interface InjectionInput {
  readonly pod: Pod;
  /** Namespace of the pod, which a pod in an admission request may lack. */
  readonly namespace: string;
  readonly context: InjectionContext;
}

/** The pod with the proxy, why it stays as it is, or what in it (or in the installation) is wrong. */
export type InjectionResult =
  | { readonly pod: Pod; readonly patchNeeded: boolean }
  | { readonly skipped: string }
  | { readonly issues: readonly Issue[] };
