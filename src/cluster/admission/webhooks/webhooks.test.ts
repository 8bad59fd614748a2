// Webhooks over real TLS: which requests reach them, what their patches do, and what happens when they fail.

import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { parseCertificate } from "#wire/x509/certificate.ts";
import { issueAuthority, issueLeaf } from "#wire/x509/issue-certificate.ts";
import { type LocalCluster, startLocalCluster, until } from "../../controllers/local-cluster.test-support.ts";
import { asArray, asRecord, fieldAt, type JsonRecord } from "../../store/json.ts";
import { endpointSlices, mutatingWebhooks, validatingWebhooks } from "../../store/resources.ts";

const names = ["istiod.istio-system.svc"];
const webhookPath = "/apis/admissionregistration.k8s.io/v1";
const podPath = "/api/v1/namespaces/shop/pods";

interface WebhookServer {
  readonly port: number;
  readonly caPem: string;
  readonly reviews: JsonRecord[];
  /** Makes the response to the request of a review. */
  answer: (request: JsonRecord) => JsonRecord | Promise<JsonRecord>;
  close(): void;
}

function key(): { privateKey: KeyObject; publicKey: KeyObject } {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

function spki({ publicKey }: { publicKey: KeyObject }): Buffer {
  return publicKey.export({ type: "spki", format: "der" });
}

async function startWebhook(): Promise<WebhookServer> {
  const ca = key();
  const own = key();
  const validity = { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 60_000 };
  const caPem = issueAuthority(ca.privateKey, { publicKeyInfo: spki(ca), subject: { commonName: "ca" }, ...validity });
  const issuer = { certificate: parseCertificate(caPem), privateKey: ca.privateKey };
  const cert = issueLeaf(issuer, { publicKeyInfo: spki(own), names: { dnsNames: names }, ...validity });
  const settings = { key: own.privateKey.export({ type: "pkcs8", format: "pem" }), cert };
  const reviews: JsonRecord[] = [];
  const server: Server = createServer(settings, async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const review = asRecord(asRecord(JSON.parse(Buffer.concat(chunks).toString()))["request"]);
    reviews.push({ ...review, path: request.url });
    const answer = await webhook.answer(review);
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({
        apiVersion: "admission.k8s.io/v1",
        kind: "AdmissionReview",
        response: { uid: review["uid"], ...answer },
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const webhook: WebhookServer = {
    port: (server.address() as AddressInfo).port,
    caPem,
    reviews,
    answer: () => ({ allowed: true }),
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
  return webhook;
}

const patch = (operations: unknown): JsonRecord => ({
  allowed: true,
  patchType: "JSONPatch",
  patch: Buffer.from(JSON.stringify(operations)).toString("base64"),
});

const pod = (name: string, labels: Record<string, string> = {}): JsonRecord => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, labels },
  spec: { containers: [{ name: "app", image: "app:1" }] },
});

describe("webhooks", () => {
  let cluster: LocalCluster;
  let server: WebhookServer;

  before(async () => {
    cluster = await startLocalCluster();
    server = await startWebhook();
    for (const name of ["istio-system", "shop", "plain"]) {
      const labels = name === "shop" ? { "istio-injection": "enabled" } : {};
      await cluster.must("POST", "/api/v1/namespaces", {
        body: { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } },
      });
    }
    const spec = { ports: [{ name: "https", port: 443, targetPort: 15017 }] };
    await cluster.must("POST", "/api/v1/namespaces/istio-system/services", {
      body: { apiVersion: "v1", kind: "Service", metadata: { name: "istiod" }, spec },
    });
    cluster.store.create(endpointSlices, {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "istiod-1", namespace: "istio-system", labels: { "kubernetes.io/service-name": "istiod" } },
      ports: [{ name: "https", port: server.port, protocol: "TCP" }],
      endpoints: [
        { addresses: ["127.0.0.9"], conditions: { ready: false } },
        { addresses: ["127.0.0.1"], conditions: { ready: true } },
      ],
    });
    await until(
      "service accounts",
      () => cluster.store.list({ group: "", plural: "serviceaccounts" }).items.length >= 6,
    );
  });

  after(async () => {
    server.close();
    await cluster.stop();
  });

  beforeEach(() => {
    server.reviews.length = 0;
    server.answer = () => ({ allowed: true });
    for (const resource of [mutatingWebhooks, validatingWebhooks]) {
      for (const { metadata } of cluster.store.list(resource).items) cluster.store.delete(resource, "", metadata.name);
    }
  });

  const configure = (
    kind: "Mutating" | "Validating",
    extra: JsonRecord = {},
    rule: JsonRecord = {},
  ): Promise<JsonRecord> =>
    cluster.must("POST", `${webhookPath}/${kind.toLowerCase()}webhookconfigurations`, {
      body: {
        apiVersion: "admissionregistration.k8s.io/v1",
        kind: `${kind}WebhookConfiguration`,
        metadata: { name: "hook" },
        webhooks: [
          {
            name: "rev.namespace.sidecar-injector.istio.io",
            clientConfig: {
              service: { name: "istiod", namespace: "istio-system", path: "/inject", port: 443 },
              caBundle: Buffer.from(server.caPem).toString("base64"),
            },
            rules: [{ operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"], ...rule }],
            namespaceSelector: { matchExpressions: [{ key: "istio-injection", operator: "In", values: ["enabled"] }] },
            objectSelector: {
              matchExpressions: [{ key: "sidecar.istio.io/inject", operator: "NotIn", values: ["false"] }],
            },
            sideEffects: "None",
            admissionReviewVersions: ["v1"],
            ...extra,
          },
        ],
      },
    });

  test("a patch adds a container, which then gets defaults and the token like any other", async () => {
    await configure("Mutating");
    server.answer = () =>
      patch([{ op: "add", path: "/spec/containers/-", value: { name: "istio-proxy", image: "proxy:1" } }]);
    const created = await cluster.must("POST", podPath, { body: pod("injected") });
    const containers = asArray(fieldAt(created, "spec", "containers")).map(asRecord);
    assert.deepEqual(
      containers.map(({ name }) => name),
      ["app", "istio-proxy"],
    );
    assert.equal(containers[1]?.["imagePullPolicy"], "IfNotPresent");
    assert.equal(
      fieldAt(asArray(containers[1]?.["volumeMounts"])[0], "mountPath"),
      "/var/run/secrets/kubernetes.io/serviceaccount",
    );
    const [review] = server.reviews;
    assert.equal(review?.["path"], "/inject");
    assert.equal(review?.["operation"], "CREATE");
    assert.equal(review?.["namespace"], "shop");
    assert.deepEqual(review?.["resource"], { group: "", version: "v1", resource: "pods" });
    assert.equal(fieldAt(review, "userInfo", "username"), "kubernetes-admin");
  });

  test("only what the rules and selectors name reaches the webhook", async () => {
    await configure("Mutating");
    await cluster.must("POST", podPath, { body: pod("opted-out", { "sidecar.istio.io/inject": "false" }) });
    await cluster.must("POST", "/api/v1/namespaces/plain/pods", { body: pod("elsewhere") });
    await cluster.must("POST", "/api/v1/namespaces/shop/configmaps", {
      body: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" } },
    });
    await cluster.must("PATCH", `${podPath}/opted-out`, {
      type: "application/merge-patch+json",
      body: { metadata: { labels: { x: "y" } } },
    });
    assert.equal(server.reviews.length, 0);
  });

  test("a refusal reaches the client in the webhook's words, warnings as headers", async () => {
    await configure("Validating", {}, { operations: ["CREATE", "DELETE"] });
    server.answer = () => ({
      allowed: false,
      status: { message: "not on my watch", code: 403 },
      warnings: ["think again"],
    });
    const refused = await cluster.call("POST", podPath, { body: pod("refused") });
    assert.equal(refused.status, 403);
    assert.match(String(refused.body["message"]), /admission webhook "rev.*" denied the request: not on my watch/);
    assert.match(String(refused.headers["warning"]), /299 - "think again"/);
    server.answer = () => ({ allowed: true });
    await cluster.must("POST", podPath, { body: pod("kept") });
    server.answer = () => ({ allowed: false });
    assert.equal((await cluster.call("DELETE", `${podPath}/kept`)).status, 403);
    assert.equal(fieldAt(server.reviews.at(-1), "oldObject", "metadata", "name"), "kept");
  });

  test("a webhook whose certificate its bundle does not sign is not believed", async () => {
    const caBundle = Buffer.from(cluster.api.caPem).toString("base64");
    const service = { name: "istiod", namespace: "istio-system", port: 443 };
    await configure("Mutating", { clientConfig: { service, caBundle } });
    const answer = await cluster.call("POST", podPath, { body: pod("untrusted") });
    assert.equal(answer.status, 500);
    assert.match(String(answer.body["message"]), /failed calling webhook .*https:\/\/istiod\.istio-system\.svc:443/);
    assert.equal(server.reviews.length, 0);
  });

  test("a webhook that does not answer in time fails the request, or is ignored", async () => {
    server.answer = () => new Promise(() => {});
    await configure("Mutating", { timeoutSeconds: 1 });
    const failed = await cluster.call("POST", podPath, { body: pod("late") });
    assert.equal(failed.status, 500);
    assert.match(String(failed.body["message"]), /deadline exceeded/);
    cluster.store.delete(mutatingWebhooks, "", "hook");
    const service = { name: "nobody", namespace: "istio-system", port: 443 };
    await configure("Mutating", { failurePolicy: "Ignore", clientConfig: { service } });
    await cluster.must("POST", podPath, { body: pod("ignored") });
  });

  test("a webhook for one version of a kind sees requests in the others", async () => {
    await configure(
      "Validating",
      { objectSelector: {} },
      { apiGroups: ["networking.istio.io"], apiVersions: ["v1beta1"], resources: ["*"] },
    );
    const body = { apiVersion: "networking.istio.io/v1", kind: "Gateway", metadata: { name: "g" }, spec: {} };
    await cluster.must("POST", "/apis/networking.istio.io/v1/namespaces/shop/gateways", { body });
    assert.equal(fieldAt(server.reviews[0], "object", "apiVersion"), "networking.istio.io/v1beta1");
    assert.deepEqual(fieldAt(server.reviews[0], "requestKind", "version"), "v1");
  });

  test("a pod of a ReplicaSet is made as soon as its webhook has an endpoint", async () => {
    const slice = cluster.store.get(endpointSlices, "istio-system", "istiod-1");
    assert.ok(slice);
    cluster.store.delete(endpointSlices, "istio-system", "istiod-1");
    await configure("Mutating");
    const labels = { app: "waits" };
    const spec = {
      replicas: 2,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "a", image: "a:1" }] } },
    };
    await cluster.must("POST", "/apis/apps/v1/namespaces/shop/deployments", {
      body: { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "waits" }, spec },
    });
    const waiting = (): number =>
      cluster.store.list({ group: "", plural: "pods" }, { labelSelector: "app=waits" }).items.length;
    const failures = (): boolean =>
      cluster.store
        .list({ group: "", plural: "events" }, { namespace: "shop" })
        .items.some(
          (event) => event["reason"] === "FailedCreate" && String(event["message"]).includes("no endpoints available"),
        );
    await until("an event that says why", failures);
    assert.equal(waiting(), 0);
    cluster.store.create(endpointSlices, slice);
    await until("the pods", () => waiting() === 2);
    assert.equal(
      fieldAt(server.reviews[0], "userInfo", "username"),
      "system:serviceaccount:kube-system:replicaset-controller",
    );
  });
});
