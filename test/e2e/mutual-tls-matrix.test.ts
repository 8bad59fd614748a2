// Every client against every mode of PeerAuthentication and every TLS mode of a DestinationRule, over real sockets. The
// table below is what Istio does.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, TestMesh } from "../support/mesh.ts";
import { type Certificate, meshRoot, selfMadeRoot, signedBy } from "../support/openssl.ts";
import { curl, PodShell, seen } from "../support/pod-shell.ts";

const modes = ["STRICT", "UNSET", "DISABLE", "PERMISSIVE"] as const;
type Mode = (typeof modes)[number];

/** TLS of the DestinationRule; each is the rule of a Service of its own in front of the same workloads. */
const rules = ["none", "DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] as const;
type Rule = (typeof rules)[number];

/** `as X`: mutual TLS, and the workload is told that the caller is service account X. */
type Outcome = "as client" | "as own" | "plaintext" | "refused";
type ByMode = Readonly<Record<Mode, Outcome>>;

const outcomes = (STRICT: Outcome, UNSET: Outcome, DISABLE: Outcome, PERMISSIVE: Outcome): ByMode => ({
  STRICT,
  UNSET,
  DISABLE,
  PERMISSIVE,
});

const plaintext = outcomes("refused", "plaintext", "plaintext", "plaintext");
const meshCertificate = outcomes("as own", "as own", "refused", "as own");
const never = outcomes("refused", "refused", "refused", "refused");
const forAll = (row: ByMode): Readonly<Record<Rule, ByMode>> =>
  Object.fromEntries(rules.map((rule) => [rule, row])) as Record<Rule, ByMode>;

const table: Readonly<Record<string, Readonly<Record<Rule, ByMode>>>> = {
  "in the mesh": {
    //                      STRICT       UNSET        DISABLE      PERMISSIVE
    none: /*         */ outcomes("as client", "as client", "plaintext", "as client"),
    DISABLE: /*      */ outcomes("refused", "plaintext", "plaintext", "plaintext"),
    SIMPLE: /*       */ never,
    // With the certificate of files, and without the ALPN by which PERMISSIVE knows mutual TLS of the mesh.
    MUTUAL: /*       */ outcomes("as own", "refused", "refused", "refused"),
    ISTIO_MUTUAL: /* */ outcomes("as client", "as client", "refused", "as client"),
  },
  // A DestinationRule is for clients with a sidecar.
  "no sidecar": forAll(plaintext),
  "own certificate, of the mesh's root": forAll(meshCertificate),
  "own certificate, of another root": forAll(never),
};

const files = "/tmp/own-certificate";
const settings: Readonly<Record<Rule, string>> = {
  none: "",
  DISABLE: "",
  SIMPLE: `, caCertificates: ${files}/root.pem, subjectAltNames: [spiffe://cluster.local/ns/default/sa/echo]`,
  MUTUAL: `, clientCertificate: ${files}/own.pem, privateKey: ${files}/own.key, caCertificates: ${files}/root.pem, subjectAltNames: [spiffe://cluster.local/ns/default/sa/echo]`,
  ISTIO_MUTUAL: "",
};

const hostOf = (rule: Rule): string => `echo-${rule.toLowerCase().replace("_", "-")}`;

function serviceWith(rule: Rule): string {
  const tls =
    rule === "none"
      ? ""
      : `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: ${hostOf(rule)} }
spec: { host: ${hostOf(rule)}, trafficPolicy: { tls: { mode: ${rule}${settings[rule]} } } }
`;
  return `---
apiVersion: v1
kind: Service
metadata: { name: ${hostOf(rule)} }
spec: { selector: { app: echo }, ports: [{ name: http, port: 8000 }] }
${tls}`;
}

describe("the matrix of mutual TLS", { timeout: 600_000 }, () => {
  let mesh: TestMesh;
  let client: PodShell;
  let outside: PodShell;

  before(async () => {
    mesh = await TestMesh.start({ copy: ["test/fixtures/workloads"] });
    [client, outside] = await Promise.all([
      PodShell.open(mesh, "client", "client"),
      PodShell.open(mesh, "external.outside", "external"),
    ]);
    const root = await meshRoot(mesh);
    const own = signedBy(root, "spiffe://cluster.local/ns/default/sa/own");
    const put = ({ chain, key }: Certificate, name: string): string =>
      `mkdir -p ${files}; printf '%s' '${chain}' > ${files}/${name}.pem; printf '%s' '${key}' > ${files}/${name}.key; printf '%s' '${root.chain}' > ${files}/root.pem; `;
    const placed = await mesh.exec("client", "istio-proxy", "sh", "-c", put(own, "own"));
    assert.equal(placed.code, 0, placed.stderr);
    const stranger = signedBy(selfMadeRoot(), "spiffe://cluster.local/ns/default/sa/own");
    await outside.run(`${put(own, "own")}${put(stranger, "stranger")}`);
    mesh.writeConfig("services.yaml", rules.map(serviceWith).join(""));
  });
  after(async () => {
    await Promise.all([client?.close(), outside?.close()]);
    await mesh?.stop();
  });

  async function overHttp(shell: PodShell, rule: Rule): Promise<Outcome> {
    const answer = await curl(shell, `http://${hostOf(rule)}.default:8000/`);
    return answer.status === 200 ? byCertificate(seen(answer).headers["x-forwarded-client-cert"]) : "refused";
  }

  /** As another proxy of the mesh would ask, with a certificate from elsewhere. */
  async function overTls(name: string, rule: Rule): Promise<Outcome> {
    const send = "printf 'GET / HTTP/1.1\\r\\nHost: echo\\r\\nConnection: close\\r\\n\\r\\n'";
    const use = `-alpn istio -cert ${files}/${name}.pem -key ${files}/${name}.key -quiet`;
    const { stdout } = await outside.run(
      `${send} | timeout 5 openssl s_client -connect ${hostOf(rule)}.default:8000 ${use} 2>&1`,
    );
    if (!stdout.includes("HTTP/1.1 200 OK")) return "refused";
    return byCertificate(/"x-forwarded-client-cert": ?"(.*?[^\\])"/.exec(stdout)?.[1]);
  }

  function byCertificate(forwarded: string | undefined): Outcome {
    if (forwarded === undefined) return "plaintext";
    const account = /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/(client|own)$/.exec(forwarded)?.[1];
    if (account === undefined) throw new Error(`nobody that this test knows: ${forwarded}`);
    return account === "own" ? "as own" : "as client";
  }

  const askAs: Readonly<Record<string, (rule: Rule) => Promise<Outcome>>> = {
    "in the mesh": (rule) => overHttp(client, rule),
    "no sidecar": (rule) => overHttp(outside, rule),
    "own certificate, of the mesh's root": (rule) => overTls("own", rule),
    "own certificate, of another root": (rule) => overTls("stranger", rule),
  };

  /** One row per client and rule: what became of it at both workloads. */
  async function found(): Promise<Record<string, string>> {
    const rows: Record<string, string> = {};
    for (const [who, ask] of Object.entries(askAs)) {
      for (const rule of rules) {
        const seenOutcomes = new Set<Outcome>();
        for (let i = 0; i < 3; i++) seenOutcomes.add(await ask(rule));
        rows[`${who}, DestinationRule ${rule}`] = [...seenOutcomes].join(" or ");
      }
    }
    return rows;
  }

  for (const mode of modes) {
    test(`PeerAuthentication ${mode}: all clients, with all DestinationRules`, async () => {
      mesh.writeConfig(
        "mode.yaml",
        `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: mode, namespace: default }
spec: { mtls: { mode: ${mode} } }
`,
      );
      const expected = Object.fromEntries(
        Object.entries(table).flatMap(([who, byRule]) =>
          rules.map((rule) => [`${who}, DestinationRule ${rule}`, byRule[rule][mode] as string]),
        ),
      );
      let last: Record<string, string> | undefined;
      await eventually(mode, async () => {
        const rows = await found();
        last = rows;
        return Object.entries(expected).every(([cell, outcome]) => rows[cell] === outcome) ? true : undefined;
      }).catch((error: unknown) => {
        if (last !== undefined) assert.deepEqual(last, expected);
        throw error;
      });
    });
  }
});
