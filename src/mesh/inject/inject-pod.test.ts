import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { injectPod } from "./inject-pod.ts";
import type { InjectionContext } from "./injection.ts";
import { type Container, findContainer, type Pod, podAnnotations, podLabels } from "./pod.ts";

const basePod: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    generateName: "reviews-v1-5f7c-",
    labels: { app: "reviews", version: "v1", "pod-template-hash": "5f7c" },
    ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "reviews-v1-5f7c", controller: true }],
  },
  spec: {
    serviceAccountName: "bookinfo-reviews",
    containers: [
      {
        name: "reviews",
        image: "examples/reviews:1",
        ports: [{ containerPort: 9080, name: "http" }],
        readinessProbe: { httpGet: { path: "/health", port: "http" }, periodSeconds: 2 },
        livenessProbe: { tcpSocket: { port: 9080 }, timeoutSeconds: 4 },
        lifecycle: { preStop: { httpGet: { path: "/bye", port: 9080 } } },
      },
    ],
  },
};

function inject(pod: Pod, context: InjectionContext = {}, namespace = "default"): Pod {
  const result = injectPod({ pod, namespace, context });
  assert.ok("pod" in result, JSON.stringify(result));
  return result.pod;
}

function problems(annotations: Record<string, string>, context: InjectionContext = {}): string {
  const result = injectPod({ pod: annotated(annotations), namespace: "default", context });
  return "issues" in result ? result.issues.map((issue) => issue.message).join("\n") : "";
}

function annotated(annotations: Record<string, string>): Pod {
  return { ...basePod, metadata: { ...basePod.metadata, annotations } };
}

function container(pod: Pod, name: string): Container {
  const found = findContainer(pod.spec, name);
  assert.ok(found, `container ${name}`);
  return found;
}

function env(pod: Pod, name: string): string | undefined {
  return container(pod, "istio-proxy").env?.find((variable) => variable.name === name)?.value;
}

describe("injectPod", () => {
  test("adds capture and the proxy as native sidecar, with our image by default", () => {
    const pod = inject(basePod);
    assert.deepEqual(
      pod.spec.initContainers?.map(({ name, image, restartPolicy }) => [name, image, restartPolicy]),
      [
        ["istio-init", "outrigger/proxy:0.1.0", undefined],
        ["istio-proxy", "outrigger/proxy:0.1.0", "Always"],
      ],
    );
    assert.deepEqual(
      pod.spec.containers?.map(({ name }) => name),
      ["reviews"],
    );
    assert.equal(env(pod, "ISTIO_META_WORKLOAD_NAME"), "reviews-v1");
    assert.equal(env(pod, "ISTIO_META_OWNER"), "kubernetes://apis/apps/v1/namespaces/default/deployments/reviews-v1");
    assert.equal(podLabels(pod)["service.istio.io/canonical-name"], "reviews");
    assert.equal(podLabels(pod)["service.istio.io/canonical-revision"], "v1");
  });

  test("the mesh's roots come from a ConfigMap, or a ClusterTrustBundle where the control plane uses one", () => {
    const roots = (values: InjectionContext["values"]): unknown => {
      const pod = inject(basePod, values === undefined ? {} : { values });
      return pod.spec.volumes?.find((volume) => volume["name"] === "istiod-ca-cert");
    };
    assert.deepEqual(roots(undefined), { name: "istiod-ca-cert", configMap: { name: "istio-ca-root-cert" } });
    const clusterTrustBundle = { name: "istio.io:istiod-ca:root-cert", path: "root-cert.pem" };
    assert.deepEqual(roots({ pilot: { env: { ENABLE_CLUSTER_TRUST_BUNDLE_API: "true" } } }), {
      name: "istiod-ca-cert",
      projected: { sources: [{ clusterTrustBundle }] },
    });
  });

  test("the classic form has the proxy last, or first when the application waits for it", () => {
    const context: InjectionContext = { nativeSidecars: false };
    assert.deepEqual(
      inject(basePod, context).spec.containers?.map(({ name }) => name),
      ["reviews", "istio-proxy"],
    );
    const held = inject(basePod, {
      ...context,
      meshConfig: { defaultConfig: { holdApplicationUntilProxyStarts: true } },
    });
    assert.deepEqual(
      held.spec.containers?.map(({ name }) => name),
      ["istio-proxy", "reviews"],
    );
    assert.deepEqual(container(held, "istio-proxy").lifecycle?.postStart?.exec, { command: ["pilot-agent", "wait"] });
  });

  test("probes and hooks go to the agent, with the real ones handed over", () => {
    const pod = inject(basePod);
    const app = container(pod, "reviews");
    assert.deepEqual(app.readinessProbe, {
      periodSeconds: 2,
      httpGet: { path: "/app-health/reviews/readyz", port: 15020 },
    });
    assert.deepEqual(app.livenessProbe?.httpGet, { path: "/app-health/reviews/livez", port: 15020 });
    assert.deepEqual(app.lifecycle?.preStop?.httpGet, { path: "/app-lifecycle/reviews/prestopz", port: 15020 });
    assert.deepEqual(JSON.parse(env(pod, "ISTIO_KUBE_APP_PROBERS") ?? ""), {
      "/app-health/reviews/livez": { tcpSocket: { port: 9080 }, timeoutSeconds: 4 },
      "/app-health/reviews/readyz": { httpGet: { path: "/health", port: 9080 } },
      "/app-lifecycle/reviews/prestopz": { httpGet: { path: "/bye", port: 9080 } },
    });
  });

  test("injecting an injected pod changes nothing", () => {
    const sources: Pod[] = [
      basePod,
      annotated({ "prometheus.io/scrape": "true", "prometheus.io/port": "9080", "prometheus.io/path": "/m" }),
      annotated({ "prometheus.istio.io/scrape-targets": "8080:/a,9100:/b" }),
      {
        ...basePod,
        spec: {
          ...basePod.spec,
          containers: [
            ...(basePod.spec.containers ?? []),
            { name: "istio-proxy", image: "auto", resources: { limits: { cpu: "3" } } },
          ],
        },
      },
    ];
    for (const context of [{}, { nativeSidecars: false }]) {
      for (const source of sources) {
        const once = inject(source, context);
        const again = injectPod({ pod: once, namespace: "default", context });
        assert.ok("pod" in again);
        assert.deepEqual(again.pod, once);
        assert.equal(again.patchNeeded, false);
      }
    }
  });

  test("a second injection with other settings leaves nothing of the first", () => {
    const first = inject(basePod, { nativeSidecars: false });
    assert.deepEqual(inject(first), inject(basePod));
  });

  test("the user's own words on the proxy win, and capture exempts the user's uid", () => {
    const proxy: Container = {
      name: "istio-proxy",
      image: "auto",
      env: [{ name: "CA_ADDR", value: "other:1" }],
      securityContext: { runAsUser: 1234 },
    };
    const pod = inject({
      ...basePod,
      spec: { ...basePod.spec, containers: [...(basePod.spec.containers ?? []), proxy] },
    });
    assert.equal(env(pod, "CA_ADDR"), "other:1");
    assert.equal(container(pod, "istio-proxy").image, "outrigger/proxy:0.1.0");
    assert.equal(container(pod, "istio-proxy").securityContext?.runAsUser, 1234);
    const args = container(pod, "istio-init").args ?? [];
    assert.equal(args[args.indexOf("-u") + 1], "1234");
    assert.deepEqual(JSON.parse(podAnnotations(pod)["proxy.istio.io/overrides"] ?? ""), {
      initContainers: [
        {
          name: "istio-proxy",
          env: [{ name: "CA_ADDR", value: "other:1" }],
          securityContext: { runAsUser: 1234 },
          resources: {},
        },
      ],
    });
  });

  test("template gateway makes the pod a gateway", () => {
    const gateway: Pod = {
      metadata: {
        name: "istio-ingressgateway-x",
        labels: { istio: "ingressgateway" },
        annotations: { "inject.istio.io/templates": "gateway" },
      },
      spec: { containers: [{ name: "istio-proxy", image: "auto" }] },
    };
    const pod = inject(gateway, {}, "istio-system");
    assert.equal(pod.spec.initContainers, undefined);
    assert.deepEqual(container(pod, "istio-proxy").args?.slice(0, 2), ["proxy", "router"]);
    assert.deepEqual(pod.spec.securityContext, {
      sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }],
    });
  });

  test("a template of the user is laid over the pod; one with Go directives is refused", () => {
    const templates = {
      extra: "spec:\n  containers:\n  - name: istio-proxy\n    env:\n    - {name: EXTRA, value: 'yes'}\n",
      go: 'metadata:\n  labels: {a: "{{ .Revision }}"}\n',
    };
    const own = { "inject.istio.io/templates": "sidecar,extra" };
    assert.equal(env(inject(annotated(own), { config: { templates } }), "EXTRA"), "yes");
    assert.match(problems({ "inject.istio.io/templates": "sidecar,go" }, { config: { templates } }), /Go template/);
    assert.match(problems({ "inject.istio.io/templates": "nothing" }), /there is no template "nothing"/);
  });

  test("ProxyConfig of the pod lies over the mesh's, and metadata becomes environment", () => {
    const pod = inject(annotated({ "proxy.istio.io/config": "concurrency: 3\nproxyMetadata:\n  B: from-pod\n" }), {
      meshConfig: { defaultConfig: { discoveryAddress: "d:1", proxyMetadata: { A: "from-mesh", B: "from-mesh" } } },
    });
    assert.deepEqual(JSON.parse(env(pod, "PROXY_CONFIG") ?? ""), {
      discoveryAddress: "d:1",
      concurrency: 3,
      proxyMetadata: { A: "from-mesh", B: "from-pod" },
    });
    assert.deepEqual([env(pod, "A"), env(pod, "B")], ["from-mesh", "from-pod"]);
  });

  test("what cannot be used is an issue that names annotation and value", () => {
    const wrong: Record<string, string> = {
      "sidecar.istio.io/interceptionMode": "SOMETIMES",
      "status.sidecar.istio.io/port": "99999",
      "readiness.status.sidecar.istio.io/periodSeconds": "soon",
      "traffic.sidecar.istio.io/excludeOutboundIPRanges": "10.0.0.0",
      "traffic.sidecar.istio.io/includeInboundPorts": "80;90",
      "traffic.sidecar.istio.io/excludeInterfaces": "an interface",
      "prometheus.istio.io/merge-metrics": "perhaps",
      "prometheus.istio.io/scrape-targets": "15090:/stats",
      "proxy.istio.io/config": "concurency: 2",
      "sidecar.istio.io/proxyCPU": "lots",
      "sidecar.istio.io/userVolume": "[]",
    };
    for (const [name, value] of Object.entries(wrong)) {
      assert.ok(problems({ [name]: value }).includes(name), `${name}: ${value}`);
    }
  });

  test("the webhook's path sets cluster, network and further environment", () => {
    const pod = inject(basePod, { clusterId: "c1", network: "n1", injectedEnv: { OTHER: "x" } });
    assert.deepEqual(
      [env(pod, "ISTIO_META_CLUSTER_ID"), env(pod, "ISTIO_META_NETWORK"), env(pod, "OTHER")],
      ["c1", "n1", "x"],
    );
    assert.equal(podLabels(pod)["topology.istio.io/network"], "n1");
  });
});
