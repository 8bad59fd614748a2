// Queues that plugins share, by VM id and name. The root context that registered a queue last is told of new items, in a
// turn of its own: never while another module is running.
import { Status } from "./abi.ts";
import { wasmLimits } from "./limits.ts";

/** Who is told that a queue has something. */
export interface QueueReader {
  onQueueReady(token: number): void;
}

interface SharedQueue {
  readonly items: Buffer[];
  bytes: number;
  reader: QueueReader | null;
}

export class SharedQueues {
  readonly #later: (callback: () => void) => void;
  readonly #tokens = new Map<string, number>();
  readonly #queues: SharedQueue[] = [];

  /** `later` runs a callback in a later turn. */
  constructor(later: (callback: () => void) => void) {
    this.#later = later;
  }

  /** The queue's token, or 0 when there are too many queues. What the queue holds stays. */
  register(vmId: string, name: string, reader: QueueReader): number {
    const key = queueKey(vmId, name);
    const known = this.#tokens.get(key);
    if (known !== undefined) {
      this.#queues[known - 1]!.reader = reader;
      return known;
    }
    if (this.#queues.length >= wasmLimits.maxQueues) return 0;
    const token = this.#queues.push({ items: [], bytes: 0, reader });
    this.#tokens.set(key, token);
    return token;
  }

  /** A reader that goes away hears no more; the queue stays for its successor. */
  forget(reader: QueueReader): void {
    for (const queue of this.#queues) if (queue.reader === reader) queue.reader = null;
  }

  resolve(vmId: string, name: string): number | undefined {
    return this.#tokens.get(queueKey(vmId, name));
  }

  enqueue(token: number, item: Buffer): Status {
    const queue = this.#queues[token - 1];
    if (queue === undefined) return Status.NotFound;
    if (queue.bytes + item.length > wasmLimits.maxQueueBytes) return Status.InternalFailure;
    queue.items.push(item);
    queue.bytes += item.length;
    this.#later(() => queue.reader?.onQueueReady(token));
    return Status.Ok;
  }

  /** The first item, or why there is none. */
  dequeue(token: number): Buffer | Status {
    const queue = this.#queues[token - 1];
    if (queue === undefined) return Status.NotFound;
    const item = queue.items.shift();
    if (item === undefined) return Status.Empty;
    queue.bytes -= item.length;
    return item;
  }
}

function queueKey(vmId: string, name: string): string {
  return `${vmId}\u0000${name}`;
}
