// Settings of filters that come by themselves, over ECDS: a filter in a chain names the resource, and takes what is
// there when a stream or connection begins. Nothing is drained when they change.
import type { HttpFilterConfig } from "./http.ts";
import type { NetworkFilterConfig } from "./listener.ts";

/** Where the settings of a filter come from. */
export interface FilterDiscovery<Filter> {
  /** Of the resource, which is also the filter's own name. */
  readonly resource: string;
  /** Messages that it may be; others are refused. */
  readonly typeNames: ReadonlySet<string>;
  /** Until something comes, and when what was there is gone. Null: the filter then lets nothing pass. */
  readonly fallback: Filter | null;
  /** The listener does not wait for the resource. */
  readonly appliesFallbackAtOnce: boolean;
  /** The listener waits for it as long as it takes. */
  readonly isPatient: boolean;
}

/** An ECDS resource. Some messages are filters of both kinds. */
export interface ExtensionConfig {
  readonly name: string;
  readonly typeName: string;
  readonly http: HttpFilterConfig | null;
  readonly network: NetworkFilterConfig | null;
}

export interface ExtensionSource {
  /** Differs after every change. */
  readonly version: number;
  get(name: string): ExtensionConfig | undefined;
}

export class ExtensionStore implements ExtensionSource {
  readonly #byName = new Map<string, ExtensionConfig>();
  version = 0;

  get(name: string): ExtensionConfig | undefined {
    return this.#byName.get(name);
  }

  set(config: ExtensionConfig): void {
    this.#byName.set(config.name, config);
    this.version++;
  }

  remove(name: string): void {
    if (this.#byName.delete(name)) this.version++;
  }
}

/** The filter with the settings that it has now; null while it has none. */
export function settledHttpFilter(
  filter: HttpFilterConfig,
  extensions: Pick<ExtensionSource, "get">,
): HttpFilterConfig | null {
  return filter.discovery === undefined ? filter : discovered(filter.discovery, extensions, ({ http }) => http);
}

export function settledNetworkFilter(
  filter: NetworkFilterConfig,
  extensions: Pick<ExtensionSource, "get">,
): NetworkFilterConfig | null {
  return filter.discovery === undefined ? filter : discovered(filter.discovery, extensions, ({ network }) => network);
}

function discovered<Filter>(
  { resource, typeNames, fallback }: FilterDiscovery<Filter>,
  extensions: Pick<ExtensionSource, "get">,
  filterOf: (config: ExtensionConfig) => Filter | null,
): Filter | null {
  const found = extensions.get(resource);
  if (found === undefined || !typeNames.has(found.typeName)) return fallback;
  return filterOf(found) ?? fallback;
}
