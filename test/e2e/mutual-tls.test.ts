// Who may speak to whom, and how: PeerAuthentication at every level and in every mode, certificates that are refused on
// either side, and identities as peers see them. One mesh for all tests, in order; policies come and go through --watch.
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { MtlsReport } from "#cli/commands/mtls/report.ts";
import { descendantsOf } from "../support/host.ts";
import { eventually, TestMesh } from "../support/mesh.ts";
import { mutualTlsMatrix } from "../support/mutual-tls-matrix.ts";
import { type Certificate, meshRoot, selfMadeRoot, signedBy } from "../support/openssl.ts";
import { curl, PodShell, seen } from "../support/pod-shell.ts";

type Mode = "UNSET" | "DISABLE" | "PERMISSIVE" | "STRICT";
type Ports = Readonly<Record<number, Mode>>;

/** What becomes of requests to a port: from outside of the mesh, and from a sidecar. */
interface Effect {
  readonly outside: "served" | "refused";
  readonly inside: "mutual TLS" | "plaintext" | "refused";
}

interface Case {
  readonly name: string;
  readonly policies: Readonly<Record<string, string>>;
  readonly effects: Readonly<Record<number, Effect>>;
  /** The policy that the refusing sidecar's log names, by port; its name is also that of its file. */
  readonly decides?: Readonly<Record<number, string>>;
}

const served: Effect = { outside: "served", inside: "mutual TLS" };
const refused: Effect = { outside: "refused", inside: "mutual TLS" };
const plain: Effect = { outside: "served", inside: "plaintext" };
/** To a port that no Service names a sidecar sends what the application sends. */
const unknownRefused: Effect = { outside: "refused", inside: "refused" };

function policy(namespace: string, mode?: Mode, selected = false, ports: Ports = {}): string {
  const selector = selected ? "\n  selector:\n    matchLabels:\n      app: echo" : "";
  const mtls = mode === undefined ? "" : `\n  mtls:\n    mode: ${mode}`;
  const entries = Object.entries(ports).map(([port, portMode]) => `\n    ${port}:\n      mode: ${portMode}`);
  const level = entries.length === 0 ? "" : `\n  portLevelMtls:${entries.join("")}`;
  const spec = `${selector}${mtls}${level}`;
  return `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: NAME
  namespace: ${namespace}
spec:${spec === "" ? " {}" : spec}
`;
}

const wholeMesh = (mode: Mode): string => policy("istio-system", mode);
const namespace = (mode: Mode): string => policy("default", mode);
const workload = (mode?: Mode, ports?: Ports): string => policy("default", mode, true, ports);

// Neighbours differ in what they lead to, so that each is seen to take effect.
const cases: readonly Case[] = [
  { name: "nothing said is PERMISSIVE", policies: {}, effects: { 8000: served, 7000: plain } },
  {
    name: "mesh STRICT",
    policies: { "mesh-1": wholeMesh("STRICT") },
    effects: { 8000: refused, 8080: refused, 7000: unknownRefused },
    decides: { 8000: "mesh-1", 7000: "mesh-1" },
  },
  { name: "mesh DISABLE", policies: { "mesh-2": wholeMesh("DISABLE") }, effects: { 8000: plain, 8080: plain } },
  {
    name: "mesh DISABLE, namespace STRICT",
    policies: { "mesh-3": wholeMesh("DISABLE"), "namespace-3": namespace("STRICT") },
    effects: { 8000: refused },
    decides: { 8000: "namespace-3" },
  },
  {
    name: "mesh STRICT, namespace PERMISSIVE",
    policies: { "mesh-4": wholeMesh("STRICT"), "namespace-4": namespace("PERMISSIVE") },
    effects: { 8000: served },
  },
  {
    name: "mesh STRICT, namespace UNSET",
    policies: { "mesh-5": wholeMesh("STRICT"), "namespace-5": namespace("UNSET") },
    effects: { 8000: refused },
    decides: { 8000: "mesh-5" },
  },
  {
    name: "namespace STRICT, workload DISABLE",
    policies: { "namespace-6": namespace("STRICT"), "workload-6": workload("DISABLE") },
    effects: { 8000: plain },
  },
  {
    name: "namespace PERMISSIVE, workload STRICT",
    policies: { "namespace-7": namespace("PERMISSIVE"), "workload-7": workload("STRICT") },
    effects: { 8000: refused },
    decides: { 8000: "workload-7" },
  },
  {
    name: "workload STRICT, one port PERMISSIVE and one without a Service DISABLE",
    policies: { "workload-8": workload("STRICT", { 8080: "PERMISSIVE", 7000: "DISABLE" }) },
    effects: { 8000: refused, 8080: served, 7000: plain },
    decides: { 8000: "workload-8" },
  },
  {
    name: "workload PERMISSIVE, one port STRICT",
    policies: { "workload-9": workload("PERMISSIVE", { 8080: "STRICT" }) },
    effects: { 8000: served, 8080: refused },
    decides: { 8080: "workload-9" },
  },
  {
    name: "namespace STRICT, workload says nothing, one port DISABLE",
    policies: { "namespace-10": namespace("STRICT"), "workload-10": workload(undefined, { 8080: "DISABLE" }) },
    effects: { 8000: refused, 8080: plain },
    decides: { 8000: "namespace-10" },
  },
  {
    name: "a selector in the root namespace is not for other namespaces",
    policies: { "mesh-11": policy("istio-system", "STRICT", true) },
    effects: { 8000: served, 8080: served },
  },
  {
    name: "namespace STRICT, workload UNSET, one port UNSET",
    policies: { "namespace-12": namespace("STRICT"), "workload-12": workload("UNSET", { 8080: "UNSET" }) },
    effects: { 8000: refused, 8080: refused },
    decides: { 8000: "namespace-12", 8080: "namespace-12" },
  },
  {
    name: "two for the mesh: the one that was there first",
    policies: { "namespace-12": namespace("STRICT"), "namespace-13": namespace("DISABLE") },
    effects: { 8000: refused },
    decides: { 8000: "namespace-12" },
  },
];

let mesh: TestMesh;
let client: PodShell;
let outside: PodShell;
let echoAddress = "";
let outsideAddress = "";

const echoUrl = (port: number): string =>
  port === 7000 ? `http://${echoAddress}:7000/` : `http://echo.default:${port}/`;

async function effectOn(port: number): Promise<Effect> {
  const [there, here] = await Promise.all([curl(outside, echoUrl(port)), curl(client, echoUrl(port))]);
  const certificate = here.status === 200 ? seen(here).headers["x-forwarded-client-cert"] : undefined;
  return {
    outside: there.status === 200 ? "served" : "refused",
    inside: here.status !== 200 ? "refused" : certificate === undefined ? "plaintext" : "mutual TLS",
  };
}

function echoLogs(): Promise<string> {
  const names = ["echo-v1", "echo-v2"];
  const logs = names.map((name) => mesh.run("logs", name, "-c", "istio-proxy", "--tail", "400"));
  return Promise.all(logs).then((all) => all.map(({ stdout }) => stdout).join(""));
}

describe("mutual TLS", { timeout: 600_000 }, () => {
  before(async () => {
    mesh = await TestMesh.start({ copy: ["test/fixtures/workloads"] });
    [client, outside] = await Promise.all([
      PodShell.open(mesh, "client", "client"),
      PodShell.open(mesh, "external.outside", "external"),
    ]);
    echoAddress = (await mesh.exec("echo-v1", "echo", "hostname", "-i")).stdout.trim();
    outsideAddress = (await outside.run("hostname -i")).stdout.trim();
  });
  after(async () => {
    await Promise.all([client?.close(), outside?.close()]);
    await mesh?.stop();
  });

  describe("PeerAuthentication", () => {
    let inForce: readonly string[] = [];

    for (const { name, policies, effects, decides = {} } of cases) {
      test(name, async () => {
        const names = Object.keys(policies);
        for (const gone of inForce) if (!names.includes(gone)) mesh.removeConfig(`${gone}.yaml`);
        for (const [key, text] of Object.entries(policies)) {
          if (!inForce.includes(key)) mesh.writeConfig(`${key}.yaml`, text.replace("NAME", key));
        }
        inForce = names;
        for (const [port, expected] of Object.entries(effects)) {
          let last: Effect | undefined;
          await eventually(
            `the effect on port ${port}`,
            async () => {
              last = await effectOn(Number(port));
              return last.outside === expected.outside && last.inside === expected.inside ? true : undefined;
            },
            5000,
          ).catch(() => assert.deepEqual(last, expected, `port ${port}`));
        }
        for (const [port, decider] of Object.entries(decides)) {
          const pattern = new RegExp(
            `^.*plaintext to port ${port}, .*PeerAuthentication \\S+/${decider} \\(config/${decider}\\.yaml:1\\)`,
            "m",
          );
          await eventually(
            `${pattern} in the log`,
            async () => {
              if (pattern.test(await echoLogs())) return true;
              await curl(outside, echoUrl(Number(port)));
              return undefined;
            },
            5000,
          );
        }
      });
    }

    test("TCP: bytes from outside, and a server that speaks first, as the mode allows", async () => {
      const bytes = async (shell: PodShell): Promise<boolean> =>
        /^hi\nv[12] got 2 bytes/.test((await shell.run("printf hi | node socket.ts echo.default 9000")).stdout);
      const greeting = async (shell: PodShell): Promise<boolean> =>
        /^hello from v[12]\ngood bye, Ann\n/.test(
          (await shell.run("echo Ann | node socket.ts echo.default 9001 --first")).stdout,
        );
      for (const mode of ["STRICT", "DISABLE"] as const) {
        for (const gone of inForce) mesh.removeConfig(`${gone}.yaml`);
        inForce = [`tcp-${mode.toLowerCase()}`];
        mesh.writeConfig(`${inForce[0]}.yaml`, namespace(mode).replace("NAME", `tcp-${mode.toLowerCase()}`));
        const expected = mode === "STRICT" ? refused : plain;
        await eventually(mode, async () => {
          const effect = await effectOn(8000);
          return effect.outside === expected.outside && effect.inside === expected.inside ? true : undefined;
        });
        // The last step of the change is one that HTTP does not show: the server speaks first to who says nothing.
        if (mode === "DISABLE") await eventually(mode, async () => ((await greeting(outside)) ? true : undefined));
        assert.equal(await bytes(outside), mode === "DISABLE", mode);
        assert.equal(await greeting(outside), mode === "DISABLE", mode);
        assert.equal(await bytes(client), true, mode);
        assert.equal(await greeting(client), true, mode);
      }
    });

    test("without any policy plaintext is served again", async () => {
      for (const name of inForce) mesh.removeConfig(`${name}.yaml`);
      await eventually("plaintext", async () => {
        const effect = await effectOn(8000);
        return effect.outside === "served" && effect.inside === "mutual TLS" ? true : undefined;
      });
    });
  });

  describe("before STRICT", () => {
    before(async () => {
      for (let asked = 0; asked < 10; asked++) {
        await Promise.all([curl(outside, echoUrl(8000)), curl(client, `${echoUrl(8000)}users/${asked}`)]);
      }
    });

    test("a report tells what STRICT would refuse of the traffic that was seen, and who sent it", async () => {
      const { code, stdout, stderr } = await mesh.run("mtls", "report", "-n", "default", "-o", "json");
      assert.equal(code, 1, stderr);
      const { ports } = JSON.parse(stdout) as MtlsReport;
      const served = ports.filter(({ workload, port }) => workload.startsWith("echo-") && port === 8000);
      assert.deepEqual(
        served.map(({ workload, mode, policy }) => [workload, mode, policy]),
        [
          ["echo-v1.default", "PERMISSIVE", null],
          ["echo-v2.default", "PERMISSIVE", null],
        ],
      );
      const seenCallers = served.flatMap(({ strictWouldRefuse }) => strictWouldRefuse.observed);
      const strangers = seenCallers.filter(({ workload }) => workload === "external.outside");
      assert.ok(strangers.length > 0, JSON.stringify(seenCallers));
      for (const { hasSidecar, protection, address, identity, isProven } of strangers) {
        assert.deepEqual([hasSidecar, protection, address], [false, "plaintext", outsideAddress]);
        assert.deepEqual([identity?.startsWith("spiffe://cluster.local/ns/outside/sa/"), isProven], [true, false]);
      }
      assert.ok(served.every(({ connections }) => connections.mutual_tls > 0));
    });

    test("proposed policies let through who proved an identity, and a replay tells what they deny", async () => {
      const replayed = await mesh.run("authz", "suggest", "-n", "default", "--replay");
      assert.equal(replayed.code, 1);
      assert.match(
        replayed.stdout,
        /^denied +echo-v\d\.default +8000 +external\.outside \(\S+, no certificate\) +GET/m,
      );
      assert.doesNotMatch(replayed.stdout, /^denied +\S+ +\d+ +spiffe:/m);
      const { stdout, stderr } = await mesh.run("authz", "suggest", "-n", "default");
      assert.match(stdout, /- cluster\.local\/ns\/default\/sa\/client\n/, stderr);
      assert.match(stdout, /- \/users\/\{\*\}\n/);
      mesh.writeConfig("suggested.yaml", stdout);
      const answer = await eventually("403 for who proves nothing", async () => {
        const refusedAnswer = await curl(outside, echoUrl(8000));
        return refusedAnswer.status === 403 ? refusedAnswer : undefined;
      });
      assert.match(answer.body, /AuthorizationPolicy default\/allow-observed-echo \(config\/suggested\.yaml:\d+\)/);
      assert.equal((await curl(client, `${echoUrl(8000)}users/77`)).status, 200);
      // The two pods hear of it one after the other.
      await eventually("403 for what nobody asked for", async () => {
        const answers = await Promise.all(
          Array.from({ length: 6 }, () => curl(client, `${echoUrl(8000)}nobody/asked`)),
        );
        return answers.every(({ status }) => status === 403) ? true : undefined;
      });
      assert.equal((await curl(client, `${echoUrl(8000)}users/78`)).status, 200);
      mesh.removeConfig("suggested.yaml");
      await eventually("everybody is let in again", async () => {
        const answers = await Promise.all(Array.from({ length: 6 }, () => curl(outside, echoUrl(8000))));
        return answers.every(({ status }) => status === 200) ? true : undefined;
      });
    });
  });

  test("a connection that a policy refuses stands in the log with the policy, its rule and line", async () => {
    /** How many of some connections, which both pods get, are served. */
    const served = async (): Promise<number> => {
      const one = "printf hi | node socket.ts echo.default 9000";
      const { stdout } = await client.run(`for i in 1 2 3 4; do ${one}; done`);
      return [...stdout.matchAll(/got 2 bytes/g)].length;
    };
    const rules = (name: string, action: string, operation: string): string => `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}}
spec:
  selector: {matchLabels: {app: echo}}
  action: ${action}
  rules: [{to: [{operation: ${operation}}]}]
`;
    const reason = (pattern: RegExp): Promise<true> =>
      eventually(String(pattern), async () => (pattern.test(await echoLogs()) ? true : undefined));
    mesh.writeConfig("no-bytes.yaml", rules("no-bytes", "DENY", '{ports: ["9000"]}'));
    await eventually("bytes to be refused", async () => ((await served()) === 0 ? true : undefined));
    await reason(
      /spiffe:\S+\/sa\/client is denied by ns\[default\]-policy\[no-bytes\]-rule\[0\] \[AuthorizationPolicy default\/no-bytes \(config\/no-bytes\.yaml:\d+\)\]/,
    );
    mesh.removeConfig("no-bytes.yaml");
    await eventually("bytes to be let in", async () => ((await served()) === 4 ? true : undefined));
    mesh.writeConfig("only-get.yaml", rules("only-get", "ALLOW", "{methods: [GET]}"));
    await eventually("bytes to be refused", async () => ((await served()) === 0 ? true : undefined));
    await reason(
      /rbac_access_denied_matched_policy\[none\].*no policy allows spiffe:\S+\/sa\/client: ns\[default\]-policy\[only-get\]-rule\[0\] \(AuthorizationPolicy default\/only-get \(config\/only-get\.yaml:7\)\) asks for methods, and a connection without HTTP has none/,
    );
    assert.equal((await curl(client, echoUrl(8000))).status, 200);
    mesh.removeConfig("only-get.yaml");
    await eventually("bytes to be let in", async () => ((await served()) === 4 ? true : undefined));
    mesh.writeConfig("no-put.yaml", rules("no-put", "DENY", '{ports: ["9000"], methods: [PUT]}'));
    await eventually("bytes to be refused", async () => ((await served()) === 0 ? true : undefined));
    await reason(
      /denied by ns\[default\]-policy\[no-put\]-rule\[0\]: without HTTP methods is left aside \[AuthorizationPolicy default\/no-put \(config\/no-put\.yaml:7\)\]/,
    );
    mesh.removeConfig("no-put.yaml");
    await eventually("bytes to be let in", async () => ((await served()) === 4 ? true : undefined));
  });

  test("from mode to mode under load, between workloads of the mesh, no request fails", async () => {
    const load = "node load.ts http://echo.default:8000/ 4 > /tmp/load.json 2>&1 & echo $! > /tmp/load.pid";
    await client.run(load);
    const modes = [
      "PERMISSIVE",
      "STRICT",
      "PERMISSIVE",
      "DISABLE",
      "PERMISSIVE",
      "STRICT",
      "DISABLE",
      "STRICT",
    ] as const;
    for (const mode of modes) {
      mesh.writeConfig("switch.yaml", namespace(mode).replace("NAME", "switch"));
      const expected = mode === "STRICT" ? refused : mode === "DISABLE" ? plain : served;
      let last: Effect | undefined;
      await eventually(
        mode,
        async () => {
          last = await effectOn(8000);
          return last.outside === expected.outside && last.inside === expected.inside ? true : undefined;
        },
        15_000,
      ).catch(() => assert.deepEqual(last, expected, mode));
    }
    const { stdout } = await client.run(
      "kill $(cat /tmp/load.pid); while kill -0 $(cat /tmp/load.pid) 2>/dev/null; do sleep 0.1; done; cat /tmp/load.json",
    );
    const { requests, failures } = JSON.parse(stdout) as { requests: number; failures: string[] };
    assert.deepEqual(failures, []);
    assert.ok(requests > 500, String(requests));
    mesh.removeConfig("switch.yaml");
  });

  describe("certificates of clients", () => {
    before(async () => {
      mesh.writeConfig("strict.yaml", namespace("STRICT").replace("NAME", "strict"));
      await eventually("plaintext to be refused", async () =>
        (await effectOn(8000)).outside === "refused" ? true : undefined,
      );
    });

    /** Sends a request with the certificate, as a client outside of the mesh would. */
    async function ask(certificate?: Certificate): Promise<string> {
      const files =
        certificate === undefined
          ? ""
          : `printf '%s' '${certificate.chain}' > /tmp/cert.pem; printf '%s' '${certificate.key}' > /tmp/key.pem;`;
      const use = certificate === undefined ? "" : "-cert /tmp/cert.pem -key /tmp/key.pem";
      const send = "printf 'GET / HTTP/1.1\\r\\nHost: echo\\r\\nConnection: close\\r\\n\\r\\n'";
      const result = await outside.run(
        `${files} ${send} | timeout 5 openssl s_client -connect ${echoAddress}:8000 -alpn istio ${use} -quiet 2>&1`,
      );
      return result.stdout;
    }

    async function reason(pattern: RegExp): Promise<void> {
      await eventually(String(pattern), async () => (pattern.test(await echoLogs()) ? true : undefined), 5000);
    }

    test("one that the mesh's roots vouch for is let in, and the workload sees its SPIFFE id", async () => {
      const answer = await ask(signedBy(await meshRoot(mesh), "spiffe://cluster.local/ns/outside/sa/guest"));
      assert.match(answer, /HTTP\/1\.1 200 OK/);
      assert.match(answer, /URI=spiffe:\/\/cluster\.local\/ns\/outside\/sa\/guest/);
    });

    test("none", async () => {
      assert.doesNotMatch(await ask(), /HTTP\/1\.1/);
      await reason(/refused .*presented no certificate/);
    });

    test("one of a root of its own, whatever identity it claims", async () => {
      const root = selfMadeRoot();
      const answer = await ask(signedBy(root, "spiffe://cluster.local/ns/default/sa/client"));
      assert.doesNotMatch(answer, /HTTP\/1\.1/);
      await reason(/refused .*certificate is not trusted.*spiffe:\/\/cluster\.local\/ns\/default\/sa\/client/);
    });

    test("one of another trust domain", async () => {
      const answer = await ask(signedBy(await meshRoot(mesh), "spiffe://elsewhere.example/ns/default/sa/client"));
      assert.doesNotMatch(answer, /HTTP\/1\.1/);
      await reason(/refused .*spiffe:\/\/elsewhere\.example\/ns\/default\/sa\/client/);
    });

    test("one that has expired", async () => {
      const answer = await ask(signedBy(await meshRoot(mesh), "spiffe://cluster.local/ns/default/sa/client", true));
      assert.doesNotMatch(answer, /HTTP\/1\.1/);
      await reason(/refused .*(expired|EXPIRED)/);
    });
  });

  describe("what STRICT leaves open", () => {
    /** Ports outside of capture, for probes and metrics: docs/look-up/ports.md. */
    const open = [15020, 15021, 15090];
    const ofApplication = [7000, 8000, 8080, 9000, 9001];

    /** Ports that something in the pod listens on, by the address that it listens on. */
    async function listening(): Promise<Map<number, string>> {
      const { stdout } = await mesh.exec("echo-v1", "echo", "cat", "/proc/net/tcp", "/proc/net/tcp6");
      const sockets = stdout.matchAll(/^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 0A /gm);
      return new Map([...sockets].map(([, address = "", port = ""]) => [Number.parseInt(port, 16), address]));
    }

    test("no port of a pod answers without a certificate of the mesh but those for probes and metrics", async () => {
      const listeners = await listening();
      for (const port of [...open, ...ofApplication, 15001, 15006]) assert.ok(listeners.has(port), `${port}`);
      const notable = [1, 22, 80, 443, 1337, 9229, 9876, 15000, 15001, 15004, 15006, 15008, 15010, 15053, 15443, 65535];
      const sample = Array.from({ length: 100 }, (_, index) => 2 + index * 655);
      const ports = [...new Set([...listeners.keys(), ...notable, ...sample])];
      await put("foreign", signedBy(selfMadeRoot(), "spiffe://cluster.local/ns/default/sa/client"));
      await put("mesh", signedBy(await meshRoot(mesh), "spiffe://cluster.local/ns/outside/sa/guest"));
      const { stdout, stderr } = await outside.run(`node sweep.ts ${echoAddress} ${ports.join()}`);
      assert.notEqual(stdout, "", stderr);
      const found = JSON.parse(stdout) as Record<
        string,
        Record<"plaintext" | "anonymous" | "foreign" | "mesh", string>
      >;
      assert.equal(Object.keys(found).length, ports.length);
      const leaks = Object.entries(found).flatMap(([port, seen]) =>
        (["plaintext", "anonymous", "foreign"] as const).flatMap((way) => {
          const isSilent = seen[way] === "nothing" || seen[way] === "refused";
          return isSilent || open.includes(Number(port)) ? [] : [`${port} ${way}: ${seen[way]}`];
        }),
      );
      assert.deepEqual(leaks, []);
      for (const port of open) assert.match(found[port]?.plaintext ?? "", /^HTTP\/1\.1 /, `${port}`);
      // With a certificate of the mesh, the application and nothing of the sidecar itself.
      const reached = Object.entries(found).flatMap(([port, { mesh: answer }]) =>
        /^(HTTP\/1\.1 200|GET|hello)/.test(answer) ? [Number(port)] : [],
      );
      assert.deepEqual(
        reached.sort((a, b) => a - b),
        ofApplication,
      );
    });

    test("the admin port is on loopback alone, and what ends the sidecar is for its own pod", async () => {
      assert.equal((await listening()).get(15000), "0100007F");
      for (const path of ["15020/quitquitquit", "15020/drain", "15000/quitquitquit", "15090/quitquitquit"]) {
        const answer = await curl(outside, `-X POST http://${echoAddress}:${path}`);
        assert.ok([0, 403, 404, 405].includes(answer.status), `${path}: ${answer.status}`);
      }
      for (const path of [
        "15020/debug/pprof/heap",
        "15020/config_dump",
        "15021/config_dump",
        "15090/config_dump",
        "15090/certs",
      ]) {
        const answer = await curl(outside, `http://${echoAddress}:${path}`);
        assert.ok([403, 404, 405].includes(answer.status), `${path}: ${answer.status}`);
      }
      assert.equal((await curl(client, "http://echo.default:8000/")).status, 200, "and it still serves");
    });

    /** Gives the client outside of the mesh a certificate, as files. */
    async function put(name: string, { chain, key }: Certificate): Promise<void> {
      await outside.run(`printf '%s' '${chain}' > /tmp/${name}.pem; printf '%s' '${key}' > /tmp/${name}.key`);
    }
  });

  test("no private key is in files, logs, dumps, command lines and environments", async () => {
    const proxies = ["echo-v1", "echo-v2", "client", "istio-ingressgateway.istio-system"];
    const texts: [where: string, text: string][] = [];
    const admin = "config_dump?include_eds certs server_info stats clusters listeners memory init_dump";
    const debug = "configz adsz syncz connections mesh inject registryz cachez push_status";
    const dumps = proxies.slice(0, 3).map((pod) => `config_dump?proxyID=${pod}.default`);
    const gone = "%{http_code} %{url_effective}\\n";
    // What would show the memory of a process is not there at all.
    const heaps = (addresses: readonly string[]): string =>
      `for a in ${addresses.join(" ")}; do curl -s -o /dev/null -w '${gone}' $a; done`;
    const ask = async (pod: string, container: string, script: string): Promise<void> => {
      const { stdout, stderr, code } = await mesh.exec(pod, container, "sh", "-c", script);
      assert.equal(code, 0, stderr);
      texts.push([pod, stdout]);
      assert.doesNotMatch(stdout, /^(?!404)\d{3} http.*(heap|pprof)/m, pod);
      assert.match(stdout, /^404 http.*heap/m, pod);
    };
    const debugLevel =
      "curl -s -X POST localhost:15000/logging?level=debug; curl -s -o /dev/null http://echo.default:8000/";
    await Promise.all([
      ...proxies.map((pod) =>
        ask(
          pod,
          "istio-proxy",
          `${debugLevel}; for p in ${admin}; do curl -s "localhost:15000/$p"; done;
           ${heaps(["localhost:15000/heapdump", "localhost:15000/heap_dump", "localhost:15020/debug/pprof/heap"])}`,
        ),
      ),
      ask(
        "istiod.istio-system",
        "discovery",
        `for p in ${debug} '${dumps.join("' '")}'; do curl -s "localhost:15014/debug/$p"; done; curl -s localhost:15014/metrics;
         ${heaps(["localhost:15014/debug/pprof/heap", "localhost:8080/debug/pprof/heap"])}`,
      ),
    ]);
    const state = join(mesh.folder, "state");
    for (const path of globSync("**", { cwd: state })) {
      const file = join(state, path);
      // The store of the cluster holds its Secrets, as etcd does; it is the owner's alone.
      if (/^cluster\.db(-wal|-shm)?$/.test(path)) assert.equal(statSync(file).mode & 0o077, 0, path);
      else if (statSync(file).isFile()) texts.push([path, readFileSync(file, "latin1")]);
    }
    const folders = "/etc/istio /var/run/secrets /run /dev/shm /var/lib/istio";
    const search = `grep -rlaE 'PRIVATE KEY|UFJJVkFURSBLRV' ${folders} $(find /tmp -maxdepth 1 -type f) 2>/dev/null || true`;
    const written = await Promise.all(
      ["echo-v1", "client"].map((pod) => mesh.exec(pod, "istio-proxy", "sh", "-c", search)),
    );
    assert.deepEqual(
      written.map(({ stdout }) => stdout),
      ["", ""],
    );
    const processes = descendantsOf(mesh.pid);
    assert.ok(processes.filter(({ command }) => command.includes("proxy sidecar")).length >= 3);
    for (const { pid, command, environment } of processes) {
      texts.push([`command line of ${pid}`, command], [`environment of ${pid}`, environment]);
      // Nobody attaches an inspector to a process that holds keys.
      if (/outrigger\S* (discovery|proxy)\b/.test(command)) {
        assert.match(command, /--disable-sigusr1/, command);
      }
    }
    assert.ok(texts.length > 40, `${texts.length} texts`);
    assert.ok(
      texts.some(([, text]) => /BEGIN CERTIFICATE|LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS/.test(text)),
      "certificates do show",
    );
    const found = texts.flatMap(([where, text]) => {
      const match = keyMaterial.exec(text);
      return match === null ? [] : [`${where}: ${match[0].slice(0, 12)}...`];
    });
    assert.deepEqual(found, []);
  });

  describe("certificates of servers", () => {
    /** To an address where nobody listens, so that only the Host header can lead to the entry. */
    const viaEntry = (): string => `--connect-to ::${outsideAddress}:80 http://san.mesh.test/`;
    const entry = (rest: string): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: san
spec:
  hosts: [san.mesh.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP, targetPort: 8000 }]
${rest}`;
    const endpoint = (account: string): string =>
      `  endpoints: [{ address: ${echoAddress}, serviceAccount: ${account}, labels: { security.istio.io/tlsMode: istio } }]\n`;

    test("the service account that is expected", async () => {
      mesh.writeConfig("san.yaml", entry(endpoint("echo")));
      await eventually("an answer over mutual TLS", async () => {
        const answer = await curl(client, viaEntry());
        return answer.status === 200 && seen(answer).headers["x-forwarded-client-cert"]?.endsWith("/sa/client")
          ? true
          : undefined;
      });
    });

    test("another service account than expected is refused by the client, with the reason in its log", async () => {
      mesh.writeConfig("san.yaml", entry(endpoint("somebody-else")));
      await eventually("503", async () => ((await curl(client, viaEntry())).status === 503 ? true : undefined));
      const line = await eventually("the reason in the log", async () => {
        const logs = await mesh.run("logs", "client", "-c", "istio-proxy", "--tail", "50");
        return /^.* 503 UF,URX .*outbound\|80\|\|san\.mesh\.test.*$/m.exec(logs.stdout)?.[0];
      });
      assert.match(line, /spiffe:\/\/cluster\.local\/ns\/default\/sa\/echo/);
      assert.match(line, /spiffe:\/\/cluster\.local\/ns\/default\/sa\/somebody-else/);
    });

    test("subjectAltNames of a ServiceEntry are accepted too", async () => {
      const names = "  subjectAltNames: [spiffe://cluster.local/ns/default/sa/echo]\n";
      mesh.writeConfig("san.yaml", entry(endpoint("somebody-else") + names));
      await eventually("200", async () => ((await curl(client, viaEntry())).status === 200 ? true : undefined));
    });

    test("an older TLS than 1.2 is refused", async () => {
      const old = await outside.run(
        `openssl s_client -connect ${echoAddress}:8000 -alpn istio -tls1_1 -cipher ALL@SECLEVEL=0 </dev/null 2>&1`,
      );
      assert.match(old.stdout, /Cipher is \(NONE\)/);
    });
  });

  describe("every client, mode and DestinationRule", () => {
    before(() => {
      if (existsSync(join(mesh.folder, "config/strict.yaml"))) mesh.removeConfig("strict.yaml");
    });
    mutualTlsMatrix(() => ({ mesh, client, outside }));
  });
});

/**
 * A private key as PEM, in base64 of PEM or of DER (PKCS #8 and SEC 1 with P-256, PKCS #8 with Ed25519, PKCS #8 with RSA),
 * and these in hexadecimal.
 */
const keyMaterial = new RegExp(
  [
    "-----BEGIN [A-Z ]*PRIVATE KEY",
    // At each of the three places that it can begin at.
    "UFJJVkFURSBLRV",
    "BSSVZBVEUgS0VZ",
    "QUklWQVRFIEtFW",
    "MIGHAgEAMBMGByqGSM49",
    "MHcCAQEEI",
    "MC4CAQAwBQYDK2Vw",
    "MII[A-Za-z0-9+/]{3}IBADANBgkqhkiG9w0BAQE",
    "308187020100301306072a8648ce3d",
    "302e020100300506032b6570",
  ].join("|"),
);
