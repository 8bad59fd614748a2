// HOT: per chunk, where a filter reads along. Filters that see and change the bytes of a connection, in order: what the
// client sends passes them from the first to the last, what it is sent from the last to the first.
import type { Transport, TransportFilter } from "../transport/transport.ts";

export class ByteFilters implements TransportFilter {
  readonly #transport: Transport;
  readonly #filters: TransportFilter[] = [];

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Puts a filter behind those that are there. */
  static add(transport: Transport, filter: TransportFilter): ByteFilters {
    const filters = transport.filter instanceof ByteFilters ? transport.filter : new ByteFilters(transport);
    filters.#filters.push(filter);
    transport.filter = filters;
    return filters;
  }

  get isFull(): boolean {
    return this.#filters.some((filter) => filter.isFull);
  }

  onRead(data: Buffer): Buffer | null {
    return this.#read(0, data);
  }

  #read(from: number, data: Buffer): Buffer | null {
    let bytes = data;
    for (let i = from; i < this.#filters.length; i++) {
      const next = this.#filters[i]!.onRead(bytes);
      if (next === null) return null;
      bytes = next;
    }
    return bytes;
  }

  onReadEnd(): boolean {
    return this.#filters.every((filter) => filter.onReadEnd());
  }

  onWrite(data: Buffer): Buffer | null {
    return this.#write(this.#filters.length - 1, data);
  }

  #write(from: number, data: Buffer): Buffer | null {
    let bytes = data;
    for (let i = from; i >= 0; i--) {
      const next = this.#filters[i]!.onWrite(bytes);
      if (next === null) return null;
      bytes = next;
    }
    return bytes;
  }

  onWriteEnd(): boolean {
    return this.#writeEnd(this.#filters.length - 1);
  }

  #writeEnd(from: number): boolean {
    for (let i = from; i >= 0; i--) if (!this.#filters[i]!.onWriteEnd()) return false;
    return true;
  }

  /** What a filter had kept of the client's bytes goes on. */
  deliver(filter: TransportFilter, data: Buffer): void {
    const bytes = this.#read(this.#filters.indexOf(filter) + 1, data);
    if (bytes !== null) this.#transport.user?.onTransportData(bytes);
  }

  /** The client's end, which a filter had held back, goes on. */
  deliverEnd(filter: TransportFilter): void {
    const rest = this.#filters.slice(this.#filters.indexOf(filter) + 1);
    if (rest.every((it) => it.onReadEnd())) this.#transport.user?.onTransportEnd();
  }

  /** What a filter had kept on its way to the client goes on. Writers that wait may go on too. */
  send(filter: TransportFilter, data: Buffer): void {
    const bytes = this.#write(this.#filters.indexOf(filter) - 1, data);
    if (bytes !== null && !this.#transport.isClosed) this.#transport.send(bytes);
    if (!this.isFull && !this.#transport.isCongested) this.#transport.user?.onTransportDrain();
  }

  sendEnd(filter: TransportFilter): void {
    if (this.#writeEnd(this.#filters.indexOf(filter) - 1)) this.#transport.sendEnd();
  }
}
