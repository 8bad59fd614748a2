// What makes pods besides Deployments, and the life of a pod with its sidecar: order at the start, probes, crashes, the
// end.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, TestMesh } from "../support/mesh.ts";
import { curl, PodShell, seen } from "../support/pod-shell.ts";

interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly restartCount: number;
      readonly ready: boolean;
      readonly state: {
        readonly waiting?: { readonly reason: string };
        readonly terminated?: { readonly exitCode: number };
      };
    }[];
  };
}

interface Condition {
  readonly type: string;
  readonly reason: string;
}

let mesh: TestMesh;
let client: PodShell;

async function podsOf(selector: string): Promise<readonly Pod[]> {
  const list = await mesh.api(`/api/v1/namespaces/default/pods?labelSelector=${encodeURIComponent(selector)}`);
  return (list as { readonly items: readonly Pod[] }).items;
}

const containerOf = (pod: Pod | undefined, name: string) =>
  pod?.status.containerStatuses?.find((status) => status.name === name);

async function jobConditions(name: string): Promise<string> {
  const job = (await mesh.api(`/apis/batch/v1/namespaces/default/jobs/${name}`)) as {
    readonly status?: { readonly conditions?: readonly Condition[] };
  };
  return (job.status?.conditions ?? []).map(({ type, reason }) => `${type}:${reason}`).join();
}

describe("kinds of workloads", { timeout: 300_000 }, () => {
  before(async () => {
    mesh = await TestMesh.start({ copy: ["test/fixtures/workloads", "test/fixtures/workload-kinds"] });
    client = await PodShell.open(mesh, "client", "client");
  });
  after(async () => {
    await client?.close();
    await mesh?.stop();
  });

  test("up waited for StatefulSet and DaemonSet, and says what a claim is here, with its place", async () => {
    const pods = [...(await podsOf("app=store")), ...(await podsOf("app=agent"))];
    assert.match(pods.map(({ metadata }) => metadata.name).join(), /^store-0,store-1,agent-\w+$/);
    for (const pod of pods)
      assert.ok(
        pod.status.containerStatuses?.every(({ ready }) => ready),
        pod.metadata.name,
      );
    assert.match(mesh.output, /workload-kinds\.yaml:\d+:\d+ warning OUT0603 .*data is an empty folder here/);
  });

  test("each pod of a StatefulSet is reached under its own name, HTTP and TCP, through the mesh", async () => {
    for (const name of ["store-0", "store-1"]) {
      const answer = seen(await curl(client, `http://${name}.store:8000/by-name`));
      assert.equal(answer.version, name);
      const echo = await client.run(`echo hello | node socket.ts ${name}.store 9000`);
      assert.match(echo.stdout, new RegExp(`hello\\n\\n${name} got 6 bytes`), echo.stderr);
    }
    const peer = await PodShell.open(mesh, "store-0", "store");
    const echo = await peer.run("echo to my peer | node socket.ts store-1.store.default.svc.cluster.local 9000");
    assert.match(echo.stdout, /store-1 got 11 bytes/);
    await peer.close();
    await eventually("mutual TLS in the log of the peer", async () => {
      const stdout = await mesh.log("statefulset.kubernetes.io/pod-name=store-1", "istio-proxy");
      return /"- - -" 0 - .*outbound_\.9000_\._\.store\.default|inbound\|9000\|\|.*outbound_\.9000/.test(stdout)
        ? true
        : undefined;
    });
  });

  test("a pod of a StatefulSet that goes comes back under its name, and the mesh follows", async () => {
    const [before] = await podsOf("statefulset.kubernetes.io/pod-name=store-0");
    await mesh.write("DELETE", "/api/v1/namespaces/default/pods/store-0");
    await eventually("the next store-0", async () => {
      const [now] = await podsOf("statefulset.kubernetes.io/pod-name=store-0");
      return now !== undefined && now.metadata.uid !== before?.metadata.uid && containerOf(now, "store")?.ready === true
        ? true
        : undefined;
    });
    await eventually("its answer", async () => {
      const answer = await curl(client, "http://store-0.store:8000/again");
      return answer.status === 200 && seen(answer).version === "store-0" ? true : undefined;
    });
  });

  test("Jobs with a sidecar end: each pod was served at once, and the Job is complete", async () => {
    await eventually("its end", async () =>
      (await jobConditions("migrate")).includes("Complete:CompletionsReached") ? true : undefined,
    );
    const pods = await podsOf("job-name=migrate");
    assert.deepEqual(
      pods.map(({ status }) => status.phase),
      ["Succeeded", "Succeeded"],
    );
    assert.equal((await mesh.log("job-name=migrate", "migrate")).match(/"path":"\/migrated"/g)?.length, 2);
    const lines = (await mesh.log("app=echo", "istio-proxy")).split("\n").filter((line) => line.includes("/migrated"));
    assert.ok(
      lines.some((line) => line.includes("inbound|8000")),
      "the request passed through sidecars",
    );
  });

  test("a Job that fails is tried again as often as it says, and then has failed", async () => {
    await eventually("its end", async () =>
      (await jobConditions("hopeless")).includes("Failed:BackoffLimitExceeded") ? true : undefined,
    );
    const pods = await podsOf("job-name=hopeless");
    assert.deepEqual(
      pods.map((pod) => containerOf(pod, "hopeless")?.state.terminated?.exitCode),
      [3, 3],
    );
  });

  test("a slow application is served from its first moment, and its liveness probe waits for the startup probe", async () => {
    const [pod] = await podsOf("app=slow");
    assert.equal(containerOf(pod, "slow")?.restartCount, 0);
    const stdout = await mesh.log("app=slow", "slow");
    assert.match(stdout, /^at the start 200$/m);
  });

  test("while it ends an application is still served by its sidecar, which ends after it", async () => {
    const [pod] = await podsOf("app=slow");
    const name = pod?.metadata.name ?? "";
    const following = [mesh.run("logs", name, "-c", "slow", "-f"), mesh.run("logs", name, "-c", "istio-proxy", "-f")];
    await mesh.write("DELETE", `/api/v1/namespaces/default/pods/${name}`);
    const [own, proxy] = await Promise.all(following);
    assert.match(own?.stdout ?? "", /^at the end 200$/m);
    assert.match(proxy?.stdout ?? "", /\/at-end/);
  });

  test("a container that crashes is started again with back-off, and an image that nobody knows waits; others go on", async () => {
    mesh.writeConfig(
      "broken.yaml",
      `${crashing("crashing", "outrigger-test/sh")}---\n${crashing("unknown", "example.com/nobody/knows:1")}`,
    );
    await eventually("the back-off", async () => {
      const [pod] = await podsOf("app=crashing");
      const status = containerOf(pod, "app");
      return (status?.restartCount ?? 0) >= 2 && status?.state.waiting?.reason === "CrashLoopBackOff"
        ? true
        : undefined;
    });
    await eventually("the wait for an image", async () => {
      const [pod] = await podsOf("app=unknown");
      return /Image/.test(containerOf(pod, "app")?.state.waiting?.reason ?? "") ? true : undefined;
    });
    await eventually("a word about both", () =>
      /! pod unknown-\S+: .*app waits \(\w*Image\w*: .*example\.com\/nobody\/knows/.test(mesh.output) &&
      /! pod crashing-\S+: .*app waits \(CrashLoopBackOff/.test(mesh.output)
        ? true
        : undefined,
    );
    const status = await mesh.run("status");
    assert.match(status.stdout, /^pod unknown-\S+: .*app waits \(\w*Image/m);
    assert.match(status.stdout, /^default +migrate-\S+ +yes /m);
    const stdout = await mesh.log("app=crashing", "app");
    assert.equal(stdout, "crash\n");
    assert.equal((await curl(client, "http://echo:8000/still")).status, 200);
    mesh.removeConfig("broken.yaml");
    await eventually("that they are gone", async () =>
      (await podsOf("app in (crashing,unknown)")).length === 0 ? true : undefined,
    );
  });
});

function crashing(name: string, image: string): string {
  return `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: "${image}", args: ["echo crash; exit 1"]}]
`;
}
