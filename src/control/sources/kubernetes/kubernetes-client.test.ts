import assert from "node:assert/strict";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { systemClock } from "#base/time/clock.ts";
import { type CatalogEntry, findKind } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { listenOn } from "../../bind.ts";
import { CertificateAuthority } from "../../ca/authority.ts";
import { createSelfSignedMaterial } from "../../ca/material.ts";
import { KubernetesClient } from "./client.ts";
import { Reflector } from "./reflector.ts";
import { type FakeApiServer, startFakeApiServer } from "./testing/fake-api-server.ts";

const services = findKind("v1", "Service") as CatalogEntry;
const virtualServices = findKind("networking.istio.io/v1", "VirtualService") as CatalogEntry;
const path = "/api/v1/services";

const service = (name: string, labels: Record<string, string> = {}): KubernetesObject => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "a", labels },
});

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setUp(): Promise<{ api: FakeApiServer; client: KubernetesClient }> {
  const api = await startFakeApiServer([path]);
  cleanups.push(() => api.stop());
  const client = new KubernetesClient({ socketPath: api.socketPath });
  cleanups.push(() => client.close());
  return { api, client };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `never: ${condition}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
  }
}

describe("the client", () => {
  test("reads lists page by page and gives items their kind", async () => {
    const { api, client } = await setUp();
    for (const name of ["a", "b", "c", "d", "e"]) api.put(path, service(name));
    const list = await client.list(services);
    const names = list.items.map((item) => `${item.kind} ${item.metadata.name}`);
    assert.deepEqual(names, ["Service a", "Service b", "Service c", "Service d", "Service e"]);
    assert.equal(api.requests.length, 3);
  });

  test("turns answers into errors with codes", async () => {
    const { api, client } = await setUp();
    await assert.rejects(client.get(services, { name: "x", namespace: "a" }), { code: "API_NOT_FOUND" });
    assert.equal(await client.find(services, { name: "x", namespace: "a" }), undefined);
    await client.delete(services, { name: "x", namespace: "a" });
    for (const [status, reason, code] of [
      [401, "", "API_UNAUTHORIZED"],
      [403, "", "API_FORBIDDEN"],
      [409, "Conflict", "API_CONFLICT"],
      [409, "AlreadyExists", "API_ALREADY_EXISTS"],
      [410, "", "API_GONE"],
      [422, "", "API_INVALID"],
      [500, "", "API_ERROR"],
    ] as const) {
      api.respond = () => ({ status, body: { message: "why", reason } });
      await assert.rejects(client.update(services, service("x")), (error: Error & { code: string }) => {
        assert.equal(error.code, code);
        assert.match(error.message, /PUT \/api\/v1\/namespaces\/a\/services\/x: \d+ why/);
        return true;
      });
    }
  });

  test("patches, applies and asks for subresources at the right paths", async () => {
    const { api, client } = await setUp();
    const seen: string[] = [];
    api.respond = (request) => {
      seen.push(`${request.method} ${request.url} ${request.headers["content-type"] ?? ""}`);
      return { status: 200, body: {} };
    };
    await client.patch(services, { name: "x", namespace: "a" }, {}, { type: "json" });
    await client.patch(virtualServices, { name: "x", namespace: "a" }, {}, { subresource: "status" });
    await client.apply(
      { apiVersion: "networking.istio.io/v1beta1", kind: "VirtualService", metadata: { name: "x" } },
      { fieldManager: "m" },
    );
    assert.deepEqual(seen, [
      "PATCH /api/v1/namespaces/a/services/x application/json-patch+json",
      "PATCH /apis/networking.istio.io/v1/namespaces/a/virtualservices/x/status application/merge-patch+json",
      "PATCH /apis/networking.istio.io/v1beta1/namespaces/default/virtualservices/x?fieldManager=m&force=true application/apply-patch+yaml",
    ]);
  });

  test("verifies the server's certificate and reads a changed token file again", async () => {
    const folder = mkdtempSync(join(tmpdir(), "outrigger-token-"));
    cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
    const authority = new CertificateAuthority(createSelfSignedMaterial("cluster.local", Date.now()), systemClock);
    const serving = authority.issueServing(["localhost"]);
    const tokens: string[] = [];
    const server = createTlsServer({ cert: serving.certificateChain, key: serving.privateKey }, (request, response) => {
      tokens.push(request.headers.authorization ?? "");
      response.end("{}");
    });
    const { port } = await listenOn(server, "127.0.0.1", 0);
    cleanups.push(() => {
      server.close();
      server.closeAllConnections();
    });
    const tokenFile = join(folder, "token");
    writeFileSync(tokenFile, "one\n");
    const url = `https://localhost:${port}`;
    const client = new KubernetesClient({ url, ca: authority.rootCertificates, tokenFile });
    await client.raw("GET", "/");
    writeFileSync(tokenFile, "two\n");
    utimesSync(tokenFile, new Date(), new Date(Date.now() + 5000));
    await client.raw("GET", "/");
    assert.deepEqual(tokens, ["Bearer one", "Bearer two"]);
    const stranger = new KubernetesClient({ url, token: "secret" });
    await assert.rejects(stranger.raw("GET", "/"), { code: "API_UNREACHABLE" });
    assert.equal(tokens.length, 2, "the token is not sent to a server that is not verified");
    client.close();
    stranger.close();
  });

  test("says who did not answer", async () => {
    const server = createServer();
    const { port } = await listenOn(server, "127.0.0.1", 0);
    server.close();
    const client = new KubernetesClient({ url: `https://127.0.0.1:${port}`, token: "t" });
    await assert.rejects(client.raw("GET", "/version"), /GET \/version: no answer from https:\/\/127.0.0.1/);
  });
});

describe("a reflector", () => {
  async function reflect(
    api: FakeApiServer,
    client: KubernetesClient,
  ): Promise<{ names: () => string[]; lists: () => number; reflector: Reflector }> {
    const seen = new Map<string, KubernetesObject>();
    const reflector = new Reflector({
      client,
      kind: services,
      log: silentLogger,
      // Back-off without waiting: time is not what these tests are about.
      clock: { now: () => Date.now(), after: (_ms, callback) => systemClock.after(1, callback) },
      handlers: {
        replace: (objects) => {
          seen.clear();
          for (const object of objects) seen.set(object.metadata.name, object);
        },
        apply: (object) => seen.set(object.metadata.name, object),
        remove: (object) => seen.delete(object.metadata.name),
      },
    });
    cleanups.push(() => reflector.stop());
    await reflector.start();
    return {
      names: () => [...seen.keys()].sort(),
      lists: () => api.requests.filter((request) => request.includes("limit=")).length,
      reflector,
    };
  }

  test("follows a collection", async () => {
    const { api, client } = await setUp();
    api.put(path, service("a"));
    const { names } = await reflect(api, client);
    assert.deepEqual(names(), ["a"]);
    api.put(path, service("b"));
    api.put(path, service("a"), true);
    await until(() => names().join() === "b");
  });

  test("resumes a broken watch from where it was, without another list", async () => {
    const { api, client } = await setUp();
    const { names, lists } = await reflect(api, client);
    await until(() => api.watchCount(path) === 1);
    api.breakWatches();
    api.put(path, service("while-away"));
    await until(() => names().join() === "while-away");
    assert.equal(lists(), 1);
  });

  test("many watches leave room for requests", async () => {
    const { api, client } = await setUp();
    await Promise.all(Array.from({ length: 40 }, () => reflect(api, client)));
    await until(() => api.watchCount(path) === 40);
    await client.list(services);
  });

  test("resumes from a bookmark", async () => {
    const { api, client } = await setUp();
    await reflect(api, client);
    await until(() => api.watchCount(path) === 1);
    let turn = 0;
    await until(() => {
      // Nothing tells that a bookmark arrived: give it a few turns before the watch breaks.
      if (turn % 10 === 0) api.bookmark(path, "4711");
      if (turn % 10 === 9) api.breakWatches();
      turn++;
      return api.requests.some((request) => request.includes("resourceVersion=4711"));
    });
  });

  test("lists again when its version is too old", async () => {
    const { api, client } = await setUp();
    const { names, lists } = await reflect(api, client);
    await until(() => api.watchCount(path) === 1);
    api.put(path, service("a"));
    api.breakWatches(true);
    await until(() => lists() === 2 && names().join() === "a");
  });

  test("counts a kind that is not served as empty", async () => {
    const { api, client } = await setUp();
    api.respond = () => ({ status: 404, body: { message: "the server could not find the requested resource" } });
    const { names, reflector } = await reflect(api, client);
    assert.deepEqual(names(), []);
    assert.equal(reflector.isSynced, true);
  });
});
