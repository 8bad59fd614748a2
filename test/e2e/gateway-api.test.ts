// The Kubernetes Gateway API in a running cluster: a Gateway that is deployed by itself, every kind of route through it
// and between sidecars, and what the API says of them. One mesh for all tests, in order.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventually, TestMesh } from "../support/mesh.ts";
import { type CurlAnswer, curl, PodShell, seen } from "../support/pod-shell.ts";

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly lastTransitionTime: string;
}

interface Stored {
  readonly metadata: { readonly labels?: Record<string, string>; readonly annotations?: Record<string, string> };
  readonly spec: { readonly type?: string; readonly controllerName?: string };
  readonly status?: {
    readonly conditions?: readonly Condition[];
    readonly addresses?: readonly { readonly type: string; readonly value: string }[];
    readonly listeners?: readonly {
      readonly name: string;
      readonly attachedRoutes: number;
      readonly conditions: readonly Condition[];
    }[];
    readonly parents?: readonly { readonly conditions: readonly Condition[] }[];
  };
}

const gatewayApi = "/apis/gateway.networking.k8s.io/v1";
let mesh: TestMesh;
let bare: PodShell;
let client: PodShell;
let visitor: PodShell;

/** Through the gateway, from outside of the mesh. */
const get = (path: string, options = ""): Promise<CurlAnswer> =>
  curl(bare, `-H 'Host: shop.example.com' ${options} 'http://web-istio.default${path}'`);

const short = (conditions: readonly Condition[] = []): string =>
  conditions.map(({ type, status, reason }) => `${type}=${status}${reason === type ? "" : `(${reason})`}`).join(" ");

const stored = async (path: string): Promise<Stored> => (await mesh.api(path)) as Stored;
const route = (name: string): Promise<Stored> => stored(`${gatewayApi}/namespaces/default/httproutes/${name}`);

interface KeyPair {
  readonly key: string;
  readonly certificate: string;
}

function makeCertificate(name: string): KeyPair {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-tls-"));
  try {
    const [key, certificate] = ["key", "crt"].map((end) => join(folder, `tls.${end}`)) as [string, string];
    const subject = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`];
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    const files = ["-keyout", key, "-out", certificate];
    execFileSync("openssl", ["req", "-x509", ...kind, ...subject, ...files], { stdio: "ignore" });
    return { key: readFileSync(key, "utf8"), certificate: readFileSync(certificate, "utf8") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const indented = (text: string): string => text.trimEnd().replace(/^/gm, "    ");

const secret = (name: string, namespace: string, { key, certificate }: KeyPair): string => `apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: {name: ${name}, namespace: ${namespace}}
stringData:
  tls.crt: |
${indented(certificate)}
  tls.key: |
${indented(key)}
`;

const grant = (from: string, to: string): string => `apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: grant, namespace: other}
spec: {from: [{group: gateway.networking.k8s.io, kind: ${from}, namespace: default}], to: [${to}]}
`;

const backendPair = makeCertificate("secure.example.com");
const webPair = makeCertificate("web.example.com");
const farPair = makeCertificate("far.example.com");
const mutualPair = makeCertificate("mutual.example.com");
const visitorPair = makeCertificate("visitor.example.com");

const roots = (name: string, { certificate }: KeyPair): string => `apiVersion: v1
kind: ConfigMap
metadata: {name: ${name}, namespace: default}
data:
  ca.crt: |
${indented(certificate)}
`;

/** The backend's certificate, those of the gateway, and the roots of a BackendTLSPolicy. */
const certificates: Readonly<Record<string, string>> = {
  "gateway-api/tls.key": backendPair.key,
  "gateway-api/tls.crt": backendPair.certificate,
  "certificates.yaml": [
    secret("web-cert", "default", webPair),
    secret("far-cert", "other", farPair),
    secret("mutual-cert", "default", mutualPair),
    roots("backend-ca", backendPair),
    roots("client-ca", visitorPair),
  ].join("---\n"),
};

/** Over TLS to the gateway; the server has to show the certificate. */
async function getOverTls(name: string, { certificate }: KeyPair, port = 443, options = ""): Promise<CurlAnswer> {
  const { spec } = (await mesh.api("/api/v1/namespaces/default/services/web-istio")) as { spec: { clusterIP: string } };
  await bare.run(`printf '%s' '${certificate}' > /tmp/${name}.pem`);
  const resolve = `--resolve ${name}:${port}:${spec.clusterIP}`;
  return curl(bare, `--cacert /tmp/${name}.pem ${resolve} ${options} https://${name}:${port}/`);
}

describe("gateway-api", { timeout: 600_000 }, () => {
  before(async () => {
    mesh = await TestMesh.start({ copy: ["test/fixtures/gateway-api"], files: certificates });
    [bare, client, visitor] = await Promise.all([
      PodShell.open(mesh, "bare.outside", "bare"),
      PodShell.open(mesh, "client", "client"),
      PodShell.open(mesh, "visitor.other", "visitor"),
    ]);
    await eventually(
      "an answer of the gateway",
      async () => ((await get("/")).status === 200 ? true : undefined),
      60_000,
    );
  });
  after(async () => {
    await Promise.all([bare?.close(), client?.close(), visitor?.close()]);
    await mesh?.stop();
  });

  describe("a Gateway", () => {
    test("its Deployment, Service and ServiceAccount are made, with the labels of its infrastructure", async () => {
      for (const path of [
        "/apis/apps/v1/namespaces/default/deployments/web-istio",
        "/api/v1/namespaces/default/services/web-istio",
        "/api/v1/namespaces/default/serviceaccounts/web-istio",
      ]) {
        const { metadata, spec } = await stored(path);
        assert.equal(metadata.labels?.["gateway.networking.k8s.io/gateway-name"], "web", path);
        assert.equal(metadata.labels?.["gateway.networking.k8s.io/gateway-class-name"], "istio", path);
        assert.equal(metadata.labels?.["gateway.istio.io/managed"], "istio.io-gateway-controller", path);
        assert.equal(metadata.labels?.["team"], "edge", path);
        assert.equal(metadata.annotations?.["example.com/cost"], "low", path);
        if (path.includes("services/")) assert.equal(spec.type, "LoadBalancer");
      }
    });

    test("parameters of its ConfigMap are in what runs it", async () => {
      const { items } = (await mesh.api(
        "/api/v1/namespaces/default/pods?labelSelector=gateway.networking.k8s.io%2Fgateway-name%3Dweb",
      )) as { items: { metadata: { name: string } }[] };
      const { stdout } = await mesh.exec(
        items[0]?.metadata.name ?? "",
        "istio-proxy",
        "sh",
        "-c",
        "echo $FROM_PARAMETERS",
      );
      assert.equal(stdout.trim(), "yes");
      const budget = await stored("/apis/policy/v1/namespaces/default/poddisruptionbudgets/web-istio");
      assert.equal(budget.metadata.labels?.["gateway.networking.k8s.io/gateway-name"], "web");
    });

    test("the classes of the mesh are there and accepted", async () => {
      for (const [name, controller] of [
        ["istio", "istio.io/gateway-controller"],
        ["istio-remote", "istio.io/unmanaged-gateway"],
      ]) {
        const found = await eventually(`status of class ${name}`, async () => {
          const object = await stored(`${gatewayApi}/gatewayclasses/${name}`);
          return object.status?.conditions === undefined ? undefined : object;
        });
        assert.equal(found.spec.controllerName, controller);
        assert.equal(short(found.status?.conditions), "Accepted=True");
      }
    });

    test("its status says that it is programmed, at which address, and how many routes each listener has", async () => {
      const path = `${gatewayApi}/namespaces/default/gateways/web`;
      const { status } = await eventually("a programmed Gateway", async () => {
        const object = await stored(path);
        const wanted =
          "Accepted=True InsecureFrontendValidationMode=True(ConfigurationChanged) Programmed=True ResolvedRefs=True";
        return short(object.status?.conditions) === wanted ? object : undefined;
      });
      const service = (await mesh.api("/api/v1/namespaces/default/services/web-istio")) as {
        spec: { clusterIP: string };
      };
      assert.deepEqual(status?.addresses, [{ type: "IPAddress", value: service.spec.clusterIP }]);
      assert.deepEqual(
        status?.listeners?.map((listener) => [listener.name, listener.attachedRoutes, short(listener.conditions)]),
        [
          ["http", 2, "Programmed=True ResolvedRefs=True"],
          ["tls", 1, "Programmed=True ResolvedRefs=True"],
          ["tcp", 1, "Programmed=True ResolvedRefs=True"],
          ["https", 1, "Programmed=True ResolvedRefs=True"],
          ["ended", 1, "Programmed=True ResolvedRefs=True"],
          ["mutual", 1, "Programmed=True ResolvedRefs=True"],
          ["open", 1, "Programmed=True ResolvedRefs=True"],
          ["foreign", 1, "Programmed=False(Invalid) ResolvedRefs=False(RefNotPermitted)"],
        ].map(([name, routes, rest]) => [name, routes, `Accepted=True Conflicted=False(NoConflicts) ${rest}`]),
      );
      assert.ok(status?.conditions?.every(({ lastTransitionTime }) => !Number.isNaN(Date.parse(lastTransitionTime))));
    });
  });

  describe("HTTPRoute", () => {
    test("matches by path, header, query and method", async () => {
      const version = async (path: string, options = ""): Promise<string> => seen(await get(path, options)).version;
      assert.equal(await version("/exact"), "v2");
      assert.equal(await version("/exact/more"), "v1");
      assert.equal(await version("/header", "-H 'x-color: red'"), "v2");
      assert.equal(await version("/header", "-H 'x-color: reddish'"), "v1");
      assert.equal(await version("/query?size=12"), "v2");
      assert.equal(await version("/query?size=big"), "v1");
      assert.equal(await version("/method", "-X PUT"), "v2");
      assert.equal(await version("/method"), "v1");
    });

    test("a host that no route has is answered 404", async () => {
      assert.equal((await curl(bare, "http://web-istio.default/")).status, 404);
    });

    test("weights share the requests", async () => {
      const result = await bare.run(
        "for i in $(seq 200); do echo 'url = \"http://web-istio.default/split\"'; echo 'output = /dev/null'; done > /tmp/urls; curl -sS -H 'Host: shop.example.com' -w '%{header_json}' -K /tmp/urls",
      );
      const versions = [...result.stdout.matchAll(/"x-version":\["(\w+)"\]/g)].map(([, version]) => version);
      const first = versions.filter((version) => version === "v1").length;
      assert.equal(versions.length, 200);
      assert.ok(first > 130 && first < 190, `${first} of 200 went to v1`);
    });

    test("redirects, rewrites, and changes headers", async () => {
      const redirect = await get("/redirect/x?q=1");
      assert.equal(redirect.status, 301);
      assert.equal(redirect.headers["location"], "https://www.example.com/new/x?q=1");
      const rewritten = seen(await get("/rewrite/x?q=1"));
      assert.equal(rewritten.path, "/x?q=1");
      assert.equal(rewritten.headers["host"], "inner.example.com");
      assert.equal(seen(await get("/rewrite")).path, "/");
      const changed = await get("/headers", "-H 'x-set: old' -H 'x-add: one' -H 'x-gone: yes'");
      const { headers } = seen(changed);
      assert.equal(headers["x-set"], "new");
      assert.equal(headers["x-add"], "one, two");
      assert.equal(headers["x-gone"], undefined);
      assert.equal(headers["x-backend"], "one");
      assert.equal(changed.headers["x-route"], "headers");
      assert.equal(changed.headers["x-answer"], undefined);
    });

    test("a mirror gets every request, and the backend answers", async () => {
      const count = async (): Promise<number> => Number((await curl(client, "http://two:8000/mirrored")).body);
      const before = await count();
      for (let index = 0; index < 5; index++) assert.equal(seen(await get("/mirror")).version, "v1");
      await eventually("five mirrored requests", async () => ((await count()) - before === 5 ? true : undefined));
    });

    test("CORS: preflights of allowed origins are answered, also those that a wildcard allows", async () => {
      const preflight = (origin: string): Promise<CurlAnswer> =>
        get("/cors", `-X OPTIONS -H 'Origin: ${origin}' -H 'Access-Control-Request-Method: PUT'`);
      const allowed = await preflight("https://a.example.com");
      assert.equal(allowed.headers["access-control-allow-origin"], "https://a.example.com");
      assert.equal(allowed.headers["access-control-allow-methods"], "GET,PUT");
      assert.equal(allowed.headers["access-control-max-age"], "60");
      assert.equal((await preflight("https://a.example.org")).headers["access-control-allow-origin"], undefined);
    });

    test("a request that takes too long is answered 504", async () => {
      assert.equal((await get("/slow")).status, 504);
    });

    test("a backend that is not there, and a filter that is not there, answer 500; the status says so", async () => {
      assert.equal((await get("/gone")).status, 500);
      assert.equal((await get("/extension")).status, 500);
      const { status } = await route("shop");
      assert.equal(short(status?.parents?.[0]?.conditions), "Accepted=True ResolvedRefs=False(BackendNotFound)");
    });

    test("an answer of the gateway's own names the HTTPRoute and the line of the rule", async () => {
      const answer = await get("/gone");
      assert.match(
        `${answer.headers["x-outrigger-explain"]} ${answer.body}`,
        /HTTPRoute default\/shop .*gateway\.yaml:\d+/,
      );
    });

    test("a backend of another namespace needs a ReferenceGrant", async () => {
      assert.equal((await get("/far")).status, 500);
      mesh.writeConfig("grant.yaml", grant("HTTPRoute", '{group: "", kind: Service, name: far}'));
      const answer = await eventually("an answer from the other namespace", async () => {
        const found = await get("/far");
        return found.status === 200 ? found : undefined;
      });
      assert.equal(seen(answer).version, "v3");
      mesh.removeConfig("grant.yaml");
      await eventually("the refusal again", async () => ((await get("/far")).status === 500 ? true : undefined));
    });
  });

  test("GRPCRoute: calls go by service, method and metadata", async () => {
    const call = async (path: string, options = ""): Promise<string> => {
      const answer = await curl(
        bare,
        `--http2-prior-knowledge -X POST -H 'content-type: application/grpc' -H 'te: trailers' -H 'Host: grpc.example.com' ${options} http://web-istio.default${path}`,
      );
      return answer.headers["x-version"] ?? `grpc-status ${answer.headers["grpc-status"]}`;
    };
    assert.equal(await call("/shop.Orders/List"), "v1");
    assert.equal(await call("/shop.Orders/Delete"), "v2");
    assert.equal(await call("/shop.Other/List", "-H 'x-color: red'"), "v2");
    assert.equal(await call("/shop.Other/List"), "grpc-status 12");
  });

  test("TLSRoute: TLS goes on by its server name, and is ended by the backend", async () => {
    assert.equal(seen(await getOverTls("secure.example.com", backendPair)).version, "v2");
    assert.equal((await getOverTls("other.example.com", backendPair)).status, 0);
  });

  test("TLSRoute: TLS that the listener ends goes on as bytes, by its server name", async () => {
    assert.equal(seen(await getOverTls("mutual.example.com", mutualPair)).version, "v2");
  });

  test("HTTPS: TLS ends at the gateway, with the certificate of the listener that the server name chooses", async () => {
    const answer = await eventually("an answer over TLS", async () => {
      const found = await getOverTls("web.example.com", webPair);
      return found.status === 200 ? found : undefined;
    });
    assert.equal(seen(answer).version, "v1");
    assert.equal((await getOverTls("web.example.com", farPair)).status, 0);
  });

  test("HTTPS: a certificate of another namespace needs a ReferenceGrant", async () => {
    assert.equal((await getOverTls("far.example.com", farPair)).status, 0);
    mesh.writeConfig("grant.yaml", grant("Gateway", '{group: "", kind: Secret, name: far-cert}'));
    const answer = await eventually("an answer with that certificate", async () => {
      const found = await getOverTls("far.example.com", farPair);
      return found.status === 200 ? found : undefined;
    });
    assert.equal(seen(answer).version, "v1");
    mesh.removeConfig("grant.yaml");
    await eventually("no TLS again", async () =>
      (await getOverTls("far.example.com", farPair)).status === 0 ? true : undefined,
    );
  });

  test("HTTPS: clients show a certificate that the roots of the port vouch for, or any where it says so", async () => {
    const name = "mutual.example.com";
    const files: string[] = [];
    for (const [file, pair] of [
      ["visitor", visitorPair],
      ["stranger", farPair],
    ] as const) {
      await bare.run(
        `printf '%s' '${pair.certificate}' > /tmp/${file}.crt; printf '%s' '${pair.key}' > /tmp/${file}.key`,
      );
      files.push(`--cert /tmp/${file}.crt --key /tmp/${file}.key`);
    }
    const [visitor, stranger] = files;
    const status = async (port: number, options = ""): Promise<number> =>
      (await getOverTls(name, mutualPair, port, options)).status;
    await eventually("an answer for the visitor", async () =>
      (await status(8443, visitor)) === 200 ? true : undefined,
    );
    assert.equal(await status(8443), 0);
    assert.equal(await status(8443, stranger), 0);
    for (const options of [visitor, stranger, undefined]) assert.equal(await status(9443, options), 200, options ?? "");
  });

  test("BackendTLSPolicy: a backend that speaks TLS is reached, one that cannot be verified is not", async () => {
    const answer = await eventually("an answer of the backend", async () => {
      const found = await get("/backend-tls");
      return found.status === 200 ? found : undefined;
    });
    assert.equal(seen(answer).version, "v1");
    assert.equal((await get("/wrong-roots")).status, 503);
    // The gateway shows the certificate that its Gateway names for backends.
    assert.equal((JSON.parse(answer.body) as { client?: string }).client, "mutual.example.com");
    // Sidecars follow the policy too, and have none.
    const ofSidecar = await curl(client, "http://verified:8443/");
    assert.equal(seen(ofSidecar).version, "v1");
    assert.equal((JSON.parse(ofSidecar.body) as { client?: string }).client, undefined);
    const { status } = (await mesh.api(`${gatewayApi}/namespaces/default/backendtlspolicies/verified`)) as {
      status: { ancestors: { conditions: Condition[] }[] };
    };
    assert.deepEqual(
      status.ancestors.map(({ conditions }) => short(conditions)),
      ["Accepted=True ResolvedRefs=True"],
    );
  });

  test("TCPRoute: connections are shared by weight", async () => {
    const result = await bare.run(
      "for i in $(seq 40); do curl -sS -m 5 telnet://web-istio.default:9000 </dev/null; done",
    );
    const lines = result.stdout.trim().split("\n");
    assert.equal(lines.length, 40, result.stderr);
    assert.deepEqual([...new Set(lines)].sort(), ["hello from v1", "hello from v2"]);
  });

  describe("routes of the mesh", () => {
    test("a route in the Service's namespace is for all its clients, for its port only", async () => {
      const version = async (url: string): Promise<string> => seen(await curl(client, url)).version;
      await eventually("the route", async () => ((await version("http://both:8000/v2")) === "v2" ? true : undefined));
      for (let index = 0; index < 10; index++) assert.equal(await version("http://both:8000/other"), "v1");
    });

    test("a route of a client's own namespace comes first for its clients", async () => {
      for (let index = 0; index < 5; index++) {
        const answer = await curl(visitor, "http://both.default:8000/other");
        assert.equal(answer.headers["x-consumer"], "other");
        assert.equal(seen(answer).version, "v2");
      }
    });

    test("gRPC and TCP between sidecars follow their routes", async () => {
      const call = async (path: string): Promise<string | undefined> =>
        (
          await curl(
            client,
            `--http2-prior-knowledge -X POST -H 'content-type: application/grpc' -H 'te: trailers' http://both:8100${path}`,
          )
        ).headers["x-version"];
      for (let index = 0; index < 5; index++) {
        assert.equal(await call("/shop.Orders/List"), "v2");
        assert.equal(await call("/shop.Other/List"), "v1");
        const { stdout } = await client.run("curl -sS -m 5 telnet://both:9000 </dev/null");
        assert.equal(stdout.trim(), "hello from v2");
      }
    });
  });

  test("what a Gateway ran goes with it", async () => {
    mesh.editConfig("gateway-api/gateway.yaml", (text) => text.slice(text.indexOf("---\n") + 4));
    await eventually("the end of its Deployment", async () => {
      const { status } = (await mesh.api("/apis/apps/v1/namespaces/default/deployments/web-istio")) as {
        status?: unknown;
      };
      return status === "Failure" ? true : undefined;
    });
    const { status } = await eventually("routes without a parent", async () => {
      const object = await route("shop");
      return object.status?.parents?.length === 0 ? object : undefined;
    });
    assert.deepEqual(status?.parents, []);
  });
});
