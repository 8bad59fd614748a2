// Where certificates and trust come from besides the mesh's own CA: an operator's CA with revocation lists, roots in a
// ClusterTrustBundle, and a signer of the Kubernetes CSR API; by real pods with mutual TLS.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type AuthorityMaterial, createSelfSignedMaterial } from "#control/ca/material.ts";
import { intermediateOf } from "#control/ca/testing/intermediate.ts";
import { block, cacertsOf, type LeafOfOperator, leafOf, revocationsOf } from "../support/certificate-authority.ts";
import { istiodWith } from "../support/istiod.ts";
import { eventually, TestMesh } from "../support/mesh.ts";
import { curl, PodShell, seen } from "../support/pod-shell.ts";

const hourMs = 3_600_000;

const strict = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: strict
  namespace: default
spec:
  mtls:
    mode: STRICT
`;

interface ConfigMaps {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly namespace: string };
    data?: object;
  }[];
}

async function configMaps(mesh: TestMesh, name: string): Promise<ConfigMaps["items"]> {
  const { items } = (await mesh.api("/api/v1/configmaps")) as ConfigMaps;
  return items.filter(({ metadata }) => metadata.name === name);
}

function echoLogs(mesh: TestMesh): Promise<string> {
  const logs = ["echo-v1", "echo-v2"].map((name) => mesh.run("logs", name, "-c", "istio-proxy", "--tail", "200"));
  return Promise.all(logs).then((all) => all.map(({ stdout }) => stdout).join(""));
}

/** Asks a pod over TLS, as somebody outside of the mesh with a certificate would. */
class Visitor {
  readonly #shell: PodShell;
  readonly #address: string;

  constructor(shell: PodShell, address: string) {
    this.#shell = shell;
    this.#address = address;
  }

  async place({ certificate, key }: LeafOfOperator, issuer: string): Promise<void> {
    const write = (name: string, text: string): string => `printf '%s' '${text}' > /tmp/${name}.pem;`;
    await this.#shell.run(`${write("cert", certificate)}${write("key", key)}${write("issuer", issuer)}`);
  }

  async ask(): Promise<string> {
    const request = "printf 'GET / HTTP/1.1\\r\\nHost: echo\\r\\nConnection: close\\r\\n\\r\\n'";
    const own = "-cert /tmp/cert.pem -key /tmp/key.pem -cert_chain /tmp/issuer.pem";
    const { stdout } = await this.#shell.run(
      `${request} | timeout 5 openssl s_client -connect ${this.#address}:8000 -alpn istio ${own} -quiet 2>&1`,
    );
    return stdout;
  }

  /** Subjects and issuers of what the pod shows. */
  async shown(): Promise<string> {
    const { stdout } = await this.#shell.run(
      `timeout 5 openssl s_client -showcerts -connect ${this.#address}:8000 -alpn istio </dev/null 2>/dev/null | grep -E '^ *([0-9]+ )?[si]:'`,
    );
    return stdout;
  }
}

async function visitor(mesh: TestMesh, shell: PodShell): Promise<Visitor> {
  const { stdout } = await mesh.exec("echo-v1", "echo", "hostname", "-i");
  return new Visitor(shell, stdout.trim());
}

describe("an operator's CA with revocation lists, its roots in a ClusterTrustBundle", { timeout: 300_000 }, () => {
  const root = createSelfSignedMaterial("operator", Date.now(), hourMs);
  const issuer = intermediateOf(root, Date.now(), hourMs);
  const guest = leafOf(issuer, "spiffe://cluster.local/ns/outside/sa/guest");
  let mesh: TestMesh;
  let client: PodShell;
  let outside: PodShell;
  let guests: Visitor;

  const lists = (revoked: readonly string[]): string => revocationsOf(issuer, revoked) + revocationsOf(root, []);

  before(async () => {
    mesh = await TestMesh.start({
      copy: ["test/fixtures/workloads"],
      files: {
        "cacerts.yaml": cacertsOf(issuer),
        "istiod.yaml": istiodWith({ ENABLE_CLUSTER_TRUST_BUNDLE_API: "true" }),
        "strict.yaml": strict,
      },
    });
    [client, outside] = await Promise.all([
      PodShell.open(mesh, "client", "client"),
      PodShell.open(mesh, "external.outside", "external"),
    ]);
    guests = await visitor(mesh, outside);
    await guests.place(guest, issuer.caCertificate);
  });
  after(async () => {
    await Promise.all([client?.close(), outside?.close()]);
    await mesh?.stop();
  });

  test("pods project the bundle: no namespace has the roots as a ConfigMap", async () => {
    const path = "/apis/certificates.k8s.io/v1beta1/clustertrustbundles/istio.io:istiod-ca:root-cert";
    const { spec } = (await mesh.api(path)) as { spec: { signerName: string; trustBundle: string } };
    assert.equal(spec.signerName, "istio.io/istiod-ca");
    assert.ok(spec.trustBundle.includes(root.caCertificate.trim()), spec.trustBundle);
    assert.deepEqual(await configMaps(mesh, "istio-ca-root-cert"), []);
    const { stdout } = await mesh.exec("echo-v1", "istio-proxy", "cat", "/var/run/secrets/istio/root-cert.pem");
    assert.ok(stdout.includes(root.caCertificate.trim()));
    const answer = await curl(client, "http://echo.default:8000/");
    assert.equal(answer.status, 200);
    assert.match(seen(answer).headers["x-forwarded-client-cert"] ?? "", /URI=spiffe:\S+\/sa\/client/);
  });

  test("a certificate is served until a list revokes it, and again when the lists are gone", async () => {
    assert.match(await guests.ask(), /HTTP\/1\.1 200 OK/);
    mesh.writeConfig("cacerts.yaml", cacertsOf(issuer, lists([])));
    await eventually("the lists in every namespace", async () => {
      const maps = await configMaps(mesh, "istio-ca-crl");
      const all = maps.every(({ data }) => JSON.stringify(data).includes("X509 CRL"));
      return maps.length > 2 && all ? true : undefined;
    });
    assert.match(await guests.ask(), /HTTP\/1\.1 200 OK/, "empty lists revoke nobody");
    mesh.writeConfig("cacerts.yaml", cacertsOf(issuer, lists([guest.serialNumber])));
    await eventually("the guest to be refused", async () => (/HTTP\/1\.1/.test(await guests.ask()) ? undefined : true));
    await eventually("the reason", async () => (/CERT_REVOKED/.test(await echoLogs(mesh)) ? true : undefined));
    for (let asked = 0; asked < 10; asked++) {
      assert.equal((await curl(client, "-H 'connection: close' http://echo.default:8000/")).status, 200);
    }
    mesh.writeConfig("cacerts.yaml", cacertsOf(issuer, ""));
    await eventually("the guest to be served", async () =>
      /HTTP\/1\.1 200 OK/.test(await guests.ask()) ? true : undefined,
    );
  });

  test("lists that would cut the mesh off are refused with an Event, and nothing changes", async () => {
    mesh.writeConfig("cacerts.yaml", cacertsOf(issuer, revocationsOf(issuer, [guest.serialNumber])));
    await eventually("an Event", async () => {
      const { items } = (await mesh.api("/api/v1/namespaces/istio-system/events")) as { items: { message: string }[] };
      return items.some(({ message }) => /has no revocation list/.test(message)) ? true : undefined;
    });
    assert.match(await guests.ask(), /HTTP\/1\.1 200 OK/);
    assert.equal((await curl(client, "http://echo.default:8000/")).status, 200);
  });
});

describe("certificates of a signer of the Kubernetes CSR API", { timeout: 300_000 }, () => {
  const root = createSelfSignedMaterial("signer", Date.now(), hourMs);
  const issuer: AuthorityMaterial = intermediateOf(root, Date.now(), hourMs);
  const signerName = "example.com/mesh";
  let mesh: TestMesh;

  const signer = `apiVersion: v1
kind: Secret
metadata:
  name: mesh-signer
  namespace: kube-system
  annotations:
    outrigger.dev/signer-name: ${signerName}
type: kubernetes.io/tls
stringData:
${block("tls.crt", issuer.caCertificate)}${block("tls.key", issuer.caKey)}---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: istiod-approves
rules:
  - apiGroups: [certificates.k8s.io]
    resources: [signers]
    resourceNames: [${signerName}]
    verbs: [approve]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: istiod-approves
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: istiod-approves
subjects:
  - kind: ServiceAccount
    name: istiod
    namespace: istio-system
`;

  const meshConfig = `apiVersion: v1
kind: ConfigMap
metadata:
  name: istio
  namespace: istio-system
data:
  mesh: |
    accessLogFile: /dev/stdout
    rootNamespace: istio-system
    trustDomain: cluster.local
    defaultConfig:
      concurrency: 1
      discoveryAddress: istiod.istio-system.svc:15012
    caCertificates:
      - certSigners: [${signerName}]
        pem: |
${root.caCertificate.trimEnd().replace(/^/gm, "          ")}
`;

  before(async () => {
    mesh = await TestMesh.start({
      copy: ["test/fixtures/workloads"],
      files: {
        "signer.yaml": signer,
        "mesh-config.yaml": meshConfig,
        "istiod.yaml": istiodWith({ EXTERNAL_CA: "ISTIOD_RA_KUBERNETES_API", K8S_SIGNER: signerName }),
        "strict.yaml": strict,
      },
    });
  });
  after(() => mesh?.stop());

  test("every workload has one of the signer's, and they believe each other", async () => {
    const [client, outside] = await Promise.all([
      PodShell.open(mesh, "client", "client"),
      PodShell.open(mesh, "external.outside", "external"),
    ]);
    try {
      const answer = await curl(client, "http://echo.default:8000/");
      assert.equal(answer.status, 200, answer.body);
      assert.match(seen(answer).headers["x-forwarded-client-cert"] ?? "", /URI=spiffe:\S+\/sa\/client/);
      const shown = await (await visitor(mesh, outside)).shown();
      assert.match(shown, /i:CN ?= ?intermediate/);
      assert.match(shown, /i:O ?= ?signer/);
      assert.equal((await curl(outside, "http://echo.default:8000/")).status, 0, "who has none is refused");
    } finally {
      await Promise.all([client.close(), outside.close()]);
    }
    const istiod = await mesh.run("logs", "istiod.istio-system");
    assert.match(istiod.stdout, /spiffe:\/\/cluster\.local\/ns\/default\/sa\/client/);
    await eventually("no request to be left", async () => {
      const { items } = (await mesh.api("/apis/certificates.k8s.io/v1/certificatesigningrequests")) as {
        items: unknown[];
      };
      return items.length === 0 ? true : undefined;
    });
  });
});
