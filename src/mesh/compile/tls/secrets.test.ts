import assert from "node:assert/strict";
import { test } from "node:test";
import { selfSigned } from "#wire/x509/testing/self-signed.ts";
import { meshFromYaml, proxy } from "../../snapshot/testing/mesh-from-yaml.ts";
import { compileSecret } from "./secrets.ts";

const { chain, key } = selfSigned();
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const secret = (namespace: string): string => `---
apiVersion: v1
kind: Secret
metadata: { name: web, namespace: ${namespace} }
data: { tls.crt: ${base64(chain)}, tls.key: ${base64(key)}, ca.crt: ${base64(chain)}, ca.crl: ${base64("list")} }
`;
const grant = `---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: { name: web, namespace: other }
spec:
  from: [{ group: gateway.networking.k8s.io, kind: Gateway, namespace: edge }]
  to: [{ group: "", kind: Secret, name: web }]
`;
const mesh = `${secret("edge")}${secret("other")}---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: g, namespace: edge }
spec:
  selector: { istio: gateway }
  servers:
  - port: { number: 443, name: https, protocol: HTTPS }
    hosts: ["*"]
    tls: { mode: SIMPLE, credentialName: "kubernetes-gateway://other/web" }
`;
const snapshot = meshFromYaml(`${mesh}${grant}`);
const gateway = proxy({ type: "router", namespace: "edge", labels: { istio: "gateway" } });
const sidecar = proxy({ namespace: "edge", labels: { istio: "gateway" } });

test("a certificate and the roots beside it become two secrets, the same message as long as the Secret is the same", () => {
  const certificate = compileSecret(snapshot, gateway, "kubernetes://web");
  assert.equal(certificate?.secret.type.case, "tlsCertificate");
  const roots = compileSecret(snapshot, gateway, "kubernetes://web-cacert")?.secret.type;
  const crl = roots?.case === "validationContext" ? roots.value.crl?.specifier : undefined;
  assert.equal(crl?.case === "inlineBytes" && Buffer.from(crl.value).toString(), "list");
  assert.equal(compileSecret(snapshot, sidecar, "kubernetes://web")?.secret, certificate.secret);
});

test("a proxy gets Secrets of its own namespace if it may read them, and others only as a gateway that names them", () => {
  const mayHave = (node: typeof gateway, name: string): string => {
    const compiled = compileSecret(snapshot, node, name);
    return compiled === undefined ? "no" : compiled.needsPermission ? "with permission" : "yes";
  };
  assert.equal(mayHave(gateway, "kubernetes://web"), "with permission");
  assert.equal(mayHave(sidecar, "kubernetes://edge/web"), "with permission");
  assert.equal(mayHave(gateway, "kubernetes://other/web"), "no");
  assert.equal(mayHave(gateway, "kubernetes-gateway://other/web"), "yes");
  assert.equal(mayHave(gateway, "kubernetes-gateway://edge/web"), "no");
  assert.equal(mayHave(sidecar, "kubernetes-gateway://other/web"), "no");
  assert.equal(mayHave(gateway, "kubernetes://nobody"), "no");
});

test("who may write Gateways in one namespace does not come by the Secrets of another", () => {
  const name = "kubernetes-gateway://other/web";
  assert.equal(compileSecret(meshFromYaml(mesh), gateway, name), undefined, "without a grant");
  const foreign = grant.replace("namespace: edge", "namespace: elsewhere");
  assert.equal(compileSecret(meshFromYaml(`${mesh}${foreign}`), gateway, name), undefined, "granted to others");
  assert.equal(
    compileSecret(meshFromYaml(`${mesh}${grant.replace("name: web }]", "name: api }]")}`), gateway, name),
    undefined,
  );
  // A pod of a third namespace that carries the labels of the gateway, and has a grant of nobody.
  const forged = proxy({ type: "router", namespace: "tenant", labels: { istio: "gateway" } });
  assert.equal(compileSecret(snapshot, forged, name), undefined, "another pod with the gateway's labels");
  const pod = `---
apiVersion: v1
kind: Pod
metadata: { name: gateway-1, namespace: edge, labels: { istio: gateway } }
spec: { containers: [{ name: proxy, image: proxy }] }
`;
  const [issue] = meshFromYaml(`${mesh}${pod}`).issues.filter(({ code }) => code === "IST0101");
  assert.equal(issue?.path, "spec.servers[0].tls.credentialName");
  assert.match(issue?.message ?? "", /no ReferenceGrant in other lets Gateways of edge use its Secret web/);
  assert.deepEqual(meshFromYaml(`${mesh}${pod}${grant}`).issues, []);
});

test("a Gateway of the Gateway API gives its Secrets to the pods of its own Service, whatever labels others carry", () => {
  const made = meshFromYaml(`${secret("edge")}---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: web, namespace: edge }
spec:
  gatewayClassName: istio
  listeners: [{ name: https, port: 443, protocol: HTTPS, tls: { certificateRefs: [{ name: web }] } }]
---
apiVersion: v1
kind: Service
metadata: { name: web-istio, namespace: edge }
spec:
  selector: { gateway.networking.k8s.io/gateway-name: web }
  ports: [{ name: https, port: 443, targetPort: 443 }]
`);
  const labels = { "gateway.networking.k8s.io/gateway-name": "web" };
  const own = proxy({ type: "router", namespace: "edge", labels });
  assert.equal(compileSecret(made, own, "kubernetes-gateway://edge/web")?.needsPermission, false);
  const forged = proxy({ type: "router", namespace: "tenant", labels });
  assert.equal(compileSecret(made, forged, "kubernetes-gateway://edge/web"), undefined);
});

test("roots in a ConfigMap are for everybody, under the names that a BackendTLSPolicy leads to", () => {
  const maps = meshFromYaml(`
apiVersion: v1
kind: ConfigMap
metadata: { name: ca, namespace: shop }
data: { ca.crt: ${JSON.stringify(chain)} }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, namespace: shop }
data: { mode: fast }
`);
  const compiled = compileSecret(maps, sidecar, "configmap://shop/ca-cacert");
  const roots = compiled?.secret.type;
  const trusted = roots?.case === "validationContext" ? roots.value.trustedCa?.specifier : undefined;
  assert.equal(trusted?.case === "inlineBytes" && Buffer.from(trusted.value).toString(), chain);
  assert.equal(compiled?.needsPermission, false);
  assert.equal(compileSecret(maps, sidecar, "configmap://shop/settings-cacert"), undefined);
  assert.equal(compileSecret(maps, sidecar, "configmap://shop/gone-cacert"), undefined);
});
