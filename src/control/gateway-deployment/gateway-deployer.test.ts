// Against the embedded cluster's API server and controllers.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { systemClock } from "#base/time/clock.ts";
import { type LocalCluster, startLocalCluster, until } from "#cluster/controllers/local-cluster.test-support.ts";
import { asArray, fieldAt } from "#cluster/store/json.ts";
import { deployments, serviceAccounts, services } from "#cluster/store/resources.ts";
import type { GatewayDeployments, ManagedGateway } from "#mesh/gateway-api/deployments.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { KubernetesClient } from "../sources/kubernetes/client.ts";
import { GatewayDeployer } from "./gateway-deployer.ts";

const gateways = "/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways";
const deployment = "/apis/apps/v1/namespaces/default/deployments/web-istio";
const service = "/api/v1/namespaces/default/services/web-istio";

interface SetUp {
  readonly cluster: LocalCluster;
  readonly deployer: GatewayDeployer;
  readonly gateway: ManagedGateway;
}

async function setUp(t: TestContext): Promise<SetUp> {
  const cluster = await startLocalCluster();
  t.after(() => cluster.stop());
  const client = new KubernetesClient({ socketPath: cluster.socketPath });
  const deployer = new GatewayDeployer({ client, revision: "default", log: silentLogger, clock: systemClock });
  t.after(async () => {
    await deployer.stop();
    client.close();
  });
  const made = await cluster.must("POST", gateways, {
    body: {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name: "web" },
      spec: { gatewayClassName: "istio", listeners: [{ name: "http", port: 80, protocol: "HTTP" }] },
    },
  });
  const gateway: ManagedGateway = {
    name: "web",
    namespace: "default",
    apiVersion: "gateway.networking.k8s.io/v1",
    uid: String((made["metadata"] as { uid?: string }).uid),
    className: "istio",
    deploymentName: "web-istio",
    serviceAccount: "web-istio",
    serviceType: "ClusterIP",
    loadBalancerIp: "",
    labels: { team: "edge" },
    annotations: {},
    overlays: {},
    ports: [{ name: "http", number: 80, appProtocol: "http" }],
  };
  return { cluster, deployer, gateway };
}

const wanted = (...gatewayList: ManagedGateway[]): GatewayDeployments => ({
  gateways: gatewayList,
  missingClasses: [],
});

function present({ store }: LocalCluster): string[] {
  return [deployments, services, serviceAccounts]
    .filter((resource) => store.get(resource, "default", "web-istio") !== undefined)
    .map(({ plural }) => plural);
}

const isComplete = (cluster: LocalCluster): boolean => present(cluster).length === 3;

test("nothing is made before this replica leads, and then everything; what is deleted is made again", async (t) => {
  const { cluster, deployer, gateway } = await setUp(t);
  deployer.want(wanted(gateway));
  assert.deepEqual(present(cluster), []);
  deployer.lead();
  await until("that all objects are there", () => isComplete(cluster));
  for (const path of [service, deployment]) {
    await cluster.must("DELETE", path);
    await until(`${path} again`, () => isComplete(cluster));
  }
});

test("a listener that comes becomes a port; what somebody else wrote stays, what is ours is put right", async (t) => {
  const { cluster, deployer, gateway } = await setUp(t);
  deployer.want(wanted(gateway));
  deployer.lead();
  await until("that all objects are there", () => isComplete(cluster));
  const patch = { type: "application/merge-patch+json" };
  await cluster.must("PATCH", deployment, { ...patch, body: { spec: { replicas: 3 } } });
  await cluster.must("PATCH", service, { ...patch, body: { metadata: { labels: { team: "other", mine: "yes" } } } });
  const more = { name: "admin", number: 8080, appProtocol: "http" };
  deployer.want(wanted({ ...gateway, ports: [...gateway.ports, more] }));
  await until("the port and the label", () => {
    const stored = cluster.store.get(services, "default", "web-istio");
    const ports = asArray(fieldAt(stored, "spec", "ports")).map((port) => fieldAt(port, "port"));
    const { team, mine } = stored?.metadata.labels ?? {};
    return ports.join() === "15021,80,8080" && team === "edge" && mine === "yes";
  });
  const { spec } = (await cluster.must("GET", deployment)) as { spec: { replicas: number } };
  assert.equal(spec.replicas, 3);
});

test("what was made goes with its Gateway", async (t) => {
  const { cluster, deployer, gateway } = await setUp(t);
  deployer.want(wanted(gateway));
  deployer.lead();
  await until("that all objects are there", () => isComplete(cluster));
  deployer.want(wanted());
  await cluster.must("DELETE", `${gateways}/web`);
  await until("that nothing is left", () => present(cluster).length === 0);
});

test("classes that nobody wrote are made", async (t) => {
  const { cluster, deployer } = await setUp(t);
  deployer.want({
    gateways: [],
    missingClasses: [{ name: "istio", controllerName: "istio.io/gateway-controller", description: "d" }],
  });
  deployer.lead();
  const classes = { group: "gateway.networking.k8s.io", plural: "gatewayclasses" };
  await until("the class", () => cluster.store.get(classes, "", "istio") !== undefined);
  assert.deepEqual(cluster.store.get(classes, "", "istio")?.["spec"], {
    controllerName: "istio.io/gateway-controller",
    description: "d",
  });
});

test("parameters are laid on what is made, and an autoscaler comes and goes with them", async (t) => {
  const { cluster, deployer, gateway } = await setUp(t);
  const container = { name: "istio-proxy", resources: { requests: { cpu: "222m" } } };
  const overlays: ManagedGateway["overlays"] = {
    deployment: [
      { metadata: { annotations: { a: "b" } }, spec: { replicas: 4 } },
      { spec: { replicas: 2, template: { spec: { containers: [container], nodeSelector: { edge: "yes" } } } } },
    ],
    service: [{ spec: { type: null, ports: [{ port: 80, nodePort: 30_080 }] } }],
    horizontalPodAutoscaler: [{ spec: { minReplicas: 2, maxReplicas: 5 } }],
    podDisruptionBudget: [{ spec: { minAvailable: 1 } }],
  };
  deployer.want(wanted({ ...gateway, overlays }));
  deployer.lead();
  const autoscalers = { group: "autoscaling", plural: "horizontalpodautoscalers" };
  const budgets = { group: "policy", plural: "poddisruptionbudgets" };
  const find = (resource: typeof deployments): KubernetesObject | undefined =>
    cluster.store.get(resource, "default", "web-istio") as KubernetesObject | undefined;
  await until("the budget", () => find(budgets) !== undefined && isComplete(cluster));
  const made = find(deployments);
  assert.equal(made?.metadata.annotations?.["a"], "b");
  assert.equal(fieldAt(made, "spec", "replicas"), 2);
  const pod = fieldAt(made, "spec", "template", "spec");
  assert.deepEqual(fieldAt(pod, "nodeSelector"), { edge: "yes" });
  const [proxy] = asArray(fieldAt(pod, "containers"));
  assert.deepEqual([fieldAt(proxy, "image"), fieldAt(proxy, "resources", "requests", "cpu")], ["auto", "222m"]);
  const ports = asArray(fieldAt(find(services), "spec", "ports"));
  assert.deepEqual(ports.map((port) => [fieldAt(port, "name"), fieldAt(port, "port")]).sort(), [
    ["http", 80],
    ["status-port", 15021],
  ]);
  assert.equal(
    fieldAt(
      ports.find((port) => fieldAt(port, "port") === 80),
      "nodePort",
    ),
    30_080,
  );
  assert.deepEqual(fieldAt(find(autoscalers), "spec", "scaleTargetRef"), {
    apiVersion: "apps/v1",
    kind: "Deployment",
    name: "web-istio",
  });
  assert.equal(fieldAt(find(autoscalers), "spec", "maxReplicas"), 5);
  assert.equal(fieldAt(find(budgets), "spec", "minAvailable"), 1);
  const { horizontalPodAutoscaler: _, ...others } = overlays;
  deployer.want(wanted({ ...gateway, overlays: others }));
  await until("the end of the autoscaler", () => find(autoscalers) === undefined);
  assert.notEqual(find(budgets), undefined);
});
