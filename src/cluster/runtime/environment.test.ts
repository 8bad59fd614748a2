import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { configMaps, secrets } from "../store/resources.ts";
import { containerIdentity, setprivArguments } from "./container-identity.ts";
import { containerEnvironment, expand } from "./environment.ts";
import { fieldValue, parseQuantity, resourceValue } from "./field-value.ts";
import { hostsFile, resolvConf } from "./pod-files.ts";
import type { ContainerSpec } from "./pod-spec.ts";
import { findUnsupported } from "./pod-spec.ts";

const pod: KubernetesObject = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    name: "web-0",
    namespace: "shop",
    uid: "u1",
    labels: { app: "web", version: "v1" },
    annotations: { note: 'say "hi"' },
  },
  spec: { serviceAccountName: "web", containers: [{ name: "web", image: "web" }] },
};

function container(fields: Partial<ContainerSpec> = {}): ContainerSpec {
  return { name: "web", image: "web", ...fields };
}

const store = new MemoryStore();
store.create(configMaps, {
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "map", namespace: "shop" },
  data: { A: "1", B: "2" },
});
store.create(secrets, {
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name: "key", namespace: "shop" },
  data: { K: Buffer.from("geheim").toString("base64") },
});

function environment(fields: Partial<ContainerSpec>): Record<string, string> {
  const defaults = { PATH: "/bin", A: "image" };
  return Object.fromEntries(
    containerEnvironment({ store, pod, container: container(fields), podAddress: "10.244.0.9", defaults }),
  );
}

describe("a container's environment", () => {
  it("takes later sources over earlier ones, the image's first", () => {
    const result = environment({
      envFrom: [{ configMapRef: { name: "map" } }, { prefix: "S_", secretRef: { name: "key" } }],
      env: [{ name: "B", value: "own" }],
    });
    assert.equal(result["A"], "1");
    assert.equal(result["B"], "own");
    assert.equal(result["S_K"], "geheim");
    assert.equal(result["PATH"], "/bin");
    assert.equal(result["HOSTNAME"], "web-0");
    assert.equal(result["KUBERNETES_SERVICE_HOST"], "10.96.0.1");
  });

  it("reads fields, keys and resources", () => {
    const result = environment({
      resources: { limits: { cpu: "1500m", memory: "64Mi" } },
      env: [
        { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
        { name: "APP", valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
        { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
        { name: "MEM", valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } } },
        { name: "KEY", valueFrom: { secretKeyRef: { name: "key", key: "K" } } },
        { name: "NONE", valueFrom: { configMapKeyRef: { name: "absent", key: "x", optional: true } } },
        { name: "URL", value: "http://$(IP):80/$(KEY)/$(NONE)/$$(IP)" },
      ],
    });
    assert.deepEqual([result["CPU"], result["MEM"], result["APP"]], ["2", "64", "web"]);
    assert.equal(result["URL"], "http://10.244.0.9:80/geheim/$(NONE)/$(IP)");
    assert.equal("NONE" in result, false);
  });

  it("waits for what is missing and names it", () => {
    assert.throws(() => environment({ envFrom: [{ configMapRef: { name: "absent" } }] }), {
      message: 'configmap "absent" not found',
      reason: "CreateContainerConfigError",
    });
    assert.throws(
      () => environment({ env: [{ name: "X", valueFrom: { secretKeyRef: { name: "key", key: "no" } } }] }),
      /secret "key" has no key "no"/,
    );
    assert.throws(
      () => environment({ env: [{ name: "X", valueFrom: { fieldRef: { fieldPath: "spec.magic" } } }] }),
      /env X: there is no field spec.magic/,
    );
  });

  it("expands only what it knows", () => {
    assert.equal(expand("$(A) $(B) $A $$ $(", new Map([["A", "1"]])), "1 $(B) $A $ $(");
  });
});

describe("the downward API", () => {
  it("writes labels and annotations as lines", () => {
    assert.equal(fieldValue(pod, "metadata.labels", ""), 'app="web"\nversion="v1"');
    assert.equal(fieldValue(pod, "metadata.annotations", ""), 'note="say \\"hi\\""');
    assert.equal(fieldValue(pod, "spec.serviceAccountName", ""), "web");
  });

  it("reads quantities and falls back to the machine", () => {
    assert.deepEqual(["2", "500m", "1Gi", "1e3", "x"].map(parseQuantity), [2, 0.5, 2 ** 30, 1000, undefined]);
    assert.ok(Number(resourceValue(pod, container(), { resource: "limits.cpu" })) >= 1);
    assert.equal(resourceValue(pod, container(), { resource: "limits.gpu" }), undefined);
  });
});

describe("a container's identity", () => {
  it("is the container's, then the pod's, then the image's, and never root by accident", () => {
    const pick = (fields: Partial<ContainerSpec>, podUser?: number, imageUser?: number) =>
      containerIdentity(
        container(fields),
        podUser === undefined ? undefined : { runAsUser: podUser },
        imageUser === undefined ? {} : { user: imageUser },
      ).user;
    assert.equal(pick({ securityContext: { runAsUser: 1 } }, 2, 3), 1);
    assert.equal(pick({}, 2, 3), 2);
    assert.equal(pick({}, undefined, 3), 3);
    assert.equal(pick({}), 1000);
  });

  it("drops all capabilities and keeps those that were added", () => {
    const init = containerIdentity(
      container({
        securityContext: { runAsUser: 0, capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "CAP_NET_RAW"] } },
      }),
      { fsGroup: 7, supplementalGroups: [5] },
      {},
    );
    assert.deepEqual(setprivArguments(init), [
      "--reuid=0",
      "--regid=0",
      "--groups=5,7",
      "--bounding-set=-all,+net_admin,+net_raw",
      "--inh-caps=-all",
      "--no-new-privs",
    ]);
    const user = containerIdentity(
      container({ securityContext: { runAsUser: 5, capabilities: { drop: ["ALL"], add: ["NET_BIND_SERVICE"] } } }),
      undefined,
      {},
    );
    assert.ok(setprivArguments(user).includes("--ambient-caps=-all,+net_bind_service"));
  });

  it("refuses root where root is excluded, and capabilities that lead out of the pod", () => {
    assert.throws(
      () => containerIdentity(container({ securityContext: { runAsUser: 0 } }), { runAsNonRoot: true }, {}),
      /must not run as root/,
    );
    assert.throws(
      () => containerIdentity(container({ securityContext: { capabilities: { add: ["SYS_ADMIN"] } } }), undefined, {}),
      /capability SYS_ADMIN is not granted/,
    );
  });
});

describe("a pod's files", () => {
  it("search the pod's own namespace first", () => {
    assert.equal(
      resolvConf(pod),
      "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n",
    );
  });

  it("follow dnsPolicy None and dnsConfig", () => {
    const spec = {
      dnsPolicy: "None",
      dnsConfig: { nameservers: ["1.1.1.1"], searches: ["a.b"], options: [{ name: "ndots", value: "1" }] },
      containers: [],
    };
    assert.equal(resolvConf({ ...pod, spec }), "nameserver 1.1.1.1\nsearch a.b\noptions ndots:1\n");
  });

  it("name the pod by its address, with its subdomain", () => {
    const spec = {
      hostname: "one",
      subdomain: "web",
      hostAliases: [{ ip: "1.2.3.4", hostnames: ["x"] }],
      containers: [],
    };
    const lines = hostsFile({ ...pod, spec }, "10.244.0.9").split("\n");
    assert.deepEqual(lines.slice(2, 4), ["10.244.0.9\tone.web.shop.svc.cluster.local\tone", "1.2.3.4\tx"]);
  });
});

describe("a pod that this node cannot run", () => {
  it("is refused in words", () => {
    const refuse = (spec: object): string | undefined => findUnsupported({ ...pod, spec: { containers: [], ...spec } });
    assert.match(
      refuse({ volumes: [{ name: "v", hostPath: { path: "/" } }] }) ?? "",
      /volume v: hostPath is not supported/,
    );
    assert.match(refuse({ hostNetwork: true }) ?? "", /hostNetwork is not supported/);
    assert.match(
      refuse({ containers: [{ name: "c", image: "i", securityContext: { privileged: true } }] }) ?? "",
      /container c: privileged/,
    );
    assert.equal(refuse({ volumes: [{ name: "v", emptyDir: {} }] }), undefined);
  });
});
