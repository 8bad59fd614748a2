import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { type AddressInfo, createServer, connect as netConnect } from "node:net";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { type LocalCluster, startLocalCluster, until } from "../controllers/local-cluster.test-support.ts";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../store/json.ts";
import { pods } from "../store/resources.ts";

const run = promisify(execFile);
const maps = "/api/v1/namespaces/default/configmaps";
const configMap = (name: string, data: JsonRecord = {}, metadata: JsonRecord = {}): JsonRecord => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, ...metadata },
  data,
});

let cluster: LocalCluster;
before(async () => {
  cluster = await startLocalCluster();
});
after(() => cluster.stop());

describe("as plain curl sees it", () => {
  const curl = async (...args: string[]): Promise<JsonRecord> => {
    const { stdout } = await run("curl", ["-sS", "--unix-socket", cluster.socketPath, ...args]);
    return asRecord(JSON.parse(stdout));
  };

  test("an object is made, read, changed and deleted", async () => {
    const json = ["-H", "Content-Type: application/json"];
    const created = await curl(
      "-X",
      "POST",
      ...json,
      "-d",
      JSON.stringify(configMap("curl", { k: "v" })),
      `http://api${maps}`,
    );
    assert.equal(fieldAt(created, "metadata", "namespace"), "default");
    const merge = ["-H", "Content-Type: application/merge-patch+json", "-d", '{"data":{"k":"w"}}'];
    assert.deepEqual((await curl("-X", "PATCH", ...merge, `http://api${maps}/curl`))["data"], { k: "w" });
    assert.equal((await curl("-X", "DELETE", `http://api${maps}/curl`))["status"], "Success");
    const gone = await curl(`http://api${maps}/curl`);
    assert.equal(gone["reason"], "NotFound");
    assert.equal(gone["code"], 404);
  });

  test("over TLS the certificate is the cluster CA's, and nothing is served without a token", async () => {
    const ca = join(dirname(cluster.socketPath), "ca.crt");
    writeFileSync(ca, cluster.api.caPem);
    const url = `https://127.0.0.1:${cluster.api.httpsPort}`;
    const { stdout: health } = await run("curl", ["-sS", "--cacert", ca, `${url}/readyz`]);
    assert.equal(health, "ok");
    const { stdout: refused } = await run("curl", ["-sS", "--cacert", ca, `${url}/api/v1/pods`]);
    assert.equal(asRecord(JSON.parse(refused))["code"], 401);
    const names = ["-connect", `127.0.0.1:${cluster.api.httpsPort}`, "-CAfile", ca, "-verify_return_error"];
    const openssl = run("openssl", ["s_client", ...names, "-verify_hostname", "kubernetes.default.svc"]);
    openssl.child.stdin?.end();
    assert.match((await openssl).stdout, /Verify return code: 0 \(ok\)/);
  });
});

describe("the socket", () => {
  test("answers those who would rather speak HTTP/2", async () => {
    const { stdout } = await run("curl", ["-sS", "--http2", "--unix-socket", cluster.socketPath, "http://api/healthz"]);
    assert.equal(stdout, "ok");
  });

  test("is for its owner only", () => {
    assert.equal(statSync(cluster.socketPath).mode & 0o777, 0o600);
  });
});

describe("discovery", () => {
  test("names groups, versions and resources", async () => {
    const groups = asArray((await cluster.must("GET", "/apis"))["groups"]).map(asRecord);
    const networking = groups.find((group) => group["name"] === "networking.istio.io");
    assert.equal(fieldAt(networking, "preferredVersion", "version"), "v1");
    const core = asArray((await cluster.must("GET", "/api/v1"))["resources"]).map(asRecord);
    assert.ok(core.some((resource) => resource["name"] === "pods/log"));
    const v1beta1 = asArray((await cluster.must("GET", "/apis/networking.istio.io/v1beta1"))["resources"]).map(
      asRecord,
    );
    assert.ok(v1beta1.some((resource) => resource["kind"] === "VirtualService"));
    assert.equal((await cluster.call("GET", "/apis/nobody.io/v1")).status, 404);
    assert.match(String((await cluster.must("GET", "/version"))["gitVersion"]), /^v1\.\d+/);
  });

  test("has the aggregated form that kubectl asks for", async () => {
    const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    const answer = await cluster.call("GET", "/apis", { accept });
    assert.equal(answer.body["kind"], "APIGroupDiscoveryList");
    assert.match(String(answer.headers["content-type"]), /as=APIGroupDiscoveryList/);
  });
});

describe("reading", () => {
  before(async () => {
    for (const name of ["r1", "r2", "r3"]) {
      await cluster.must("POST", maps, { body: configMap(name, {}, { labels: { reading: "yes", name } }) });
    }
  });

  test("lists are selected by labels and fields, and cut into pages", async () => {
    const selected = await cluster.must(
      "GET",
      `${maps}?labelSelector=${encodeURIComponent("reading,name in (r1,r3)")}`,
    );
    assert.deepEqual(names(selected), ["r1", "r3"]);
    assert.deepEqual(names(await cluster.must("GET", `${maps}?fieldSelector=metadata.name=r2`)), ["r2"]);
    const first = await cluster.must("GET", `${maps}?labelSelector=reading&limit=2`);
    assert.deepEqual(names(first), ["r1", "r2"]);
    const token = encodeURIComponent(String(fieldAt(first, "metadata", "continue")));
    const second = await cluster.must("GET", `${maps}?labelSelector=reading&limit=2&continue=${token}`);
    assert.deepEqual(names(second), ["r3"]);
    assert.equal(fieldAt(second, "metadata", "continue"), undefined);
  });

  test("a table is served to those who ask for one", async () => {
    const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    const table = (await cluster.call("GET", `${maps}/r1`, { accept })).body;
    assert.equal(table["kind"], "Table");
    assert.deepEqual(asArray(asRecord(asArray(table["rows"])[0])["cells"]).slice(0, 2), ["r1", 0]);
  });

  test("every version of a kind shows the same objects", async () => {
    const body = {
      apiVersion: "networking.istio.io/v1alpha3",
      kind: "Gateway",
      metadata: { name: "g" },
      spec: { selector: { istio: "ingressgateway" } },
    };
    await cluster.must("POST", "/apis/networking.istio.io/v1alpha3/namespaces/default/gateways", { body });
    const other = await cluster.must("GET", "/apis/networking.istio.io/v1beta1/namespaces/default/gateways/g");
    assert.equal(other["apiVersion"], "networking.istio.io/v1beta1");
    assert.deepEqual(other["spec"], body.spec);
  });
});

describe("writing", () => {
  test("a stale resourceVersion is a conflict", async () => {
    const first = await cluster.must("POST", maps, { body: configMap("stale") });
    await cluster.must("PUT", `${maps}/stale`, { body: { ...first, data: { k: "1" } } });
    const answer = await cluster.call("PUT", `${maps}/stale`, { body: { ...first, data: { k: "2" } } });
    assert.equal(answer.status, 409);
    assert.equal(answer.body["reason"], "Conflict");
  });

  test("many writers who name no version all get through", async () => {
    await cluster.must("POST", maps, { body: configMap("busy") });
    const patches = Array.from({ length: 20 }, (_, index) =>
      cluster.must("PATCH", `${maps}/busy`, {
        type: "application/merge-patch+json",
        body: { data: { [`k${index}`]: "v" } },
      }),
    );
    await Promise.all(patches);
    assert.equal(Object.keys(asRecord((await cluster.must("GET", `${maps}/busy`))["data"])).length, 20);
  });

  test("dry runs tell what would be, and leave nothing", async () => {
    const answer = await cluster.call("POST", `${maps}?dryRun=All`, { body: configMap("dry") });
    assert.equal(answer.status, 201);
    assert.equal((await cluster.call("GET", `${maps}/dry`)).status, 404);
  });

  test("invalid objects are refused with every reason", async () => {
    const body = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "Bad_Name" },
      spec: { containers: [{ name: "a", volumeMounts: [{ name: "none", mountPath: "/x" }] }] },
    };
    const answer = await cluster.call("POST", "/api/v1/namespaces/default/pods", { body });
    assert.equal(answer.status, 422);
    for (const part of ["metadata.name", "containers[0].image", "volumeMounts[0].name"]) {
      assert.ok(String(answer.body["message"]).includes(part), String(answer.body["message"]));
    }
  });

  test("bodies that are too large, too deep, no JSON, or of another kind are refused", async () => {
    const large = configMap("large", { k: "x".repeat(3 * 1024 * 1024) });
    assert.equal((await cluster.call("POST", maps, { body: large })).status, 413);
    const deep = `${'{"a":'.repeat(1000)}1${"}".repeat(1000)}`;
    assert.equal((await cluster.call("POST", maps, { body: deep })).status, 400);
    assert.equal((await cluster.call("POST", maps, { body: "{" })).status, 400);
    assert.equal(
      (await cluster.call("POST", maps, { body: "x", type: "application/vnd.kubernetes.protobuf" })).status,
      415,
    );
    assert.equal((await cluster.call("POST", maps, { body: { ...configMap("x"), kind: "Secret" } })).status, 400);
    assert.equal(
      (await cluster.call("POST", "/api/v1/namespaces/nowhere/configmaps", { body: configMap("x") })).status,
      404,
    );
    assert.equal((await cluster.call("GET", "/api/v1/namespaces/default/unknowns")).status, 404);
  });

  test("YAML is understood", async () => {
    const body = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  on: 'yes'\n";
    const created = await cluster.must("POST", maps, { body, type: "application/yaml" });
    assert.deepEqual(created["data"], { on: "yes" });
  });

  test("an orphaning delete leaves what the object owned", async () => {
    const owner = await cluster.must("POST", maps, { body: configMap("owner") });
    const ownerReferences = [
      { apiVersion: "v1", kind: "ConfigMap", name: "owner", uid: fieldAt(owner, "metadata", "uid") },
    ];
    await cluster.must("POST", maps, { body: configMap("owned", {}, { ownerReferences }) });
    await cluster.must("DELETE", `${maps}/owner`, { body: { propagationPolicy: "Orphan" } });
    assert.equal(fieldAt(await cluster.must("GET", `${maps}/owned`), "metadata", "ownerReferences"), undefined);
  });

  test("a collection is deleted by selector", async () => {
    for (const name of ["c1", "c2"])
      await cluster.must("POST", maps, { body: configMap(name, {}, { labels: { set: name } }) });
    assert.deepEqual(names(await cluster.must("DELETE", `${maps}?labelSelector=set`)), ["c1", "c2"]);
    assert.deepEqual(names(await cluster.must("GET", `${maps}?labelSelector=set`)), []);
  });

  test("custom resources are served as soon as they are defined", async () => {
    const definition = {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: "boats.example.com" },
      spec: {
        group: "example.com",
        scope: "Namespaced",
        names: { kind: "Boat", plural: "boats", singular: "boat" },
        versions: [{ name: "v1", served: true, storage: true }],
      },
    };
    const path = "/apis/example.com/v1/namespaces/default/boats";
    const boat = { apiVersion: "example.com/v1", kind: "Boat", metadata: { name: "kayak" }, spec: { seats: 2 } };
    assert.equal((await cluster.call("POST", path, { body: boat })).status, 404);
    await cluster.must("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", { body: definition });
    await cluster.must("POST", path, { body: boat });
    assert.deepEqual(names(await cluster.must("GET", "/apis/example.com/v1/boats")), ["kayak"]);
    await cluster.must("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/boats.example.com");
    assert.equal((await cluster.call("GET", path)).status, 404);
    const resource = { group: "example.com", plural: "boats" };
    await until("that its objects are gone", () => cluster.store.list(resource).items.length === 0);
  });
});

describe("watching", () => {
  interface Watch {
    readonly events: { type: string; object: JsonRecord }[];
    readonly status: number;
    readonly ended: () => boolean;
    readonly close: () => void;
  }

  const watch = (path: string): Promise<Watch> =>
    new Promise((resolve, reject) => {
      const outgoing = request({ socketPath: cluster.socketPath, path });
      outgoing.on("error", reject);
      outgoing.on("response", (incoming) => {
        const events: { type: string; object: JsonRecord }[] = [];
        let text = "";
        let isEnded = false;
        incoming.setEncoding("utf8");
        incoming.on("data", (chunk: string) => {
          text += chunk;
          const lines = text.split("\n");
          text = lines.pop() ?? "";
          for (const line of lines) {
            const event = asRecord(JSON.parse(line));
            events.push({ type: String(event["type"]), object: asRecord(event["object"]) });
          }
        });
        incoming.on("error", () => {});
        incoming.on("end", () => {
          isEnded = true;
        });
        resolve({ events, status: incoming.statusCode ?? 0, ended: () => isEnded, close: () => outgoing.destroy() });
      });
      outgoing.end();
    });

  test("events arrive as they happen, from the version that was listed", async () => {
    const { metadata } = await cluster.must("GET", maps);
    const version = String(asRecord(metadata)["resourceVersion"]);
    const stream = await watch(`${maps}?watch=true&resourceVersion=${version}&labelSelector=watched`);
    await cluster.must("POST", maps, { body: configMap("w1", {}, { labels: { watched: "" } }) });
    await cluster.must("POST", maps, { body: configMap("w2") });
    await cluster.must("DELETE", `${maps}/w1`);
    await until("two events", () => stream.events.length === 2);
    assert.deepEqual(
      stream.events.map(({ type, object }) => `${type} ${String(fieldAt(object, "metadata", "name"))}`),
      ["ADDED w1", "DELETED w1"],
    );
    stream.close();
  });

  test("a list can be streamed, and its end is marked", async () => {
    const query =
      "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=0.05";
    const stream = await watch(`/api/v1/namespaces?${query}`);
    await until("the bookmark", () => stream.events.some(({ type }) => type === "BOOKMARK"));
    const last = stream.events.at(-1);
    assert.equal(fieldAt(last?.object, "metadata", "annotations", "k8s.io/initial-events-end"), "true");
    assert.ok(stream.events.some(({ object }) => fieldAt(object, "metadata", "name") === "default"));
    await until("the end after timeoutSeconds", stream.ended);
  });

  test("a version that is forgotten is 410", async () => {
    const { body, status } = await cluster.call("GET", `${maps}?watch=true&resourceVersion=99999999`);
    assert.equal(status, 410);
    assert.equal(body["reason"], "Expired");
  });
});

describe("what tokens may do", () => {
  const rbac = "/apis/rbac.authorization.k8s.io/v1";
  let token: string;

  before(async () => {
    await cluster.must("POST", "/api/v1/namespaces/default/serviceaccounts", {
      body: { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "robot" } },
    });
    const request_ = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { expirationSeconds: 600 } };
    const issued = await cluster.must("POST", "/api/v1/namespaces/default/serviceaccounts/robot/token", {
      body: request_,
    });
    token = String(fieldAt(issued, "status", "token"));
  });

  const review = (resource: string, verb: string): Promise<JsonRecord> =>
    cluster.must("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
      token,
      body: {
        apiVersion: "authorization.k8s.io/v1",
        kind: "SelfSubjectAccessReview",
        spec: { resourceAttributes: { verb, group: "", resource, namespace: "default" } },
      },
    });

  test("nothing, until a role says so", async () => {
    const refused = await cluster.call("GET", maps, { token });
    assert.equal(refused.status, 403);
    assert.match(String(refused.body["message"]), /system:serviceaccount:default:robot/);
    const role = {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "Role",
      metadata: { name: "reader" },
      rules: [{ apiGroups: [""], resources: ["configmaps"], verbs: ["get", "list"] }],
    };
    await cluster.must("POST", `${rbac}/namespaces/default/roles`, { body: role });
    const binding = {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: { name: "robot-reads" },
      roleRef: { kind: "Role", name: "reader" },
      subjects: [{ kind: "ServiceAccount", name: "robot", namespace: "default" }],
    };
    await cluster.must("POST", `${rbac}/namespaces/default/rolebindings`, { body: binding });
    assert.equal((await cluster.call("GET", maps, { token })).status, 200);
    assert.equal((await cluster.call("POST", maps, { token, body: configMap("no") })).status, 403);
    assert.equal((await cluster.call("GET", "/api/v1/configmaps", { token })).status, 403);
    assert.equal((await cluster.call("GET", "/api/v1/namespaces/kube-system/secrets", { token })).status, 403);
    assert.equal(fieldAt(await review("configmaps", "list"), "status", "allowed"), true);
    assert.equal(fieldAt(await review("configmaps", "delete"), "status", "allowed"), false);
  });

  test("the cluster's own keys are no resource, for nobody", async () => {
    assert.ok(cluster.store.list({ group: "internal.outrigger.dev", plural: "clusterkeys" }).items.length >= 2);
    assert.equal((await cluster.call("GET", "/apis/internal.outrigger.dev/v1/clusterkeys")).status, 404);
    const secrets = await cluster.must("GET", "/api/v1/secrets");
    assert.ok(!JSON.stringify(secrets).includes("tls.key"));
  });

  test("to apply what is not there yet needs the right to create", async () => {
    const rules = [{ apiGroups: [""], resources: ["configmaps"], verbs: ["patch"] }];
    const version = { apiVersion: "rbac.authorization.k8s.io/v1" };
    await cluster.must("POST", `${rbac}/namespaces/default/roles`, {
      body: { ...version, kind: "Role", metadata: { name: "patcher" }, rules },
    });
    const subjects = [{ kind: "ServiceAccount", name: "robot", namespace: "default" }];
    const body = {
      ...version,
      kind: "RoleBinding",
      metadata: { name: "patcher" },
      roleRef: { kind: "Role", name: "patcher" },
      subjects,
    };
    await cluster.must("POST", `${rbac}/namespaces/default/rolebindings`, { body });
    await cluster.must("POST", maps, { body: configMap("there") });
    const apply = (name: string): Promise<number> =>
      cluster
        .call("PATCH", `${maps}/${name}?fieldManager=m`, {
          token,
          type: "application/apply-patch+yaml",
          body: configMap(name, { k: "v" }),
        })
        .then(({ status }) => status);
    assert.equal(await apply("there"), 200);
    assert.equal(await apply("absent"), 403);
  });

  test("a role for one object by name allows to list and watch this one", async () => {
    const rules = [{ apiGroups: [""], resources: ["secrets"], resourceNames: ["mine"], verbs: ["get", "list"] }];
    const version = { apiVersion: "rbac.authorization.k8s.io/v1" };
    await cluster.must("POST", `${rbac}/namespaces/default/roles`, {
      body: { ...version, kind: "Role", metadata: { name: "one" }, rules },
    });
    const subjects = [{ kind: "ServiceAccount", name: "robot", namespace: "default" }];
    const body = {
      ...version,
      kind: "RoleBinding",
      metadata: { name: "one" },
      roleRef: { kind: "Role", name: "one" },
      subjects,
    };
    await cluster.must("POST", `${rbac}/namespaces/default/rolebindings`, { body });
    const secrets = "/api/v1/namespaces/default/secrets";
    assert.equal((await cluster.call("GET", `${secrets}?fieldSelector=metadata.name=mine`, { token })).status, 200);
    assert.equal((await cluster.call("GET", `${secrets}?fieldSelector=metadata.name=other`, { token })).status, 403);
    assert.equal((await cluster.call("GET", secrets, { token })).status, 403);
  });

  test("nobody hands out what they do not have", async () => {
    const rules = [{ apiGroups: ["rbac.authorization.k8s.io"], resources: ["clusterroles"], verbs: ["create"] }];
    const metadata = { name: "role-maker" };
    await cluster.must("POST", `${rbac}/clusterroles`, {
      body: { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata, rules },
    });
    await cluster.must("POST", `${rbac}/clusterrolebindings`, {
      body: {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "ClusterRoleBinding",
        metadata,
        roleRef: { kind: "ClusterRole", name: "role-maker" },
        subjects: [{ kind: "ServiceAccount", name: "robot", namespace: "default" }],
      },
    });
    const make = (name: string, wanted: unknown): Promise<number> =>
      cluster
        .call("POST", `${rbac}/clusterroles`, {
          token,
          body: { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata: { name }, rules: wanted },
        })
        .then(({ status }) => status);
    assert.equal(await make("too-much", [{ apiGroups: ["*"], resources: ["*"], verbs: ["*"] }]), 403);
    assert.equal(await make("the-same", rules), 201);
  });

  test("a token review needs a role, and tells whose token it is", async () => {
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token } };
    assert.equal(
      (await cluster.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", { token, body })).status,
      403,
    );
    const reviewed = await cluster.must("POST", "/apis/authentication.k8s.io/v1/tokenreviews", { body });
    assert.equal(fieldAt(reviewed, "status", "authenticated"), true);
    assert.equal(fieldAt(reviewed, "status", "user", "username"), "system:serviceaccount:default:robot");
    const wrong = { ...body, spec: { token, audiences: ["istio-ca"] } };
    const refused = await cluster.must("POST", "/apis/authentication.k8s.io/v1/tokenreviews", { body: wrong });
    assert.equal(fieldAt(refused, "status", "authenticated"), undefined);
  });

  test("a forged or missing token is 401, also for discovery; the keys are public", async () => {
    assert.equal((await cluster.call("GET", "/api", { token: "a.b.c" })).status, 401);
    assert.equal((await cluster.call("GET", "/apis", { token: "" })).status, 401);
    assert.equal((await cluster.call("GET", "/openid/v1/jwks", { token: "" })).status, 200);
  });
});

describe("subresources of pods", () => {
  before(async () => {
    await cluster.must("POST", "/api/v1/namespaces/default/pods", {
      body: {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "p" },
        spec: { containers: [{ name: "main", image: "app:1" }] },
      },
    });
  });

  test("logs come from the node, with what was asked", async () => {
    const answer = await cluster.call("GET", "/api/v1/namespaces/default/pods/p/log?tailLines=10&follow=true");
    assert.equal(answer.text, "log of main\n");
    const asked = cluster.logRequests.at(-1);
    assert.equal(asked?.tailLines, 10);
    assert.equal(asked?.follow, true);
    assert.equal((await cluster.call("GET", "/api/v1/namespaces/default/pods/p/log?container=no")).status, 400);
  });

  test("the status is written on its own", async () => {
    const body = { status: { phase: "Running", podIP: "10.244.0.9" }, metadata: { labels: { ignored: "yes" } } };
    const path = "/api/v1/namespaces/default/pods/p/status";
    const patched = await cluster.must("PATCH", path, { body, type: "application/merge-patch+json" });
    assert.equal(fieldAt(patched, "status", "podIP"), "10.244.0.9");
    assert.equal(fieldAt(patched, "metadata", "labels"), undefined);
  });

  test("a forwarded port carries raw bytes both ways", async () => {
    const echo = createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
    await new Promise((resolve) => echo.once("listening", resolve));
    const own = await startLocalCluster({ controllers: false, dialPort: (echo.address() as AddressInfo).port });
    own.store.create(pods, { apiVersion: "v1", kind: "Pod", metadata: { name: "p", namespace: "default" }, spec: {} });
    const answer = await new Promise<string>((resolve, reject) => {
      const path = "/api/v1/namespaces/default/pods/p/portforward?ports=15000";
      const outgoing = request({
        socketPath: own.socketPath,
        path,
        headers: { connection: "Upgrade", upgrade: "tcp" },
      });
      outgoing.on("error", reject);
      outgoing.on("upgrade", (_response, socket) => {
        let text = "";
        socket.on("data", (chunk: Buffer) => {
          text += chunk.toString();
        });
        socket.on("end", () => resolve(text));
        socket.write("hello");
        socket.end(" there");
      });
      outgoing.end();
    });
    assert.equal(answer, "hello there");
    await own.stop();
    echo.close();
  });

  test("only raw streams can be asked for", async () => {
    const socket = netConnect(cluster.socketPath);
    socket.write(
      "GET /api/v1/namespaces/default/pods/p/portforward?ports=1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    const answer = await new Promise<string>((resolve) => socket.once("data", (data) => resolve(String(data))));
    assert.match(answer, /^HTTP\/1\.1 400 /);
    socket.destroy();
  });
});

describe("the scale of a deployment", () => {
  test("is read and written as autoscaling/v1", async () => {
    const labels = { app: "scaled" };
    const spec = {
      replicas: 0,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "a", image: "a" }] } },
    };
    const path = "/apis/apps/v1/namespaces/default/deployments";
    await cluster.must("POST", path, {
      body: { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "scaled" }, spec },
    });
    const scale = await cluster.must("GET", `${path}/scaled/scale`);
    assert.equal(scale["kind"], "Scale");
    assert.equal(fieldAt(scale, "status", "selector"), "app=scaled");
    await cluster.must("PATCH", `${path}/scaled/scale`, {
      type: "application/merge-patch+json",
      body: { spec: { replicas: 2 } },
    });
    assert.equal(fieldAt(await cluster.must("GET", `${path}/scaled`), "spec", "replicas"), 2);
  });
});

function names(list: JsonRecord): readonly string[] {
  return asArray(list["items"]).map((item) => String(fieldAt(item, "metadata", "name")));
}
