// Certificates of workloads, of the CA and of its root that live for five seconds, renewed and replaced under load; and a
// mesh whose certificates have all ended while nobody ran the control plane.
//
// A certificate never outlives what it leads to. So a workload asks for five seconds and gets what the CA and its root
// have left, which is between two and five; and each root has ended five seconds after it was made, which leaves it about
// a second and a half in which it is trusted and does not sign, one and a half in which it signs, and two in which it is
// trusted for what it has signed.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { splitCertificates } from "#wire/x509/pem.ts";
import { OperatorAuthority } from "../support/certificate-authority.ts";
import { istiodWith } from "../support/istiod.ts";
import { type Answer, fetchPage, SteadyLoad } from "../support/load.ts";
import { eventually, TestMesh } from "../support/mesh.ts";

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
      proxyMetadata:
        SECRET_TTL: 5s
`;

/** Handshakes all the time: who calls details opens a connection for every second request. */
const shortConnections = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: details-short-connections
  namespace: default
spec:
  host: details
  trafficPolicy:
    connectionPool:
      http:
        maxRequestsPerConnection: 2
`;

/** The page is there even where a part of it is not. */
function problem({ status, body }: Answer): string | undefined {
  if (status !== 200) return `${status} ${body.slice(0, 200)}`;
  return /<b>Sorry, .* currently unavailable.*/.exec(body)?.[0];
}

/** Of workloads, of who signs for them, and of roots. */
const lifeMs = 5_000;
/** Certificates start a tenth of their life in the past, for clocks that are behind, and count in whole seconds. */
const longestMs = lifeMs + 1_000;
const hourMs = 3_600_000;

/** The control plane's Deployment, with a root that ends soon. */
function controlPlane(replicas: number): string {
  const settings = {
    CITADEL_SELF_SIGNED_CA_CERT_TTL: `${lifeMs / 1000}s`,
    CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL: "500ms",
    CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE: "50",
  };
  return istiodWith(settings, replicas);
}

describe("certificates that end within seconds", { timeout: 900_000 }, () => {
  let mesh: TestMesh;

  before(async () => {
    mesh = await TestMesh.start({
      copy: ["examples/bookinfo"],
      files: {
        "mesh-config.yaml": meshConfig,
        "istiod.yaml": controlPlane(1),
        "short-connections.yaml": shortConnections,
      },
    });
  });
  after(() => mesh?.stop());

  async function root(): Promise<string> {
    const path = "/api/v1/namespaces/default/configmaps/istio-ca-root-cert";
    const { data } = (await mesh.api(path)) as { data: Record<string, string> };
    return data["root-cert.pem"] ?? "";
  }

  /** Serial numbers of the latest certificates of reviews, as far as its log goes back. */
  async function serials(): Promise<string[]> {
    const { stdout } = await mesh.run("logs", "reviews-v1", "-c", "istio-proxy");
    return [...stdout.matchAll(/new certificate.*serial=([0-9a-f]+)/g)].map(([, serial]) => serial ?? "");
  }

  interface Connections {
    readonly details: number;
    readonly reviews: number;
  }

  /** Connections that productpage's sidecar has opened up to now. */
  async function connections(): Promise<Connections> {
    const { stdout } = await mesh.exec("productpage-v1", "istio-proxy", "curl", "-s", "localhost:15000/stats");
    const count = (service: string): number => {
      const line = new RegExp(
        `^cluster\\.outbound\\|9080\\|[^|]*\\|${service}\\..*\\.upstream_cx_total: (\\d+)$`,
        "gm",
      );
      const opened = [...stdout.matchAll(line)].reduce((sum, [, text]) => sum + Number(text), 0);
      assert.ok(opened > 0, stdout);
      return opened;
    };
    return { details: count("details"), reviews: count("reviews") };
  }

  /** Works under load: no request fails, no connection ends, and certificates are renewed meanwhile. */
  async function underLoad(work: () => Promise<unknown>): Promise<void> {
    const load = new SteadyLoad(`${mesh.gateway}/productpage`, { problem });
    try {
      await eventually("some requests", () => (load.requests > 20 ? true : undefined));
      const [before, hadSerials] = await Promise.all([connections(), serials()]);
      await work();
      const [after, haveSerials] = await Promise.all([connections(), serials()]);
      const report = await load.stop();
      assert.deepEqual(report.failures, []);
      assert.equal(after.reviews - before.reviews, 0, "connections outlive their certificates");
      assert.ok(after.details - before.details > 20, `${after.details - before.details} handshakes`);
      const renewed = haveSerials.filter((serial) => !hadSerials.includes(serial));
      assert.ok(renewed.length >= 3, `${renewed.length} certificates`);
    } finally {
      await load.stop();
    }
  }

  test("workloads and the self-signed root are renewed under load: no request fails, no connection ends", async () => {
    const roots = new Set<string>();
    await underLoad(() =>
      eventually(
        "eight renewals of the root",
        async () => {
          for (const pem of splitCertificates(await root())) roots.add(pem);
          return roots.size >= 9 ? true : undefined;
        },
        90_000,
      ),
    );
    assert.equal(shortLived(roots).length, roots.size);
  });

  test("all have ended while there was no control plane: it comes back, and the mesh heals by itself", async () => {
    const before = await serials();
    mesh.writeConfig("istiod.yaml", controlPlane(0));
    const page = (): Promise<Answer> => fetchPage(`${mesh.gateway}/productpage`);
    await eventually(
      "refused handshakes",
      async () => (problem(await page()) === undefined ? undefined : true),
      60_000,
    );
    const hasEnded = (pem: string): boolean => new X509Certificate(pem).validToDate.getTime() < Date.now();
    await eventually("the end of the root", async () =>
      splitCertificates(await root()).every(hasEnded) ? true : undefined,
    );
    const certs = await mesh.run("certs");
    assert.equal(certs.code, 1);
    assert.match(certs.stdout, /^mesh +root +roots +\S+ +0 % +expired$/m);
    mesh.writeConfig("istiod.yaml", controlPlane(1));
    await eventually(
      "a page without an error, ten times in a row",
      async () => {
        for (let i = 0; i < 10; i++) if (problem(await page()) !== undefined) return undefined;
        return true;
      },
      90_000,
    );
    assert.ok(!before.includes((await serials()).at(-1) ?? ""));
  });

  test("an operator's CA takes over, its intermediates and roots are replaced under load: no request fails", async () => {
    /** Events tell CAs apart by the second in which they end. */
    let lastEndMs = 0;
    const replace = async (make: () => OperatorAuthority, ttlMs: number): Promise<void> => {
      await eventually("another end", () => (Date.now() + ttlMs >= lastEndMs + 1000 ? true : undefined));
      const { cacerts, notAfterMs } = make().issue(ttlMs);
      lastEndMs = notAfterMs;
      mesh.writeConfig("cacerts.yaml", cacerts);
      const end = `Secret istio-system/cacerts, which ends at ${new Date(notAfterMs).toISOString()}`;
      await eventually(`certificates of the CA that ends at ${end}`, async () => {
        const { items } = (await mesh.api("/api/v1/namespaces/istio-system/events")) as { items: Event[] };
        const isOurs = ({ reason, message }: Event): boolean => reason === "CARotated" && message.includes(end);
        return items.some(isOurs) ? true : undefined;
      });
    };
    const roots = new Set<string>();
    await underLoad(async () => {
      const first = new OperatorAuthority("first", hourMs);
      for (let count = 0; count < 5; count++) {
        const nextMs = Date.now() + lifeMs / 2;
        await replace(() => first, lifeMs);
        await eventually("the middle of its life", () => (Date.now() >= nextMs ? true : undefined));
      }
      // The next root is given out as soon as the one before signs.
      for (const name of ["one", "two", "three", "four", "five", "six"]) {
        await replace(() => new OperatorAuthority(name, lifeMs), lifeMs);
        for (const pem of splitCertificates(await root())) roots.add(pem);
      }
      await replace(() => new OperatorAuthority("last", hourMs), hourMs);
    });
    assert.equal(shortLived(roots).length, 6, "roots that ended under load");
  });
});

/** Roots that were made for five seconds. */
function shortLived(roots: Iterable<string>): X509Certificate[] {
  return [...roots]
    .map((pem) => new X509Certificate(pem))
    .filter(({ validFromDate, validToDate }) => validToDate.getTime() - validFromDate.getTime() <= longestMs);
}

interface Event {
  readonly reason: string;
  readonly message: string;
}
