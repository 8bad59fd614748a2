// Every client against every mode of PeerAuthentication and every TLS mode of a DestinationRule, over real sockets. The
// table below is what Istio does.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { eventually, type TestMesh } from "./mesh.ts";
import { type Certificate, meshRoot, selfMadeRoot, signedBy } from "./openssl.ts";
import { curl, type PodShell, seen } from "./pod-shell.ts";

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

/** A mesh with test/fixtures/workloads and without PeerAuthentications, and shells of a client and of the pod outside of it. */
export interface MatrixMesh {
  readonly mesh: TestMesh;
  readonly client: PodShell;
  readonly outside: PodShell;
}

/** Tests to be declared in a suite whose mesh has started when they run. */
export function mutualTlsMatrix(started: () => MatrixMesh): void {
  let mesh: TestMesh;
  let client: PodShell;
  let outside: PodShell;

  before(async () => {
    ({ mesh, client, outside } = started());
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
      const cells = Object.entries(askAs).flatMap(([who, ask]) =>
        rules.map((rule) => ({ name: `${who}, ${rule}`, ask: () => ask(rule), expected: table[who]?.[rule][mode] })),
      );
      const ofClient = cells.slice(0, rules.length);
      const ofOthers = cells.slice(rules.length);
      // Each shell does one thing after the other; there are two.
      await Promise.all(
        [ofClient, ofOthers].map(async (all) => {
          for (const { name, ask, expected } of all) {
            let last: Outcome | undefined;
            await eventually(`${name}: ${expected}`, async () => {
              last = await ask();
              return last === expected ? true : undefined;
            }).catch((error: unknown) => {
              if (last !== undefined) assert.equal(last, expected, name);
              throw error;
            });
          }
        }),
      );
      // What has changed stays so, at both workloads.
      const found: Record<string, unknown> = {};
      for (const round of [1, 2]) {
        await Promise.all(
          [ofClient, ofOthers].map(async (all) => {
            for (const { name, ask } of all) found[`${name} (${round})`] = await ask();
          }),
        );
      }
      assert.deepEqual(
        found,
        Object.fromEntries(
          [1, 2].flatMap((round) => cells.map(({ name, expected }) => [`${name} (${round})`, expected])),
        ),
      );
    });
  }
}
