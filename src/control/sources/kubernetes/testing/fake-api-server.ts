// An API server of a few lines for tests of the client: collections in memory, watches that tests can break.

import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";

export interface FakeApiServer {
  readonly socketPath: string;
  readonly requests: string[];
  /** Answers a request instead of the collections. */
  respond?: (request: IncomingMessage, body: string) => { status: number; body: unknown } | undefined;
  /** Puts an object (or, with `deleted`, takes it away) and tells the watches. */
  put(collection: string, object: KubernetesObject, deleted?: boolean): void;
  object(path: string): KubernetesObject | undefined;
  /** Ends all watches; with `gone` the next watch is told that its version is too old. */
  breakWatches(gone?: boolean): void;
  bookmark(collection: string, resourceVersion: string): void;
  watchCount(collection: string): number;
  stop(): Promise<void>;
}

interface Place {
  readonly collection: string;
  /** Absent: all of them. */
  readonly namespace?: string | undefined;
}

interface Watch extends Place {
  readonly response: ServerResponse;
}

export async function startFakeApiServer(collections: readonly string[]): Promise<FakeApiServer> {
  const objects = new Map<string, Map<string, KubernetesObject>>(collections.map((path) => [path, new Map()]));
  const events: (Place & { version: number; line: string })[] = [];
  const watches = new Set<Watch>();
  const folder = mkdtempSync(join(tmpdir(), "outrigger-api-"));
  let version = 1;
  let goneNext = false;

  const record = (collection: string, type: string, object: Pick<KubernetesObject, "metadata">): void => {
    const line = `${JSON.stringify({ type, object })}\n`;
    const event = { version, collection, namespace: object.metadata.namespace, line };
    events.push(event);
    for (const watch of watches) if (concerns(watch, event)) watch.response.write(line);
  };
  const server: Server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on("end", () => handle(request, response, body));
  });
  const fake: FakeApiServer = {
    socketPath: join(folder, "api.sock"),
    requests: [],
    put: (collection, object, deleted = false) => {
      const stored = objects.get(collection) ?? new Map<string, KubernetesObject>();
      objects.set(collection, stored);
      version++;
      const key = `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
      const next = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
      const existed = stored.has(key);
      if (deleted) stored.delete(key);
      else stored.set(key, next);
      record(collection, deleted ? "DELETED" : existed ? "MODIFIED" : "ADDED", next);
    },
    object: (path) => {
      const [collection, key] = split(path, objects);
      return objects.get(collection)?.get(key);
    },
    breakWatches: (gone = false) => {
      goneNext = gone;
      for (const watch of watches) watch.response.destroy();
      watches.clear();
    },
    bookmark: (collection, resourceVersion) =>
      record(collection, "BOOKMARK", { metadata: { name: "", resourceVersion } }),
    watchCount: (collection) => [...watches].filter((watch) => watch.collection === collection).length,
    stop: async () => {
      for (const watch of watches) watch.response.destroy();
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      rmSync(folder, { recursive: true, force: true });
    },
  };

  function handle(request: IncomingMessage, response: ServerResponse, body: string): void {
    const url = new URL(request.url ?? "/", "http://x");
    fake.requests.push(`${request.method} ${url.pathname}${url.search}`);
    const special = fake.respond?.(request, body);
    if (special !== undefined) return send(response, special.status, special.body);
    const parent = url.pathname.replace(/\/namespaces\/[^/]+(?=\/)/, "");
    if (request.method === "GET" && (objects.has(url.pathname) || objects.has(parent))) {
      const place = objects.has(url.pathname)
        ? { collection: url.pathname }
        : { collection: parent, namespace: /\/namespaces\/([^/]+)\//.exec(url.pathname)?.[1] };
      return url.searchParams.get("watch") === "true" ? watch(url, place, response) : list(url, place, response);
    }
    if (objects.has(parent) && request.method === "POST") {
      const object = JSON.parse(body) as KubernetesObject;
      const key = `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
      if (objects.get(parent)?.has(key)) return send(response, 409, { reason: "AlreadyExists", message: "exists" });
      fake.put(parent, object);
      return send(response, 201, object);
    }
    const isStatus = url.pathname.endsWith("/status");
    const path = decodeURIComponent(url.pathname);
    const [collection, key] = split(isStatus ? path.slice(0, -"/status".length) : path, objects);
    const found = objects.get(collection)?.get(key);
    if (found === undefined) return send(response, 404, { message: `${url.pathname} not found`, reason: "NotFound" });
    if (request.method === "DELETE") fake.put(collection, found, true);
    if (request.method === "PATCH") fake.put(collection, { ...found, ...(JSON.parse(body) as object) });
    if (request.method === "PUT") {
      const next = JSON.parse(body) as KubernetesObject;
      const wanted = next.metadata.resourceVersion ?? "";
      if (wanted !== "" && wanted !== found.metadata.resourceVersion) {
        return send(response, 409, { message: "the object has been modified", reason: "Conflict" });
      }
      fake.put(collection, isStatus ? { ...found, status: next["status"] } : next);
    }
    send(response, 200, objects.get(collection)?.get(key) ?? found);
  }

  function list(url: URL, { collection, namespace }: Place, response: ServerResponse): void {
    const all = [...(objects.get(collection)?.values() ?? [])].filter(
      ({ metadata }) => namespace === undefined || metadata.namespace === namespace,
    );
    const start = Number(url.searchParams.get("continue") ?? "0");
    const limit = Math.min(2, Number(url.searchParams.get("limit") ?? "500"));
    const rest = start + limit < all.length ? { continue: String(start + limit) } : {};
    send(response, 200, {
      metadata: { resourceVersion: String(version), ...rest },
      items: all.slice(start, start + limit).map(({ apiVersion: _version, kind: _kind, ...item }) => item),
    });
  }

  function watch(url: URL, place: Place, response: ServerResponse): void {
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    if (goneNext) {
      goneNext = false;
      response.end(`${JSON.stringify({ type: "ERROR", object: { code: 410, message: "too old" } })}\n`);
      return;
    }
    const from = Number(url.searchParams.get("resourceVersion"));
    for (const event of events) {
      if (event.version > from && concerns(place, event)) response.write(event.line);
    }
    const entry = { ...place, response };
    watches.add(entry);
    response.on("close", () => watches.delete(entry));
  }

  await new Promise<void>((resolve) => {
    server.listen(fake.socketPath, resolve);
  });
  return fake;
}

function concerns(watched: Place, { collection, namespace }: Place): boolean {
  return watched.collection === collection && [undefined, namespace].includes(watched.namespace);
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

/** `/api/v1/namespaces/a/secrets/b` lies in the collection `/api/v1/namespaces/a/secrets` or `/api/v1/secrets`. */
function split(path: string, objects: ReadonlyMap<string, unknown>): [string, string] {
  const slash = path.lastIndexOf("/");
  const name = path.slice(slash + 1);
  const collection = path.slice(0, slash);
  const namespace = /\/namespaces\/([^/]+)\//.exec(path)?.[1] ?? "";
  if (objects.has(collection)) return [collection, `${namespace}/${name}`];
  return [collection.replace(/\/namespaces\/[^/]+/, ""), `${namespace}/${name}`];
}
