// Route configurations by name, as RDS delivered them. A stream reads the current one when its headers arrive and keeps
// it to its end.
import type { RouteConfig } from "../config/http.ts";

export class RouteStore {
  readonly #byName = new Map<string, RouteConfig>();

  get(name: string): RouteConfig | undefined {
    return this.#byName.get(name);
  }

  set(config: RouteConfig): void {
    this.#byName.set(config.name, config);
  }

  remove(name: string): void {
    this.#byName.delete(name);
  }

  names(): string[] {
    return [...this.#byName.keys()];
  }
}
