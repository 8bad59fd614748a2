// The names of the mesh that this workload's DNS proxy answers: the control plane's name table, the shorter forms of
// Kubernetes' names, and wildcard hosts. Pure but for the table that was received last.
import { describeError } from "#base/error.ts";
import type { DeltaUpdate, Refusals } from "#wire/xds/delta-state.ts";
import { decodeNameTable, type NameInfo, type NameTable } from "#wire/xds/name-table.ts";

export interface MeshNamesOptions {
  /** Of the workload: names without a namespace are those of its own. */
  readonly namespace: string;
  /** `default.svc.cluster.local` or `svc.cluster.local` */
  readonly domain: string;
  /** Of resolv.conf: a client tries these suffixes first. */
  readonly searchDomains: readonly string[];
}

export interface FoundName {
  /** The host itself, where the client asked for it under a search domain. */
  readonly alias: string | undefined;
  readonly addresses: readonly string[];
}

export class MeshNames {
  readonly #options: MeshNamesOptions;
  /** Null before the first table. */
  #addressesByName: ReadonlyMap<string, readonly string[]> | null = null;

  constructor(options: MeshNamesOptions) {
    this.#options = options;
  }

  get isReady(): boolean {
    return this.#addressesByName !== null;
  }

  /** Takes a table from the control plane; one that cannot be read is refused and the last one stays. */
  update({ added }: DeltaUpdate): Refusals {
    const refusals = new Map<string, string>();
    for (const { name, resource } of added) {
      try {
        this.use(decodeNameTable(resource.value));
      } catch (error) {
        refusals.set(name, `the name table could not be read: ${describeError(error)}`);
      }
    }
    return refusals;
  }

  use(table: NameTable): void {
    const addresses = new Map<string, readonly string[]>();
    for (const [host, info] of table) {
      if (info.ips.length === 0) continue;
      for (const name of this.#namesOf(host.toLowerCase(), info)) addresses.set(name, info.ips);
    }
    this.#addressesByName = addresses;
  }

  /** Undefined for a name that is none of the mesh's. Names are in lower case, without the last dot. */
  find(name: string): FoundName | undefined {
    const addresses = this.#lookUp(name);
    if (addresses !== undefined) return { alias: undefined, addresses };
    const [search = ""] = this.#options.searchDomains;
    if (search === "" || !name.endsWith(`.${search}`)) return undefined;
    const alias = name.slice(0, -search.length - 1);
    const behind = this.#lookUp(alias);
    return behind && { alias, addresses: behind };
  }

  #lookUp(name: string): readonly string[] | undefined {
    const exact = this.#addressesByName?.get(name);
    if (exact !== undefined) return exact;
    for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1)) {
      const wildcard = this.#addressesByName?.get(`*${name.slice(dot)}`);
      if (wildcard !== undefined) return wildcard;
    }
    return undefined;
  }

  /** `web.default.svc.cluster.local`, `web.default.svc`, `web.default`, and `web` within the namespace. */
  #namesOf(host: string, { registry, shortName, namespace }: NameInfo): string[] {
    const domain = this.#serviceDomain();
    if (registry !== "Kubernetes" || !host.endsWith(`.${domain}`)) return [host];
    const short = shortName.toLowerCase();
    const names = [host, `${short}.${namespace}`, `${short}.${namespace}.${domain.split(".")[0] ?? ""}`];
    return namespace === this.#options.namespace ? [...names, short] : names;
  }

  #serviceDomain(): string {
    const { domain, namespace } = this.#options;
    return domain.startsWith(`${namespace}.`) ? domain.slice(namespace.length + 1) : domain;
  }
}
