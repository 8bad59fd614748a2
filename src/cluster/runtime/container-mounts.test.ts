import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Logger } from "#base/log/log.ts";
import { silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { configMaps, trustBundles } from "../store/resources.ts";
import { mountTable } from "./container-mounts.ts";
import { PodVolumes } from "./volumes/pod-volumes.ts";

describe("the mounts of a container", () => {
  it("come outer ones first, and mount points are made in what will lie there", () => {
    const { points, table } = mountTable(
      [
        { source: "/n/inner", target: "/run/secrets/token", readOnly: true },
        { source: "/n/run", target: "/run" },
        { source: "/n/data", target: "/data" },
        { source: "/n/sub", target: "/data/a b" },
      ],
      ["/n"],
    );
    assert.deepEqual(
      points.map(({ path }) => path),
      ["/run", "/data", "/n/data/a b", "/n/run/secrets/token"],
    );
    assert.deepEqual(table.split("\n"), [
      "/n/run /run none bind 0 0",
      "/n/data /data none bind 0 0",
      "/n/sub /data/a\\040b none bind 0 0",
      "/n/inner /run/secrets/token none bind,ro 0 0",
      "/proc/sys /proc/sys none bind,ro 0 0",
      "none /n tmpfs ro,size=4k,mode=555 0 0",
      "",
    ]);
  });

  it("keep one line where a path cannot be written as a word", () => {
    const { table } = mountTable([{ source: "/a\nb", target: "/t\tx\\" }], []);
    assert.equal(table.split("\n")[0], "/a\\012b /t\\011x\\134 none bind 0 0");
  });
});

describe("a pod's volumes", () => {
  const pod: KubernetesObject = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "shop", uid: "u" },
    spec: {
      containers: [],
      volumes: [
        { name: "config", configMap: { name: "map", items: [{ key: "a", path: "deep/a.txt", mode: 0o600 }] } },
        {
          name: "token",
          projected: {
            sources: [
              { serviceAccountToken: { path: "token", audience: "istio-ca", expirationSeconds: 100 } },
              { configMap: { name: "map" } },
            ],
          },
        },
      ],
    },
  };

  function setUp(log: Logger = silentLogger) {
    const folder = mkdtempSync(join(tmpdir(), "outrigger-volumes-"));
    const store = new MemoryStore();
    const clock = new ManualClock(0);
    let tokens = 0;
    const issue = (): { token: string; expirationTimestamp: string; expiresAtMs: number } => ({
      token: `token-${++tokens}`,
      expirationTimestamp: "",
      expiresAtMs: clock.now() + 100_000,
    });
    const volumes = new PodVolumes({ folder, pod, podAddress: "", store, tokens: { issue }, clock, log });
    return { folder, store, clock, volumes };
  }

  function put(store: MemoryStore, data: object): void {
    const map = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "map", namespace: "shop" }, data };
    if (store.get(configMaps, "shop", "map") === undefined) store.create(configMaps, map);
    else store.update(configMaps, map);
  }

  it("wait for a ConfigMap that is missing", () => {
    const { volumes, folder } = setUp();
    assert.throws(() => volumes.create(), {
      reason: "FailedMount",
      message: 'volume "config": configmap "map" not found',
    });
    rmSync(folder, { recursive: true });
  });

  it("are replaced at once by a link, and only when something has changed", () => {
    const { volumes, folder, store } = setUp();
    put(store, { a: "1", b: "2" });
    volumes.create();
    const config = volumes.path("config");
    assert.equal(readFileSync(join(config, "deep/a.txt"), "utf8"), "1");
    const link = readlinkSync(join(config, "..data"));
    put(store, { a: "1", b: "3" });
    volumes.refresh();
    assert.equal(readlinkSync(join(config, "..data")), link);
    assert.equal(readFileSync(join(volumes.path("token"), "b"), "utf8"), "3");
    put(store, { a: "2", c: "4" });
    volumes.refresh();
    assert.equal(readFileSync(join(config, "deep/a.txt"), "utf8"), "2");
    assert.deepEqual(
      readdirSync(volumes.path("token")).filter((name) => !name.startsWith("..")),
      ["a", "c", "token"],
    );
    volumes.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  it("show a trust bundle by name, or all of a signer that a selector fits, and follow them", () => {
    const folder = mkdtempSync(join(tmpdir(), "outrigger-volumes-"));
    const store = new MemoryStore();
    const bundle = (name: string, signerName: string, root: string, labels = {}): KubernetesObject => ({
      apiVersion: "certificates.k8s.io/v1beta1",
      kind: "ClusterTrustBundle",
      metadata: { name, labels },
      spec: { signerName, trustBundle: root },
    });
    const pem = (text: string): string =>
      `-----BEGIN CERTIFICATE-----\n${Buffer.from(text).toString("base64")}\n-----END CERTIFICATE-----\n`;
    const [one, two, three] = [pem("one"), pem("two"), pem("three")];
    store.create(trustBundles, bundle("a.b:c:one", "a.b/c", one, { live: "yes" }));
    store.create(trustBundles, bundle("a.b:c:two", "a.b/c", two));
    const sources = [
      { clusterTrustBundle: { name: "a.b:c:one", path: "one.pem" } },
      {
        clusterTrustBundle: { signerName: "a.b/c", labelSelector: { matchLabels: { live: "yes" } }, path: "live.pem" },
      },
      { clusterTrustBundle: { signerName: "a.b/c", labelSelector: {}, path: "all.pem" } },
      { clusterTrustBundle: { name: "absent", path: "absent.pem", optional: true } },
    ];
    const withSources = (all: object[]): KubernetesObject => ({
      ...pod,
      spec: { containers: [], volumes: [{ name: "trust", projected: { sources: all } }] },
    });
    const options = {
      folder,
      podAddress: "",
      store,
      tokens: { issue: () => assert.fail("no token is asked for") },
      clock: new ManualClock(0),
      log: silentLogger,
    };
    const volumes = new PodVolumes({ ...options, pod: withSources(sources) });
    volumes.create();
    const read = (name: string): string => readFileSync(join(volumes.path("trust"), name), "utf8");
    assert.deepEqual(["one.pem", "live.pem", "all.pem", "absent.pem"].map(read), [one, one, one + two, ""]);
    store.update(trustBundles, bundle("a.b:c:one", "a.b/c", three, { live: "yes" }));
    volumes.refresh();
    assert.deepEqual(["one.pem", "live.pem"].map(read), [three, three]);
    volumes.remove();
    const missing = new PodVolumes({
      ...options,
      pod: withSources([{ clusterTrustBundle: { name: "absent", path: "a" } }]),
    });
    assert.throws(() => missing.create(), { message: 'volume "trust": clusterTrustBundle "absent" not found' });
    rmSync(folder, { recursive: true, force: true });
  });

  it("get a new token after four fifths of its life", () => {
    const { volumes, folder, store, clock } = setUp();
    put(store, { a: "1" });
    volumes.create();
    const token = (): string => readFileSync(join(volumes.path("token"), "token"), "utf8");
    assert.equal(token(), "token-1");
    put(store, { a: "2" });
    volumes.refresh();
    assert.equal(token(), "token-1", "a change of something else does not make a new token");
    clock.advance(79_999);
    assert.equal(token(), "token-1");
    clock.advance(1);
    assert.equal(token(), "token-2");
    clock.advance(80_000);
    assert.equal(token(), "token-3");
    volumes.remove();
    rmSync(folder, { recursive: true, force: true });
  });
});
