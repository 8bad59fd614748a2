// The open streams.
import type { Clock } from "#base/time/clock.ts";
import type { ProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { ProxyConnection } from "./connection.ts";

/** All streams of one control plane, over all of its ports. */
export class ConnectionTable {
  readonly #connections = new Map<string, ProxyConnection>();
  #onProgress: () => void = () => {};
  #count = 0;

  nextId(node: ProxyNode): string {
    return `${node.name}.${node.namespace}-${++this.#count}`;
  }

  get size(): number {
    return this.#connections.size;
  }

  values(): Iterable<ProxyConnection> {
    return this.#connections.values();
  }

  add(connection: ProxyConnection): void {
    this.#connections.set(connection.info.id, connection);
    this.#onProgress();
  }

  remove(connection: ProxyConnection): void {
    this.#connections.delete(connection.info.id);
    this.#onProgress();
  }

  /** Ends all streams, one after the other, evenly over the time. Resolves when the last is asked to end. */
  async closeAll(durationMs: number, clock: Clock): Promise<void> {
    const all = [...this.#connections.values()];
    const started = clock.now();
    for (const [index, connection] of all.entries()) {
      const dueMs = started + (durationMs * index) / all.length;
      if (dueMs > clock.now()) await new Promise<void>((resolve) => clock.after(dueMs - clock.now(), resolve));
      connection.close();
    }
  }

  /** Calls back when a proxy comes, goes, accepts or rejects something. */
  watchProgress(onProgress: () => void): void {
    this.#onProgress = onProgress;
  }

  /** A proxy accepted or rejected something. */
  progressed(): void {
    this.#onProgress();
  }
}
