// Decodes a watch response: one JSON event per line. A line that is longer than the limit or is not JSON ends the
// stream with an error, and the watch starts over.
import { OutriggerError } from "#base/error.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";

export type WatchEvent =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: KubernetesObject }
  | { readonly type: "BOOKMARK"; readonly resourceVersion: string };

export type RawWatchEvent =
  | WatchEvent
  | { readonly type: "ERROR"; readonly status: { readonly code: number; readonly message: string } };

const maxLineBytes = 16 * 1024 * 1024;

export async function* readWatchEvents(response: AsyncIterable<Uint8Array>): AsyncGenerator<RawWatchEvent, void> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  for await (const bytes of response) {
    let chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10)) {
      const line = Buffer.concat([...pending, chunk.subarray(0, end)]).toString("utf8");
      pending = [];
      pendingBytes = 0;
      chunk = chunk.subarray(end + 1);
      if (line.trim() !== "") yield decode(line);
    }
    if (chunk.length > 0) {
      pending.push(chunk);
      pendingBytes += chunk.length;
    }
    if (pendingBytes > maxLineBytes) throw malformed(`a line is longer than ${maxLineBytes} bytes`);
  }
}

function decode(line: string): RawWatchEvent {
  let event: { type?: unknown; object?: unknown };
  try {
    event = JSON.parse(line) as { type?: unknown; object?: unknown };
  } catch (cause) {
    throw malformed("a line is not JSON", cause);
  }
  const object = event.object as Partial<KubernetesObject> & { code?: number; message?: string };
  if (typeof object !== "object" || object === null) throw malformed("an event has no object");
  switch (event.type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
      if (typeof object.metadata?.name !== "string") throw malformed("an object has no name");
      return { type: event.type, object: object as KubernetesObject };
    case "BOOKMARK":
      return { type: "BOOKMARK", resourceVersion: object.metadata?.resourceVersion ?? "" };
    case "ERROR":
      return { type: "ERROR", status: { code: object.code ?? 500, message: object.message ?? "" } };
    default:
      throw malformed(`unknown event type ${String(event.type)}`);
  }
}

function malformed(message: string, cause?: unknown): OutriggerError {
  return new OutriggerError("API_ERROR", `malformed watch stream: ${message}`, { cause });
}
