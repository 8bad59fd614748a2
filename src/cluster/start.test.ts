import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { get } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { removeStateDirectory } from "./sandbox/remove-state.ts";
import { ClusterUnderTest, eventually, skipReason } from "./sandbox/testing/cluster-under-test.ts";
import { asArray, asRecord, fieldAt } from "./store/json.ts";

const skip = skipReason();
if (skip !== false) console.log(`skipped: tests with a real sandbox: ${skip}`);

const webServer = `
import { createServer } from "node:http";
import { hostname } from "node:os";
const server = createServer((request, response) => {
  if (request.url === "/kill") process.kill(process.pid, "SIGKILL");
  response.end(JSON.stringify({ path: request.url, host: hostname(), user: process.getuid(), group: process.getgid() }));
});
server.listen(8080, "0.0.0.0");
console.log("listening", process.env.GREETING);
process.on("SIGTERM", () => {
  console.log("got SIGTERM");
  setTimeout(() => process.exit(0), 100);
});
`;

const client = `
import { Resolver, lookup, resolve4, resolveSrv } from "node:dns/promises";
const report = { env: process.env.FROM_MAP, file: undefined };
const { readFileSync, readdirSync } = await import("node:fs");
const attempt = async (task) => {
  try { return await task(); } catch (error) { return error.cause?.code ?? error.code ?? error.message; }
};
report.byName = await attempt(async () => (await (await fetch("http://web/by-name")).json()).path);
report.address = await attempt(async () => (await lookup("web.default.svc.cluster.local")).address);
report.srv = await attempt(async () => (await resolveSrv("_http._tcp.web.default.svc.cluster.local")).map((r) => r.name + ":" + r.port));
report.unknown = await attempt(() => resolve4("nothing.default.svc.cluster.local"));
report.wrongPort = await attempt(async () => (await fetch("http://web:81/")).status);
report.api = await attempt(async () => (await fetch("https://kubernetes.default/version")).status);
report.file = readFileSync("/config/greeting", "utf8");
report.sub = readFileSync("/etc/one.conf", "utf8");
report.token = readFileSync("/var/run/secrets/kubernetes.io/serviceaccount/token", "utf8").split(".").length;
report.users = readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name)).length;
report.writeRoot = await attempt(async () => (await import("node:fs/promises")).writeFile("/etc/x", ""));
report.writeData = await attempt(async () => { await (await import("node:fs/promises")).writeFile("/data/x", "1"); return "ok"; });
console.log(JSON.stringify(report));
setInterval(() => {}, 1000);
`;

const images = `
images:
  test/web: { command: [node, web.mjs], user: 1000 }
  test/client: { command: [node, client.mjs] }
  test/sh: { command: [sh], user: 4711 }
`;

const pods = "/api/v1/namespaces/default/pods";

function pod(name: string, spec: object, labels: Record<string, string> = {}): object {
  return { apiVersion: "v1", kind: "Pod", metadata: { name, labels }, spec };
}

function containerState(object: unknown, name: string): Readonly<Record<string, unknown>> {
  const statuses = [
    ...asArray(fieldAt(object, "status", "initContainerStatuses")),
    ...asArray(fieldAt(object, "status", "containerStatuses")),
  ];
  return asRecord(statuses.map(asRecord).find((status) => status["name"] === name));
}

function isReady(object: unknown): boolean {
  return asArray(fieldAt(object, "status", "conditions"))
    .map(asRecord)
    .some(({ type, status }) => type === "Ready" && status === "True");
}

describe("the embedded cluster in its sandbox", { skip, timeout: 60_000 }, () => {
  let cluster: ClusterUnderTest;
  const before_ = hostState();

  before(async () => {
    cluster = await ClusterUnderTest.start({
      files: { "web.mjs": webServer, "client.mjs": client },
      images,
      ports: [{ host: "127.0.0.1", port: 0, target: { namespace: "default", service: "web", port: 80 } }],
    });
    await cluster.create("/api/v1/namespaces/default/services", {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web" },
      spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: "http" }] },
    });
    await cluster.create("/api/v1/namespaces/default/configmaps", {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "settings" },
      data: { greeting: "hello", "one.conf": "one" },
    });
  });

  after(async () => {
    await cluster.stop();
    assert.deepEqual(hostState(), before_, "something is left on the host");
  });

  const webPod = (name: string) =>
    pod(
      name,
      {
        initContainers: [
          {
            name: "init",
            image: "test/sh",
            args: ["-c", "echo $(id -u) > /data/first; cat /etc/resolv.conf"],
            volumeMounts: [{ name: "data", mountPath: "/data" }],
          },
          {
            name: "sidecar",
            image: "test/sh",
            restartPolicy: "Always",
            args: ["-c", "trap 'echo sidecar ends; exit 0' TERM; cat /data/first; while :; do sleep 0.05; done"],
            startupProbe: { exec: { command: ["test", "-e", "/data/first"] }, periodSeconds: 1 },
            volumeMounts: [{ name: "data", mountPath: "/data" }],
          },
        ],
        containers: [
          {
            name: "web",
            image: "example.com/test/web:1",
            command: ["node", "web.mjs"],
            ports: [{ name: "http", containerPort: 8080 }],
            env: [
              { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
              { name: "GREETING", value: "at $(IP)" },
            ],
            readinessProbe: { httpGet: { path: "/ready", port: "http" } },
            securityContext: { runAsUser: 1001, runAsGroup: 1002 },
          },
        ],
        volumes: [{ name: "data", emptyDir: {} }],
      },
      { app: "web" },
    );

  it("says which image is missing and what to add", async () => {
    await cluster.create(pods, webPod("missing"));
    const waiting = await eventually("a waiting container", async () => {
      const state = fieldAt(containerState(await cluster.get(`${pods}/missing`), "web"), "state", "waiting");
      return fieldAt(state, "reason") === "ErrImagePull" ? String(fieldAt(state, "message")) : undefined;
    });
    assert.match(waiting, /no local command is known for image "example.com\/test\/web:1": add it to .*images\.yaml/);
    await cluster.remove(`${pods}/missing`);
    await eventually("the pod to go", async () =>
      (await cluster.call("GET", `${pods}/missing`)).status === 404 ? true : undefined,
    );
  });

  it("runs init containers in order, then the others under their own users", async () => {
    const web = JSON.parse(
      JSON.stringify(webPod("web"))
        .replace("example.com/test/web:1", "docker.io/test/web:1.0")
        .replace('"command":["node","web.mjs"],', ""),
    ) as object;
    await cluster.create(pods, web);
    const ready = await eventually("the pod to be ready", async () => {
      const object = await cluster.get(`${pods}/web`);
      return isReady(object) ? object : undefined;
    });
    assert.equal(fieldAt(ready, "status", "phase"), "Running");
    const address = String(fieldAt(ready, "status", "podIP"));
    assert.match(await cluster.log("web", "web"), new RegExp(`listening at ${address}`));
    assert.match(
      await cluster.log("web", "init"),
      /search default\.svc\.cluster\.local svc\.cluster\.local cluster\.local\noptions ndots:5/,
    );
    assert.equal((await cluster.log("web", "sidecar")).trim(), "4711");
    assert.equal(containerState(ready, "sidecar")["ready"], true);
  });

  it("serves the host's port from the service's ready pods", async () => {
    const answer = await httpGet(cluster.sandbox.ports[0] ?? 0, "/from-host");
    assert.deepEqual(JSON.parse(answer), { path: "/from-host", host: "web", user: 1001, group: 1002 });
  });

  it("lets a pod reach services by name and address, and its own files and nobody else's", async () => {
    await cluster.create(
      pods,
      pod("client", {
        containers: [
          {
            name: "client",
            image: "test/client",
            env: [
              { name: "FROM_MAP", valueFrom: { configMapKeyRef: { name: "settings", key: "greeting" } } },
              { name: "NODE_EXTRA_CA_CERTS", value: "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt" },
            ],
            volumeMounts: [
              { name: "config", mountPath: "/config" },
              { name: "config", mountPath: "/etc/one.conf", subPath: "one.conf" },
              { name: "data", mountPath: "/data" },
            ],
          },
        ],
        volumes: [
          { name: "config", configMap: { name: "settings" } },
          { name: "data", emptyDir: { medium: "Memory" } },
        ],
      }),
    );
    const report = await eventually("the client's report", async () => {
      const log = await cluster.log("client", "client");
      return log.startsWith("{") && log.endsWith("}\n") ? (JSON.parse(log) as Record<string, unknown>) : undefined;
    });
    const service = await cluster.get("/api/v1/namespaces/default/services/web");
    assert.deepEqual(report, {
      env: "hello",
      file: "hello",
      byName: "/by-name",
      address: fieldAt(service, "spec", "clusterIP"),
      srv: ["web.default.svc.cluster.local:80"],
      unknown: "ENOTFOUND",
      wrongPort: "ECONNREFUSED",
      api: 200,
      sub: "one",
      token: 3,
      users: 1,
      writeRoot: "EROFS",
      writeData: "ok",
    });
  });

  it("passes a changed ConfigMap on to the pods that mount it", async () => {
    await cluster.create(
      pods,
      pod("reader", {
        containers: [
          {
            name: "reader",
            image: "test/sh",
            args: ["-c", "while :; do cat /config/greeting; echo; sleep 0.02; done"],
            volumeMounts: [{ name: "config", mountPath: "/config" }],
          },
        ],
        volumes: [{ name: "config", configMap: { name: "settings" } }],
      }),
    );
    await eventually(
      "the first value",
      async () => (await cluster.log("reader", "reader")).includes("hello") || undefined,
    );
    const path = "/api/v1/namespaces/default/configmaps/settings";
    const map = await cluster.get(path);
    await cluster.call("PUT", path, { ...map, data: { greeting: "good day", "one.conf": "one" } });
    await eventually(
      "the second value",
      async () => (await cluster.log("reader", "reader")).includes("good day") || undefined,
    );
    await cluster.remove(`${pods}/reader?gracePeriodSeconds=0`);
  });

  it("connects to a port of a pod from outside", async () => {
    const answer = await cluster.throughPort(
      "web",
      8080,
      "GET /forwarded HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    );
    assert.match(answer, /"path":"\/forwarded"/);
    const refused = await cluster.throughPort("web", 9, "x").catch((error: Error) => error.message);
    assert.match(refused, /no connection to port 9 in the pod: connect ECONNREFUSED/);
  });

  it("starts a container again whose process was killed, and the pod is ready again", async () => {
    const before = containerState(await cluster.get(`${pods}/web`), "web")["containerID"];
    await cluster.throughPort("web", 8080, "GET /kill HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    const after = await eventually("the second run", async () => {
      const object = await cluster.get(`${pods}/web`);
      const state = containerState(object, "web");
      return state["containerID"] !== before && isReady(object) ? state : undefined;
    });
    assert.equal(after["restartCount"], 1);
    assert.equal(fieldAt(after, "lastState", "terminated", "exitCode"), 137);
    assert.deepEqual(JSON.parse(await httpGet(cluster.sandbox.ports[0] ?? 0, "/again")), {
      path: "/again",
      host: "web",
      user: 1001,
      group: 1002,
    });
  });

  it("gives root in a container only the capabilities that it asks for", async () => {
    await cluster.create(
      pods,
      pod("rules", {
        restartPolicy: "Never",
        containers: [
          {
            name: "rules",
            image: "test/sh",
            args: [
              "-c",
              "grep CapEff /proc/self/status; iptables -t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 15001 && iptables-save -t nat | grep -c REDIRECT; mount -t tmpfs x /mnt 2>/dev/null || echo no mount; ls /var/lib/outrigger; ls /home",
            ],
            securityContext: { runAsUser: 0, capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "NET_RAW"] } },
          },
        ],
      }),
    );
    await eventually("the pod to end", async () =>
      fieldAt(await cluster.get(`${pods}/rules`), "status", "phase") === "Succeeded" ? true : undefined,
    );
    assert.equal(await cluster.log("rules", "rules"), "CapEff:\t0000000000003000\n1\nno mount\n");
  });

  it("starts a failing container again, at once and then with back-off, and keeps the log of the run before", async () => {
    await cluster.create(
      pods,
      pod("failing", { containers: [{ name: "failing", image: "test/sh", args: ["-c", "echo run; exit 3"] }] }),
    );
    const waiting = await eventually("the back-off", async () => {
      const state = containerState(await cluster.get(`${pods}/failing`), "failing");
      return fieldAt(state, "state", "waiting", "reason") === "CrashLoopBackOff" ? state : undefined;
    });
    assert.equal(fieldAt(waiting, "lastState", "terminated", "exitCode"), 3);
    assert.ok(Number(waiting["restartCount"]) >= 2);
    assert.equal(await cluster.log("failing", "failing", "&previous=true"), "run\n");
    await cluster.remove(`${pods}/failing?gracePeriodSeconds=0`);
  });

  it("ends the containers with SIGTERM, the sidecar after them, and removes the pod", async () => {
    const following = cluster.call("GET", `${pods}/web/log?container=web&follow=true`);
    const sidecar = cluster.call("GET", `${pods}/web/log?container=sidecar&follow=true`);
    const start = Date.now();
    await cluster.remove(`${pods}/web`);
    await eventually("the pod to go", async () =>
      (await cluster.call("GET", `${pods}/web`)).status === 404 ? true : undefined,
    );
    assert.ok(Date.now() - start < 5_000, "the grace period was waited for in full");
    assert.match((await following).body, /got SIGTERM/);
    assert.match((await sidecar).body, /sidecar ends/);
  });

  it("resets connections from the host while no pod is ready", async () => {
    const socket = connect(cluster.sandbox.ports[0] ?? 0, "127.0.0.1");
    const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
    assert.equal(error.code, "ECONNRESET");
  });
});

describe("a sandbox whose owner is killed", { skip, timeout: 30_000 }, () => {
  it("is ended by the kernel, with every process in it", async () => {
    const before = hostState();
    const script = `
      import { ClusterUnderTest } from ${JSON.stringify(join(import.meta.dirname, "sandbox/testing/cluster-under-test.ts"))};
      const cluster = await ClusterUnderTest.start({ files: {}, images: "images: { test/sh: { command: [sleep, '1000'] } }" });
      await cluster.create("/api/v1/namespaces/default/pods", { apiVersion: "v1", kind: "Pod", metadata: { name: "a" }, spec: { containers: [{ name: "a", image: "test/sh" }] } });
      for (let found = false; !found; ) found = (await cluster.get("/api/v1/namespaces/default/pods/a")).status?.phase === "Running";
      console.log(JSON.stringify({ pid: cluster.sandbox.pid, folder: cluster.folder }));
    `;
    const owner = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(owner.stdout, "data")) as [Buffer];
    const { pid, folder } = JSON.parse(String(line)) as { pid: number; folder: string };
    assert.ok(descendants(pid).length >= 3, "shell, cluster and the pod's container run");
    const inside = descendants(pid);
    owner.kill("SIGKILL");
    await once(owner, "exit");
    await eventually(
      "the processes to end",
      () => ([pid, ...inside].every((one) => !isAlive(one)) ? true : undefined),
      5_000,
    );
    await removeStateDirectory(folder);
    assert.deepEqual(hostState(), before);
  });
});

/** What a cluster could leave behind: network namespaces, links, mounts. */
function hostState(): object {
  const run = (file: string, args: readonly string[]): string => execFileSync(file, args, { encoding: "utf8" });
  return {
    namespaces: run("ip", ["netns", "list"]),
    links: run("ip", ["-o", "link"])
      .split("\n")
      .filter((line) => /outrigger|veth[0-9a-z]{1,3}@/.test(line)),
    mounts: readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => line.includes("outrigger")),
    forwarding: readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8"),
    own: readlinkSync("/proc/self/ns/net"),
  };
}

function descendants(pid: number): number[] {
  const children = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => parentOf(name) === pid)
    .map(Number);
  return [...children, ...children.flatMap(descendants)];
}

function parentOf(pid: string): number | undefined {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return undefined; // it has ended meanwhile
  }
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false; // gone
  }
}

function httpGet(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ host: "127.0.0.1", port, path, agent: false }, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => {
        text += String(chunk);
      });
      response.on("end", () => resolve(text));
    }).on("error", reject);
  });
}
