import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { ManualClock } from "#base/time/clock.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { meshFromYaml } from "#mesh/snapshot/testing/mesh-from-yaml.ts";
import { KubernetesClient } from "../sources/kubernetes/client.ts";
import { type FakeApiServer, startFakeApiServer } from "../sources/kubernetes/testing/fake-api-server.ts";
import { reportContent } from "./distribution-report.ts";
import type { Observation, Observations } from "./observation.ts";
import { ReplicaReports, silentAfterMs } from "./replica-reports.ts";
import { ReportPublisher } from "./report-publisher.ts";

const maps = "/api/v1/configmaps";
const mapPath = (replica: string): string => `/api/v1/namespaces/istio-system/configmaps/${replica}-distribution`;
const key = "VirtualService/default/reviews";

const seen = (proxies: number, current: number, more: Partial<Observation> = {}): Observations =>
  new Map([[key, { progress: { proxies, current, rejections: [] }, moduleProxies: 0, ...more }]]);

const snapshotOf = (generation: number): MeshSnapshot =>
  meshFromYaml(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default, generation: ${generation}}
spec: {hosts: [reviews.example.com], http: [{route: [{destination: {host: reviews.example.com}}]}]}
`);

const pod = (name: string, isRunning = true): KubernetesObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "istio-system" },
  status: { phase: "Running", containerStatuses: [{ state: isRunning ? { running: {} } : { waiting: {} } }] },
});

interface Replicas {
  readonly api: FakeApiServer;
  readonly clock: ManualClock;
  /** By name: what a watch of pods has brought. */
  readonly pods: Map<string, KubernetesObject>;
  publisher(replica: string, isPod?: boolean): ReportPublisher;
  /** As the replica `leader` reads them. */
  readonly reports: ReplicaReports;
  /** Proxies, up to date, and silent replicas, over those of the leader and the others. */
  joined(own: Observations, generation?: number): string;
}

async function startReplicas(t: TestContext): Promise<Replicas> {
  const api = await startFakeApiServer([maps]);
  const clock = new ManualClock(1_000_000);
  const client = new KubernetesClient({ socketPath: api.socketPath });
  const pods = new Map<string, KubernetesObject>();
  const common = { client, clock, log: silentLogger };
  const reports = new ReplicaReports({
    ...common,
    namespace: "istio-system",
    revision: "default",
    replica: "leader",
    pod: (name) => pods.get(name),
    onChange: () => {},
  });
  reports.start();
  t.after(async () => {
    await reports.stop();
    client.close();
    await api.stop();
  });
  await until(() => reports.isSynced && api.watchCount(maps) === 1);
  return {
    api,
    clock,
    pods,
    reports,
    publisher: (replica, isPod = true) =>
      new ReportPublisher({
        ...common,
        place: () => ({ replica, isPod, namespace: "istio-system", revision: "default" }),
      }),
    joined: (own, generation = 1) => {
      const { observations, silent } = reports.joined(snapshotOf(generation), own);
      const { proxies, current } = observations.get(key)?.progress ?? { proxies: 0, current: 0 };
      return [`${current}/${proxies}`, ...silent].join(" ");
    },
  };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `never: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

test("proxies of all replicas are counted, and one that ends takes its report back", async (t) => {
  const { pods, publisher, joined, reports } = await startReplicas(t);
  for (const name of ["leader", "second", "third"]) pods.set(name, pod(name));
  // What this replica told itself is known better here.
  publisher("leader").publish(reportContent(snapshotOf(1), seen(9, 9)));
  const second = publisher("second");
  const third = publisher("third");
  second.publish(reportContent(snapshotOf(1), seen(2, 2)));
  third.publish(reportContent(snapshotOf(1), seen(3, 1)));
  await until(() => joined(seen(4, 4)) === "7/9");
  third.publish(reportContent(snapshotOf(1), seen(3, 3)));
  await until(() => joined(seen(4, 4)) === "9/9");
  assert.equal(reports.hasPeers, true);
  await second.withdraw();
  await until(() => joined(seen(4, 4)) === "7/7");
  await third.stop();
  await until(() => joined(seen(4, 4)) === "4/4" && !reports.hasPeers);
});

test("what a replica tells of another version of an object counts nobody as up to date", async (t) => {
  const { pods, publisher, joined } = await startReplicas(t);
  pods.set("second", pod("second"));
  const second = publisher("second");
  second.publish(reportContent(snapshotOf(1), seen(2, 2)));
  await until(() => joined(seen(1, 1)) === "3/3");
  assert.equal(joined(seen(1, 1), 2), "1/3");
  second.publish(reportContent(snapshotOf(2), seen(2, 1)));
  await until(() => joined(seen(1, 1), 2) === "2/3");
});

test("a replica whose pod is gone or has no process leaves no count behind, and its report is removed", async (t) => {
  const { api, clock, pods, publisher, joined, reports } = await startReplicas(t);
  pods.set("second", pod("second"));
  publisher("second").publish(reportContent(snapshotOf(1), seen(2, 2)));
  await until(() => joined(seen(1, 1)) === "3/3");
  pods.set("second", pod("second", false));
  assert.equal(joined(seen(1, 1)), "1/1");
  pods.set("second", pod("second"));
  assert.equal(joined(seen(1, 1)), "3/3");
  pods.delete("second");
  assert.equal(joined(seen(1, 1)), "1/1");
  assert.equal(reports.hasPeers, false);
  assert.notEqual(api.object(mapPath("second")), undefined);
  for (let passed = 0; passed <= silentAfterMs; passed += 5000) clock.advance(5000);
  await until(() => api.object(mapPath("second")) === undefined);
});

test("a replica that falls silent is named and not counted, until it reports again", async (t) => {
  const { api, clock, pods, publisher, joined, reports } = await startReplicas(t);
  pods.set("second", pod("second"));
  const second = publisher("second");
  second.publish(reportContent(snapshotOf(1), seen(2, 2)));
  await until(() => joined(seen(1, 1)) === "3/3");
  // It cannot reach the API server.
  api.respond = ({ method }) => (method === "PUT" ? { status: 503, body: { message: "away" } } : undefined);
  const started = clock.now();
  await until(() => {
    clock.advance(1000);
    return joined(seen(1, 1)) === "1/1 second";
  });
  assert.ok(clock.now() - started >= silentAfterMs - 1000, `after ${clock.now() - started} ms`);
  assert.equal(reports.hasPeers, true);
  assert.notEqual(api.object(mapPath("second")), undefined);
  delete api.respond;
  await until(() => {
    clock.advance(1000);
    return joined(seen(1, 1)) === "3/3";
  });
});

test("a replica that has nothing new to tell renews its report", async (t) => {
  const { api, clock, pods, publisher, joined } = await startReplicas(t);
  pods.set("second", pod("second"));
  publisher("second").publish(reportContent(snapshotOf(1), seen(2, 2)));
  await until(() => joined(seen(1, 1)) === "3/3");
  for (let round = 0; round < 6; round++) {
    const version = api.object(mapPath("second"))?.metadata.resourceVersion;
    await until(() => {
      clock.advance(1000);
      return api.object(mapPath("second"))?.metadata.resourceVersion !== version;
    });
    await until(() => joined(seen(1, 1)) === "3/3");
  }
});
