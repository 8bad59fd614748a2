// What the control plane says and refuses through the cluster's API.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { killContainer, processesWith } from "../support/host.ts";
import { eventually, TestMesh } from "../support/mesh.ts";

const collection = "/apis/networking.istio.io/v1/namespaces/default/virtualservices";
let mesh: TestMesh;

const deployment = "/apis/apps/v1/namespaces/istio-system/deployments/istiod";
const pods = "/api/v1/namespaces/istio-system/pods";

interface Status {
  readonly observedGeneration?: number;
  readonly conditions?: readonly Readonly<Record<"type" | "status" | "reason" | "message", string>>[];
}

describe("the control plane", { timeout: 900_000 }, () => {
  before(async () => {
    mesh = await TestMesh.start({ copy: ["examples/bookinfo"] });
  });
  after(async () => {
    await mesh?.stop();
  });

  test("an object's status and the command say at how many proxies it is in force", async () => {
    await eventually("the status of reviews", async () => {
      const { status } = (await mesh.api(`${collection}/reviews`)) as { status?: Status };
      const reconciled = status?.conditions?.find(({ type }) => type === "Reconciled");
      const inForce = status?.conditions?.find(({ type }) => type === "outrigger.dev/InForce");
      // Six sidecars see it; the gateway does not.
      const isThere = reconciled?.status === "True" && reconciled.message === "6/6 proxies up to date.";
      return isThere && inForce?.status === "True" && /virtual-service-reviews\.yaml:\d+/.test(inForce.message)
        ? true
        : undefined;
    });
    const { stdout } = await mesh.run("status");
    assert.match(stdout, /^VirtualService +default +reviews +in force +6 of 6 /m);
  });

  test("with two control planes a status counts the proxies of both, nothing of one that died, and names one that is silent", async () => {
    await mesh.write("PATCH", deployment, { spec: { replicas: 2 } });
    await spreadSidecars();
    await untilReconciled("True UpToDate: 6/6 proxies up to date.");
    assert.match((await mesh.run("status")).stdout, /^VirtualService +default +reviews +in force +6 of 6 /m);
    // Killed with its node, so that it takes nothing back.
    const dead = (await roles()).follower;
    signalProcess(dead, "SIGSTOP");
    await mesh.write("DELETE", `${pods}/${dead}?gracePeriodSeconds=0`);
    const counts = await spreadSidecars();
    assert.ok(!counts.has(dead));
    await untilReconciled("True UpToDate: 6/6 proxies up to date.");
    // Its process stands still, as behind a partition: its pod is there, and it says nothing.
    const { follower } = await roles();
    signalProcess(follower, "SIGSTOP");
    try {
      const unknown = `Nothing is known of proxies of ${follower}: no report came for more than 30 s.`;
      await untilReconciled(new RegExp(`^Unknown ReplicaSilent: (\\d)/\\1 proxies up to date\\. ${unknown}$`), 90_000);
      const { stdout } = await mesh.run("status");
      assert.match(stdout, new RegExp(`nothing is known of proxies that are connected to ${follower}`));
    } finally {
      signalProcess(follower, "SIGCONT");
    }
    await untilReconciled("True UpToDate: 6/6 proxies up to date.", 60_000);
  });

  test("the API server refuses what Istio's webhook refuses, with the field and the fix", async () => {
    const answer = await create({
      hosts: ["reviews"],
      http: [{ timeout: "soon", route: [{ destination: { host: "reviews" } }] }],
    });
    assert.equal(answer.status, 422);
    assert.match(answer.body, /spec\.http\[0\]\.timeout/);
    const unknown = await create({ hosts: ["reviews"], htpp: [] });
    assert.match(unknown.body, /did you mean/);
    const right = await create({
      hosts: ["elsewhere.example.com"],
      http: [{ route: [{ destination: { host: "reviews" } }] }],
    });
    assert.equal(right.status, 201, right.body);
  });
});

/** `True UpToDate: 6/6 proxies up to date.` */
async function reconciled(): Promise<string> {
  const { status } = (await mesh.api(`${collection}/reviews`)) as { status?: Status };
  const found = status?.conditions?.find(({ type }) => type === "Reconciled");
  return found === undefined ? "" : `${found.status} ${found.reason}: ${found.message}`;
}

async function untilReconciled(wanted: string | RegExp, timeoutMs?: number): Promise<void> {
  await eventually(
    `the status ${wanted}`,
    async () => {
      const is = await reconciled();
      return (typeof wanted === "string" ? is === wanted : wanted.test(is)) ? true : undefined;
    },
    timeoutMs,
  );
}

/** By control plane that is ready: how many sidecars of the namespace default are connected to it. */
async function sidecarsByReplica(): Promise<Map<string, number>> {
  const { stdout } = await mesh.run("proxy-status", "-o", "json");
  const rows = JSON.parse(stdout) as readonly { readonly istiod: string; readonly proxy: string }[];
  const counts = new Map<string, number>();
  for (const { istiod, proxy } of rows) {
    if (proxy.endsWith(".default")) counts.set(istiod, (counts.get(istiod) ?? 0) + 1);
  }
  return counts;
}

/** Sidecars choose a replica by chance: some connect anew until each replica has one. */
async function spreadSidecars(): Promise<Map<string, number>> {
  await eventually("two control planes that are ready", async () => {
    const { status } = (await mesh.api(deployment)) as { status?: { readyReplicas?: number; replicas?: number } };
    return status?.readyReplicas === 2 && status.replicas === 2 ? true : undefined;
  });
  for (const app of ["reviews-v", "ratings-v", "details-v", "productpage-v", "reviews-v", "ratings-v"]) {
    const counts = await eventually("six connected sidecars", async () => {
      const found = await sidecarsByReplica();
      return [...found.values()].reduce((sum, count) => sum + count, 0) === 6 ? found : undefined;
    });
    if (counts.size === 2) return counts;
    const before = sidecarsOf(app);
    killContainer(app, sidecarCommand);
    await eventually("its sidecars, started again", () => {
      const now = sidecarsOf(app);
      return now.size === before.size && now.isDisjointFrom(before) ? true : undefined;
    });
  }
  throw new Error("all sidecars are connected to one control plane");
}

const sidecarCommand = "proxy sidecar";

/** Processes of the sidecars of pods whose names begin so. */
function sidecarsOf(app: string): Set<number> {
  const processes = processesWith(`POD_NAME=${app}`).filter(({ command }) => command.includes(sidecarCommand));
  return new Set(processes.map(({ pid }) => pid));
}

/** The replica that writes statuses, and the other. */
async function roles(): Promise<{ leader: string; follower: string }> {
  const lease = "/apis/coordination.k8s.io/v1/namespaces/istio-system/leases/istio-status-leader";
  return eventually("a leader and a follower", async () => {
    const { spec } = (await mesh.api(lease)) as { spec?: { holderIdentity?: string } };
    const { items } = (await mesh.api(`${pods}?labelSelector=app%3Distiod`)) as {
      readonly items: readonly { readonly metadata: { readonly name: string } }[];
    };
    const names = items.map(({ metadata }) => metadata.name);
    const leader = names.find((name) => name === spec?.holderIdentity);
    const follower = names.find((name) => name !== leader);
    return names.length === 2 && leader !== undefined && follower !== undefined ? { leader, follower } : undefined;
  });
}

function signalProcess(pod: string, signal: NodeJS.Signals): void {
  const found = processesWith(`POD_NAME=${pod}`).filter(({ command }) => command.includes("discovery"));
  assert.ok(found.length > 0, pod);
  for (const { pid } of found) process.kill(pid, signal);
}

function create(spec: unknown): Promise<{ status: number; body: string }> {
  const object = {
    apiVersion: "networking.istio.io/v1",
    kind: "VirtualService",
    metadata: { name: "by-hand", namespace: "default" },
    spec,
  };
  return mesh.write("POST", collection, object);
}
