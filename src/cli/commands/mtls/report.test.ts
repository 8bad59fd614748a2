import assert from "node:assert/strict";
import { after, test } from "node:test";
import { observedFiles, smallMesh, smallTraffic } from "../../testing/observed-files.ts";
import { type CliResult, run } from "../../testing/run-cli.ts";
import type { MtlsReport } from "./report.ts";

const files = observedFiles();
after(() => files.remove());

const report = (yaml: string, ...argv: string[]): Promise<CliResult> =>
  run(["mtls", "report", "-f", "-", ...argv], { stdin: `${smallMesh}---\n${yaml}` });

async function json(yaml: string, ...argv: string[]): Promise<MtlsReport> {
  const { stdout, stderr } = await report(yaml, "-o", "json", ...argv);
  assert.equal(stderr, "");
  return JSON.parse(stdout) as MtlsReport;
}

const peers = (mode: string, rest = ""): string => `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec:
  mtls: {mode: ${mode}}
${rest}`;

test("each port has its mode with the line that says so; nothing said is PERMISSIVE", async () => {
  const ports = `  selector: {matchLabels: {app: api}}
  portLevelMtls:
    9000: {mode: DISABLE}
`;
  const modes = (await json(peers("STRICT", ports))).ports.map((port) => [port.port, port.mode, port.policy?.line]);
  assert.deepEqual(modes, [
    [8080, "STRICT", 43],
    [9000, "DISABLE", 46],
  ]);
  const none = await json("");
  assert.deepEqual(
    none.ports.map(({ mode, policy }) => [mode, policy]),
    [
      ["PERMISSIVE", null],
      ["PERMISSIVE", null],
    ],
  );
  assert.deepEqual(none.unmeshed, ["batch.default"]);
});

test("of the traffic that was seen, STRICT would refuse the plaintext, by workload and address", async () => {
  const { ports } = await json("", "--observed", files.observed());
  assert.deepEqual(ports[0]?.connections, { mutual_tls: 3, tls: 0, own_tls: 0, plaintext: 4 });
  assert.deepEqual(ports[0]?.strictWouldRefuse, {
    configured: [],
    observed: [
      {
        workload: "batch.default",
        hasSidecar: false,
        identity: "spiffe://cluster.local/ns/default/sa/batch",
        isProven: false,
        address: "10.244.0.3",
        protection: "plaintext",
        connections: 4,
        requests: 12,
      },
    ],
  });
  assert.deepEqual(ports[1]?.strictWouldRefuse, { configured: [], observed: [] });
  const { code, stdout } = await report("", "--observed", files.observed());
  assert.equal(code, 1);
  assert.match(
    stdout,
    /^ {2}api\.default:8080 {2}plaintext from batch\.default, which has no sidecar, service account of \S+\/sa\/batch \(10\.244\.0\.3\): 4 connections with 12 requests$/m,
  );
  assert.match(stdout, /Observed from 2026-01-01T00:00:00\.000Z to 2026-01-02/);
});

test("TLS without a certificate of the mesh is refused by STRICT too", async () => {
  const own = smallTraffic.map((caller) => ({ ...caller, protection: "own_tls" as const, principal: "" }));
  const { ports } = await json("", "--observed", files.observed(own));
  assert.equal(ports[0]?.strictWouldRefuse.observed.length, 2);
});

test("a client that a DestinationRule keeps from mutual TLS is told, also without traffic", async () => {
  const rule = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: plain}
spec: {host: api, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}]}}
`;
  const { code, stdout } = await report(rule);
  assert.equal(code, 1);
  assert.match(
    stdout,
    /api\.default:8080 {2}plaintext from shop\.default, as configured by DestinationRule default\/plain \(stdin:\d+\)/,
  );
  assert.match(stdout, /^api\.default +9000 +PERMISSIVE +- +mutual TLS \(1 client\) +- +nothing$/m);
  assert.match(stdout, /No traffic was observed/);
});

test("where all clients use mutual TLS nothing is refused, and the exit code is 0", async () => {
  const mutual = smallTraffic.filter(({ protection }) => protection === "mutual_tls");
  const { code, stdout } = await report("", "--observed", files.observed(mutual));
  assert.equal(code, 0, stdout);
  assert.doesNotMatch(stdout, /STRICT would refuse:/);
});

test("a workload or a namespace can be asked for; what is not there is told with what is", async () => {
  assert.equal((await json("", "api")).ports.length, 2);
  assert.equal((await json("", "-n", "elsewhere")).ports.length, 0);
  const unknown = await report("", "nobody");
  assert.equal(unknown.code, 1);
  assert.match(
    unknown.stderr,
    /no workload "nobody" in namespace default; there are: api\.default, batch\.default, shop\.default/,
  );
  assert.match((await report("", "batch")).stderr, /batch\.default has no sidecar/);
});

test("a file that is no observed traffic is refused with the place", async () => {
  const asked = async (text: string): Promise<string> =>
    (await report("", "--observed", files.write("bad.json", text))).stderr;
  assert.match(await asked("{"), /bad\.json: /);
  assert.match(await asked("[]"), /no observed traffic; write it with: outrigger mtls report -o json/);
  assert.match(
    await asked('{"observed": [{"workload": "a.b", "since": "", "until": "", "callers": [{}]}]}'),
    /observed\[0\]\.callers\[0\]\.protection is no text/,
  );
  assert.match(await asked('{"observed": [{"workload": 1}]}'), /observed\[0\]\.workload is not a name/);
  assert.match((await report("", "--observed", "/nowhere.json")).stderr, /nowhere\.json: /);
});
