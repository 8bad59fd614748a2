// watch: one JSON object per line for as long as the client wants. A client that does not read is cut off; it can
// resume from what it has seen.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { WatchEvent } from "../../store/store.ts";
import { apiVersionOf, type ResourceCall, shown } from "../call.ts";
import { tableOf, wantsTable } from "../table/table.ts";
import { listOptions } from "./read.ts";

const bookmarkIntervalMs = 30_000;
const defaultTimeoutMs = 30 * 60_000;
const maxBufferedBytes = 32 * 1024 * 1024;

export function watch(call: ResourceCall): void {
  const { context, exchange, entry } = call;
  const query = exchange.url.searchParams;
  const { response } = exchange;
  const fromVersion = query.get("resourceVersion") ?? "";
  const wantsInitial = query.get("sendInitialEvents") === "true" || fromVersion === "" || fromVersion === "0";
  const wantsBookmarks = query.get("allowWatchBookmarks") === "true";
  const wantsInitialEnd = wantsBookmarks && query.get("sendInitialEvents") === "true";
  const write = (event: WatchEvent): void => {
    if (event.type === "BOOKMARK" && !wantsInitialEnd) return;
    response.write(encode(call, event));
    if (response.writableLength > maxBufferedBytes) response.destroy();
  };
  // Before the headers: EXPIRED must be an answer of its own.
  const unsubscribe = context.store.watch(
    entry,
    { ...listOptions(call), ...(wantsInitial ? {} : { fromVersion }) },
    write,
  );
  response.writeHead(200, { "content-type": "application/json", "cache-control": "no-cache, private" });
  response.flushHeaders();
  const bookmarks = setInterval(() => {
    if (wantsBookmarks) response.write(encode(call, bookmark(context.store.resourceVersion)));
  }, bookmarkIntervalMs);
  bookmarks.unref();
  const end = setTimeout(() => response.end(), timeoutMs(query.get("timeoutSeconds")));
  end.unref();
  response.on("close", () => {
    unsubscribe();
    clearInterval(bookmarks);
    clearTimeout(end);
  });
}

function timeoutMs(seconds: string | null): number {
  const wanted = Number(seconds ?? 0) * 1000;
  // A spread keeps clients that came at the same time from all coming back at the same time.
  return wanted > 0 ? Math.min(wanted, 2 ** 31 - 1) : defaultTimeoutMs * (1 + Math.random());
}

function bookmark(resourceVersion: string): WatchEvent {
  const object: KubernetesObject = { apiVersion: "v1", kind: "Bookmark", metadata: { name: "", resourceVersion } };
  return { type: "BOOKMARK", object };
}

function encode(call: ResourceCall, { type, object }: WatchEvent): string {
  const { entry, path, context } = call;
  if (type === "BOOKMARK") {
    const { name: _, ...metadata } = object.metadata;
    const apiVersion = apiVersionOf(entry, path.version);
    return `${JSON.stringify({ type, object: { kind: entry.kind, apiVersion, metadata } })}\n`;
  }
  const body = wantsTable(call.exchange) ? tableOf(entry, [object], {}, context.clock.now()) : shown(call, object);
  return `${JSON.stringify({ type, object: body })}\n`;
}
