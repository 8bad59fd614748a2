// The injector's settings as they stand in the cluster: ConfigMap `istio` (key `mesh`) and ConfigMap
// `istio-sidecar-injector` (keys `config` and `values`). Read again when one of them changes; one that cannot be read
// keeps its last good form.
import { parse } from "yaml";
import { describeError } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import type { InjectionContext, InjectorConfig } from "#mesh/inject/injection.ts";
import { isRecord, type JsonRecord } from "#mesh/inject/pod.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";

export interface InjectionSettingsOptions {
  readonly revision: string;
  readonly findConfigMap: (name: string) => KubernetesObject | undefined;
  /** What installations without the ConfigMaps use. */
  readonly defaults?: InjectionContext;
  readonly log: Logger;
}

export class InjectionSettings {
  readonly #options: InjectionSettingsOptions;
  readonly #parsed = new Map<string, { text: string; value: JsonRecord | undefined }>();

  constructor(options: InjectionSettingsOptions) {
    this.#options = options;
  }

  current(): InjectionContext {
    const { revision, findConfigMap, defaults } = this.#options;
    const suffix = revision === "default" || revision === "" ? "" : `-${revision}`;
    const mesh = data(findConfigMap(`istio${suffix}`));
    const injector = data(findConfigMap(`istio-sidecar-injector${suffix}`));
    const meshConfig = this.#parse("mesh", mesh["mesh"]);
    const values = this.#parse("values", injector["values"]);
    const config = this.#parse("config", injector["config"]) as InjectorConfig | undefined;
    return {
      ...defaults,
      revision: revision === "" ? "default" : revision,
      ...(meshConfig !== undefined && { meshConfig }),
      ...(values !== undefined && { values }),
      ...(config !== undefined && { config }),
    };
  }

  #parse(key: string, text: unknown): JsonRecord | undefined {
    if (typeof text !== "string") return undefined;
    const known = this.#parsed.get(key);
    if (known?.text === text) return known.value;
    let value = known?.value;
    try {
      const parsed: unknown = parse(text, { version: "1.1" });
      if (isRecord(parsed)) value = parsed;
      else if (parsed === null) value = {};
    } catch (error) {
      this.#options.log.error("injection setting cannot be read; the last good one stays", {
        key,
        error: describeError(error),
      });
    }
    this.#parsed.set(key, { text, value });
    return value;
  }
}

function data(configMap: KubernetesObject | undefined): Readonly<Record<string, unknown>> {
  const content = configMap?.["data"];
  return isRecord(content) ? content : {};
}
