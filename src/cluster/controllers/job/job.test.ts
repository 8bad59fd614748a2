import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../../store/json.ts";
import { jobs, pods } from "../../store/resources.ts";
import { type LocalCluster, startLocalCluster, until } from "../local-cluster.test-support.ts";
import { isActive } from "../pod-state.ts";
import { indexAnnotation, progressOf } from "./progress.ts";

const path = "/apis/batch/v1/namespaces/default/jobs";
const type = "application/merge-patch+json";

const job = (extra: JsonRecord = {}, restartPolicy = "Never"): JsonRecord => ({
  apiVersion: "batch/v1",
  kind: "Job",
  metadata: { name: "work" },
  spec: { template: { spec: { restartPolicy, containers: [{ name: "app", image: "app:1" }] } }, ...extra },
});

async function start(t: TestContext): Promise<LocalCluster> {
  const cluster = await startLocalCluster();
  t.after(() => cluster.stop());
  return cluster;
}

const ofJob = ({ store }: LocalCluster): readonly KubernetesObject[] =>
  store.list(pods, { labelSelector: "job-name=work" }).items;
const running = (cluster: LocalCluster): readonly KubernetesObject[] => ofJob(cluster).filter(isActive);
const status = ({ store }: LocalCluster): JsonRecord => asRecord(store.get(jobs, "default", "work")?.["status"]);
const conditions = (cluster: LocalCluster): string =>
  asArray(status(cluster)["conditions"])
    .map(asRecord)
    .map(({ type: name, reason }) => `${name}:${reason}`)
    .join();

function end({ store }: LocalCluster, pod: KubernetesObject | undefined, phase: "Succeeded" | "Failed"): void {
  store.patch(pods, "default", pod?.metadata.name ?? "", { status: { phase } }, { status: true });
}

test("a Job runs its pods side by side until enough have succeeded", async (t) => {
  const cluster = await start(t);
  await cluster.must("POST", path, { body: job({ completions: 3, parallelism: 2 }) });
  await until("two pods", () => running(cluster).length === 2);
  end(cluster, running(cluster)[0], "Succeeded");
  await until("the third", () => running(cluster).length === 2 && status(cluster)["succeeded"] === 1);
  end(cluster, running(cluster)[0], "Succeeded");
  await until("one left", () => running(cluster).length === 1 && status(cluster)["succeeded"] === 2);
  end(cluster, running(cluster)[0], "Succeeded");
  await until("its end", () => conditions(cluster).includes("Complete:CompletionsReached"));
  assert.equal(ofJob(cluster).length, 3);
  assert.equal(typeof status(cluster)["completionTime"], "string");
  await cluster.must("DELETE", `${path}/work`);
  await until("that its pods are gone", () => ofJob(cluster).length === 0);
});

test("a failed pod is made anew, and past the back-off limit the Job has failed and its pods go", async (t) => {
  const cluster = await start(t);
  await cluster.must("POST", path, { body: job({ backoffLimit: 1, parallelism: 2, completions: 2 }) });
  await until("two pods", () => running(cluster).length === 2);
  end(cluster, running(cluster)[0], "Failed");
  await until("another at once", () => running(cluster).length === 2 && status(cluster)["failed"] === 1);
  end(cluster, running(cluster)[0], "Failed");
  await until("its end", () => conditions(cluster).includes("Failed:BackoffLimitExceeded"));
  await until("that nothing runs", () => running(cluster).length === 0);
});

test("an indexed Job gives every pod its number, and only those that failed run again", async (t) => {
  const cluster = await start(t);
  await cluster.must("POST", path, { body: job({ completions: 3, parallelism: 3, completionMode: "Indexed" }) });
  await until("three pods", () => running(cluster).length === 3);
  const indexOf = (pod: KubernetesObject): string => pod.metadata.annotations?.[indexAnnotation] ?? "";
  assert.deepEqual(running(cluster).map(indexOf).sort(), ["0", "1", "2"]);
  const [container] = asArray(
    fieldAt(
      running(cluster).find((pod) => indexOf(pod) === "1"),
      "spec",
      "containers",
    ),
  );
  assert.deepEqual(asRecord(container)["env"], [{ name: "JOB_COMPLETION_INDEX", value: "1" }]);
  for (const pod of running(cluster)) end(cluster, pod, indexOf(pod) === "1" ? "Failed" : "Succeeded");
  await until("the second again", () => running(cluster).map(indexOf).join() === "1");
  assert.equal(status(cluster)["completedIndexes"], "0,2");
  end(cluster, running(cluster)[0], "Succeeded");
  await until(
    "its end",
    () => status(cluster)["completedIndexes"] === "0-2" && conditions(cluster).includes("Complete"),
  );
});

test("a suspended Job has no pods, and goes on when it is let", async (t) => {
  const cluster = await start(t);
  await cluster.must("POST", path, { body: job() });
  await until("the pod", () => running(cluster).length === 1);
  await cluster.must("PATCH", `${path}/work`, { type, body: { spec: { suspend: true } } });
  await until("no pod", () => running(cluster).length === 0 && conditions(cluster) === "Suspended:JobSuspended");
  await cluster.must("PATCH", `${path}/work`, { type, body: { spec: { suspend: false } } });
  await until("the pod again", () => running(cluster).length === 1 && conditions(cluster) === "");
});

test("a Job that has ended goes after its time", async (t) => {
  const cluster = await start(t);
  await cluster.must("POST", path, { body: job({ ttlSecondsAfterFinished: 0 }) });
  await until("the pod", () => running(cluster).length === 1);
  end(cluster, running(cluster)[0], "Succeeded");
  await until("that all is gone", () => cluster.store.list(jobs).items.length === 0 && ofJob(cluster).length === 0);
});

test("a Job must end, and its template stays", async (t) => {
  const cluster = await start(t);
  const always = await cluster.call("POST", path, { body: job({}, "Always") });
  assert.match(always.text, /restartPolicy.*must be one of OnFailure, Never/);
  const policy = await cluster.call("POST", path, { body: job({ podFailurePolicy: { rules: [] } }) });
  assert.match(policy.text, /spec\.podFailurePolicy.*not supported/);
  await cluster.must("POST", path, { body: job() });
  const changed = { spec: { template: { spec: { containers: [{ name: "app", image: "app:2" }] } } } };
  assert.match(
    (await cluster.call("PATCH", `${path}/work`, { type, body: changed })).text,
    /spec\.template.*immutable/,
  );
});

test("deadline, back-off and restarts of the kubelet, by the clock", () => {
  const at = (second: number): string => new Date(second * 1000).toISOString();
  const pod = (phase: string, finishedAt = 0, restartCount = 0): KubernetesObject => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "a" },
    status: { phase, containerStatuses: [{ restartCount, state: { terminated: { finishedAt: at(finishedAt) } } }] },
  });
  const spec = (more: JsonRecord, restartPolicy = "Never"): KubernetesObject => ({
    ...(job(more, restartPolicy) as unknown as KubernetesObject),
    status: { startTime: at(100) },
  });
  assert.equal(progressOf(spec({ activeDeadlineSeconds: 30 }), [], 110_000).deadlineInMs, 20_000);
  assert.equal(progressOf(spec({ activeDeadlineSeconds: 30 }), [], 131_000).deadlineInMs, 0);
  const backoff = (failures: number): number =>
    progressOf(
      spec({}),
      Array.from({ length: failures }, () => pod("Failed", 100)),
      100_000,
    ).backoffMs;
  assert.deepEqual([1, 2, 3, 4, 20].map(backoff), [0, 1_000, 2_000, 4_000, 60_000]);
  const restarted = (restarts: number, policy: string): boolean =>
    progressOf(spec({ backoffLimit: 2 }, policy), [pod("Running", 0, restarts)], 0).isPastBackoffLimit;
  assert.deepEqual([restarted(1, "OnFailure"), restarted(2, "OnFailure"), restarted(2, "Never")], [false, true, false]);
});
