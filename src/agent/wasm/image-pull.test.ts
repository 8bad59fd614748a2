// Modules out of images: against a registry on a real port, with what real ones do.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { addressFilter } from "#base/net/address-filter.ts";
import { type Clock, ManualClock } from "#base/time/clock.ts";
import { ModuleStore, type ModuleStoreOptions, type PullSettings } from "./module-store.ts";
import {
  digestOf,
  type Layer,
  type RegistryFake,
  registryFake,
  tarGz,
  types,
} from "./registry/testing/registry-fake.ts";

const module = Buffer.from("\0asm\x01\0\0\0 first");
const other = Buffer.from("\0asm\x01\0\0\0 second");
const repository = "team/plugin";

const artifact = (content = module): Layer[] => [
  { mediaType: "application/vnd.module.wasm.config.v1+json", content: Buffer.from("{}") },
  { mediaType: types.artifact, content },
];
const archive = (mediaType: string, files: Record<string, Buffer> = { "plugin.wasm": module }): Layer[] => [
  { mediaType, content: tarGz({ "readme.md": Buffer.from("not this one") }) },
  { mediaType, content: tarGz(files) },
];

interface World {
  readonly registry: RegistryFake;
  readonly store: ModuleStore;
  readonly folder: string;
  pull(tag: string, settings?: Partial<PullSettings> & { readonly sha256?: string }): Promise<Buffer>;
}

async function world(t: TestContext, options: Partial<ModuleStoreOptions> = {}): Promise<World> {
  const registry = await registryFake();
  const folder = mkdtempSync(join(tmpdir(), "outrigger-images-"));
  const store = new ModuleStore({ folder, clock: new ManualClock(), isAllowed: () => true, retries: 0, ...options });
  t.after(() => {
    registry.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    registry,
    store,
    folder,
    pull: async (tag, { sha256 = "", ...settings } = {}) => {
      const url = `oci://${registry.host}/${repository}${tag}`;
      const pull = { policy: "", version: "1", secret: "", ...settings };
      return readFileSync(await store.file({ url, sha256, timeoutMs: 5000, pull }));
    },
  };
}

/** What was asked, without the way to the repository and without layers. */
const manifestsAsked = ({ asked }: RegistryFake): string[] =>
  asked.flatMap((line) => /manifests\/(\S+)/.exec(line)?.[1] ?? []);

test("a module is found in an artifact, an OCI image and a Docker image, and behind an index", async (t) => {
  const { registry, pull } = await world(t);
  registry.push(repository, "artifact", artifact());
  registry.push(repository, "plain", [{ mediaType: "application/wasm", content: module }]);
  registry.push(repository, "oci", archive(types.ociLayer));
  registry.push(
    repository,
    "docker",
    archive(types.dockerLayer, { "./opt/plugin.wasm": module }),
    types.dockerManifest,
  );
  const long = `${"deep/".repeat(40)}plugin.wasm`;
  registry.push(repository, "long", archive(types.ociLayer, { "x/plugin.wasm.txt": other, [long]: module }));
  const arm = registry.push(repository, "arm", artifact(other));
  const amd = registry.push(repository, "amd", artifact());
  registry.pushIndex(repository, "index", [
    ["linux/arm64", arm],
    ["linux/amd64", amd],
  ]);
  registry.pushIndex(repository, "wasi", [
    ["linux/arm64", arm],
    ["wasip1/wasm", amd],
  ]);
  for (const tag of ["artifact", "plain", "oci", "docker", "long", "index", "wasi"]) {
    assert.deepEqual(await pull(`:${tag}`), module, tag);
  }
});

test("a digest in the address and sha256 pin the manifest; a layer is what the manifest says", async (t) => {
  const { registry, pull } = await world(t);
  const digest = registry.push(repository, "v1", artifact());
  const sha256 = digest.slice("sha256:".length);
  assert.deepEqual(await pull(`@${digest}`), module);
  assert.deepEqual(await pull(":v1", { sha256 }), module);
  const index = registry.pushIndex(repository, "index", [["linux/amd64", digest]]);
  assert.deepEqual(await pull(":index", { sha256 }), module);
  assert.deepEqual(await pull(":index", { sha256: index.slice("sha256:".length), version: "2" }), module);
  registry.push(repository, "v1", artifact(other));
  assert.deepEqual(await pull(`:v1@${digest}`), module, "the tag says nothing beside a digest");
  await assert.rejects(
    pull(":v1", { sha256: "a".repeat(64) }),
    /the SHA-256 of its manifest is [a-f0-9]{64} and not a{64}/,
  );
  registry.instead = (request, response) => {
    if (request.url?.includes("/blobs/") !== true) return false;
    response.end(other);
    return true;
  };
  registry.push(repository, "forged", artifact(Buffer.from("\0asm third")));
  await assert.rejects(pull(":forged"), /the layer sha256:\S+ has the digest sha256:/);
  registry.instead = (_request, response) => {
    response.end("{}");
    return true;
  };
  await assert.rejects(pull(`:v2@${digest}`), /the manifest sha256:\S+ has the digest sha256:/);
});

test("imagePullPolicy: a tag is asked for again with Always and for latest, when the plugin is another one", async (t) => {
  const { registry, pull } = await world(t);
  const again = async (tag: string, policy: string): Promise<string[]> => {
    registry.push(repository, tag, artifact());
    await pull(`:${tag}`, { policy });
    await pull(`:${tag}`, { policy });
    registry.push(repository, tag, artifact(other));
    registry.asked.length = 0;
    const found = await pull(`:${tag}`, { policy, version: "2" });
    return [found.equals(other) ? "new" : "old", ...manifestsAsked(registry)];
  };
  assert.deepEqual(await again("v1", ""), ["old"]);
  assert.deepEqual(await again("v2", "IfNotPresent"), ["old"]);
  assert.deepEqual(await again("v3", "Always"), ["new", "v3"]);
  assert.deepEqual(await again("latest", ""), ["new", "latest"]);
});

test("a tag that still means the same image costs its manifest only; what nobody uses is removed", async (t) => {
  const { registry, pull, store, folder } = await world(t);
  registry.push(repository, "v1", artifact());
  await pull(":v1", { policy: "Always" });
  registry.asked.length = 0;
  await pull(":v1", { policy: "Always", version: "2" });
  assert.deepEqual(registry.asked, [`GET /v2/${repository}/manifests/v1`]);
  const url = `oci://${registry.host}/${repository}:v1`;
  const source = (version: string) => ({
    url,
    sha256: "",
    timeoutMs: 1,
    pull: { policy: "Always", version, secret: "" },
  });
  await store.keep("a", [source("1")]);
  await store.keep("a", [source("2")]);
  assert.equal(readdirSync(folder).length, 1);
  await store.keep("a", []);
  assert.equal(readdirSync(folder).length, 0);
  registry.asked.length = 0;
  await pull(":v1", { policy: "Always", version: "2" });
  assert.equal(registry.asked.length, 2, "the layer is fetched again");
});

test("a registry is pulled from with the credentials that the Secret has for it, by Basic and by token", async (t) => {
  const { registry, pull } = await world(t);
  registry.push(repository, "v1", artifact());
  const auth = Buffer.from("ann:pass:word").toString("base64");
  const secret = (entry: object, host = registry.host): string => JSON.stringify({ auths: { [host]: entry } });
  registry.access = { scheme: "basic", user: "ann:pass:word" };
  assert.deepEqual(await pull(":v1", { secret: secret({ auth }) }), module);
  for (const [i, scheme] of (["basic", "bearer"] as const).entries()) {
    registry.access = { scheme, user: "ann:pass:word", refreshToken: "refresh" };
    const tag = `t${i}`;
    registry.push(repository, tag, artifact(Buffer.from(`\0asm ${i}`)));
    const failed = new RegExp(scheme === "basic" ? "answers 401: UNAUTHORIZED" : "answers 401 and no token");
    await assert.rejects(pull(`:${tag}`, { version: "0" }), failed);
    await assert.rejects(pull(`:${tag}`, { secret: secret({ auth }, "elsewhere.example") }), failed);
    const written = secret({ username: "ann", password: "pass:word" }, `https://${registry.host}/v1/`);
    assert.match(String(await pull(`:${tag}`, { secret: written })), /asm/);
  }
  registry.push(repository, "refreshed", artifact(Buffer.from("\0asm refreshed")));
  registry.access = { scheme: "bearer", user: "nobody", refreshToken: "refresh" };
  assert.match(String(await pull(":refreshed", { secret: secret({ identitytoken: "refresh" }) })), /refreshed/);
  registry.push(repository, "given", artifact(Buffer.from("\0asm given")));
  assert.match(String(await pull(":given", { secret: secret({ registrytoken: "t0ken" }) })), /given/);
  const token = registry.asked.find((line) => line.includes("/token?"));
  assert.match(token ?? "", /GET \/token\?service=fake&scope=repository%3Ateam%2Fplugin%3Apull/);
});

test("credentials go to no registry without TLS but this machine's, and not where a redirect leads", async (t) => {
  const { registry, pull } = await world(t);
  const elsewhere = await registryFake();
  t.after(() => elsewhere.close());
  registry.access = { scheme: "basic", user: "ann:secret" };
  const [, layer] = artifact();
  registry.push(repository, "v1", artifact());
  elsewhere.push("store", "x", artifact());
  registry.instead = (request, response) => {
    if (request.url?.includes("/blobs/") !== true) return false;
    const at = `http://${elsewhere.host}/v2/store/blobs/${digestOf(layer?.content ?? module)}`;
    response.writeHead(307, { location: at }).end();
    return true;
  };
  const secret = JSON.stringify({ auths: { [registry.host]: { auth: Buffer.from("ann:secret").toString("base64") } } });
  assert.deepEqual(await pull(":v1", { secret }), module);
  assert.equal(elsewhere.asked.length, 1);
  assert.doesNotMatch(elsewhere.asked[0] ?? "", /Basic/);
  // A server of tokens in plain text, on another machine.
  registry.instead = (_request, response) => {
    response.writeHead(401, { "www-authenticate": 'Bearer realm="http://auth.example/token"' }).end();
    return true;
  };
  await assert.rejects(pull(":v2", { secret }), /auth\.example has no TLS: no credentials are sent to it/);
});

test("what an image must not be is refused in words, without another try and without the Secret", async (t) => {
  const { registry, pull } = await world(t, { maxBytes: 4096, retries: 3 });
  const text = (content: string): Layer[] => [
    { mediaType: "application/vnd.oci.image.layer.v1.tar", content: Buffer.from(content) },
  ];
  registry.push(repository, "text", text("x"));
  registry.push(repository, "none", []);
  registry.push(repository, "empty", archive(types.ociLayer, { "other.wasm": module }));
  registry.push(repository, "torn", [{ mediaType: types.ociLayer, content: tarGz({ a: module }).subarray(0, 40) }]);
  registry.push(repository, "notar", [{ mediaType: types.ociLayer, content: tarGz({}).subarray(0, 0) }]);
  registry.push(repository, "nowasm", artifact(Buffer.from("text")));
  registry.push(repository, "bomb", archive(types.ociLayer, { "plugin.wasm": Buffer.alloc(3_000_000) }));
  registry.pushIndex(repository, "noindex", []);
  const cases: [tag: string, problem: RegExp][] = [
    [":text", /no module: its last layer is application\/vnd\.oci\.image\.layer\.v1\.tar$/],
    [":none", /the image has no layer/],
    [":empty", /holds no plugin\.wasm/],
    [":torn", /the last layer of the image cannot be unpacked/],
    [":notar", /the last layer of the image cannot be unpacked/],
    [":nowasm", /it is no WebAssembly module/],
    [":bomb", /the last layer of the image cannot be unpacked/],
    [":noindex", /the index of the image is empty/],
    [":gone", /manifests\/gone answers 404: MANIFEST_UNKNOWN manifest unknown/],
    [":a b", /it is no name of an image/],
    ["@sha512:00", /it is no name of an image/],
  ];
  for (const [tag, problem] of cases) await assert.rejects(pull(tag), problem, tag);
  await assert.rejects(pull(":v9", { secret: "s3cret" }), (error: Error) => {
    assert.match(error.message, /the Secret for pulling is not JSON/);
    assert.doesNotMatch(error.message, /s3cret/);
    return true;
  });
  const small = await world(t, { maxBytes: 4096 });
  small.registry.push(repository, "large", artifact(Buffer.concat([module, Buffer.alloc(5000)])));
  await assert.rejects(small.pull(":large"), /gives more than 4096 bytes/);
});

test("a registry that is busy is asked again with back-off; addresses that nobody may ask are not asked", async (t) => {
  const pauses: number[] = [];
  const clock: Clock = {
    now: () => 0,
    after: (ms, callback) => {
      pauses.push(ms);
      setImmediate(callback);
      return () => {};
    },
  };
  const { registry, pull } = await world(t, { clock, retries: 2 });
  registry.push(repository, "v1", artifact());
  let refused = 0;
  registry.instead = (_request, response) => {
    if (refused++ >= 2) return false;
    response.writeHead(refused === 1 ? 429 : 503).end();
    return true;
  };
  assert.deepEqual(await pull(":v1"), module);
  assert.deepEqual(pauses, [500, 1000]);
  const guarded = await world(t, { isAllowed: addressFilter() });
  guarded.registry.push(repository, "v1", artifact());
  await assert.rejects(guarded.pull(":v1"), /127\.0\.0\.1 is never asked/);
  assert.deepEqual(guarded.registry.asked, []);
});
