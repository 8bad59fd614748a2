// ServiceEntries on the wire: hosts that only their allocated addresses tell apart, names that the sidecar's DNS proxy
// answers, TLS by server name, wildcards.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, TestMesh } from "../support/mesh.ts";
import { curl, PodShell, seen } from "../support/pod-shell.ts";

interface Entry {
  readonly status?: { readonly addresses?: readonly { readonly value: string; readonly host: string }[] };
}

let mesh: TestMesh;
let client: PodShell;
let captured: PodShell;
let roamer: PodShell;
let externalAddress = "";

/** What an application's resolver finds. */
async function resolve(shell: PodShell, host: string): Promise<string[]> {
  const answer = await shell.run(`getent ahostsv4 ${host}`);
  return [...new Set(answer.stdout.split("\n").flatMap((line) => /^\S+/.exec(line)?.[0] ?? []))].sort();
}

async function addressesOf(entry: string): Promise<string[]> {
  const path = `/apis/networking.istio.io/v1/namespaces/default/serviceentries/${entry}`;
  const { status } = (await mesh.api(path)) as Entry;
  return (status?.addresses ?? []).map(({ host, value }) => `${host} ${value}`);
}

describe("ServiceEntry", { timeout: 400_000 }, () => {
  before(async () => {
    mesh = await TestMesh.start({ copy: ["test/fixtures/workloads", "test/fixtures/service-entry"] });
    [client, captured, roamer] = await Promise.all([
      PodShell.open(mesh, "client", "client"),
      PodShell.open(mesh, "captured", "captured"),
      PodShell.open(mesh, "roamer", "roamer"),
    ]);
    externalAddress = (await mesh.exec("external.outside", "external", "hostname", "-i")).stdout.trim();
  });
  after(async () => {
    await Promise.all([client?.close(), captured?.close(), roamer?.close()]);
    await mesh?.stop();
  });

  test("a host without addresses gets one of each range, in its status, and DNS answers with it", async () => {
    const addresses = await eventually("addresses in the status", async () => {
      const found = await addressesOf("tcp-echo");
      return found.length === 0 ? undefined : found;
    });
    assert.match(addresses.join(), /^echo\.tcp\.example 240\.240\.\d+\.\d+,echo\.tcp\.example 2001:2::[0-9a-f]+$/);
    assert.deepEqual(await resolve(captured, "echo.tcp.example"), [addresses[0]?.split(" ")[1]]);
    assert.deepEqual(await addressesOf("without-addresses"), []);
  });

  test("TCP to two hosts on one port goes to each by its allocated address", async () => {
    const echo = await captured.run("echo hello | node socket.ts echo.tcp.example 9100");
    assert.match(echo.stdout, /hello\n\nexternal got 6 bytes and the end/);
    const greeter = await captured.run("echo me | node socket.ts greeter.tcp.example 9100 --first");
    assert.equal(greeter.stdout + greeter.stderr, "hello from external\ngood bye, me\n");
  });

  test("the sidecar's DNS proxy knows the mesh's names in their short forms, and asks for the others", async () => {
    const [service] = await resolve(client, "echo.default.svc.cluster.local");
    assert.match(service ?? "", /^10\.96\./);
    for (const name of ["echo", "echo.default", "echo.default.svc", "echo.default.svc.cluster.local"]) {
      assert.deepEqual(await resolve(captured, name), [service], name);
    }
    assert.deepEqual(
      await resolve(captured, "echo-headless"),
      await resolve(client, "echo-headless.default.svc.cluster.local"),
    );
    // The reverse zone is none of the mesh's names.
    const reverse = await captured.run(`getent hosts ${service}`);
    assert.match(reverse.stdout, /echo\.default\.svc\.cluster\.local/);
    assert.deepEqual(await resolve(captured, "nobody.elsewhere.svc.cluster.local"), []);
  });

  test("DNS over TCP is captured too", async () => {
    const name = [..."echo.tcp.example".split(".").flatMap((label) => [label.length, ...Buffer.from(label)]), 0];
    const query = Buffer.from([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...name, 0, 1, 0, 1]);
    const hex = Buffer.concat([Buffer.from([0, query.length]), query]).toString("hex");
    const server = (await captured.run("sed -n 's/^nameserver //p' /etc/resolv.conf")).stdout.trim().split("\n")[0];
    const program = `const s = require("net").connect(53, "${server}"); s.write(Buffer.from("${hex}", "hex")); s.once("data", (d) => { console.log([...d.subarray(-4)].join(".")); s.end(); });`;
    const answer = await captured.run(`node -e '${program}'`);
    assert.deepEqual([answer.stdout.trim()], await resolve(captured, "echo.tcp.example"));
  });

  test("TLS to external names is told apart by server name, and unknown names are refused", async () => {
    const ask = (host: string) => curl(client, `-k --resolve ${host}:443:203.0.113.7 https://${host}/`);
    assert.equal((await ask("one.secure.example")).body, "8443 one.secure.example\n");
    assert.equal((await ask("two.secure.example")).body, "8444 two.secure.example\n");
    assert.equal((await ask("three.secure.example")).status, 0);
  });

  test("TLS to external names by their allocated addresses", async () => {
    assert.equal((await curl(captured, "-k https://two.secure.example/")).body, "8444 two.secure.example\n");
  });

  test("a wildcard host with resolution NONE lets its names through to the address that was dialled", async () => {
    const ask = (host: string) => curl(client, `--resolve ${host}:8000:${externalAddress} http://${host}:8000/path`);
    assert.equal(seen(await ask("any.wild.example")).version, "external");
    assert.equal(seen(await ask("any.at.all.wild.example")).version, "external");
    assert.equal((await ask("wild.example")).status, 502);
  });

  // 203.0.113.9 is nobody's: whoever gets an answer was resolved by the proxy.
  const named = (shell: PodShell, url: string) => {
    const { hostname, port } = new URL(url);
    return curl(shell, `-k --resolve ${hostname}:${port}:203.0.113.9 ${url}`);
  };

  test("DYNAMIC_DNS: HTTP goes to the host that it names, whatever address was dialled", async () => {
    assert.equal(seen(await named(client, "http://hidden.outside.svc.cluster.local:8000/")).version, "external");
    assert.equal(seen(await curl(captured, "http://hidden.outside.svc.cluster.local:8000/")).version, "external");
    const nobody = await named(client, "http://nobody.outside.svc.cluster.local:8000/");
    assert.equal(nobody.status, 503);
    assert.match(nobody.body, /^DNS resolution failure/);
    assert.equal((await named(client, "http://other.example:8000/")).status, 502);
  });

  test("DYNAMIC_DNS: TLS goes to the host of its hello, and begins at the sidecar where a rule says so", async () => {
    const host = "hidden-tls.outside.svc.cluster.local";
    assert.equal((await named(client, `https://${host}:8443/`)).body, `8443 ${host}\n`);
    assert.equal((await named(client, `http://${host}:8444/`)).body, `8444 ${host}\n`);
    assert.equal((await named(client, "https://nobody.outside.svc.cluster.local:8443/")).status, 0);
  });

  test("DYNAMIC_DNS: explain names the host and port that a request goes to", async () => {
    const { stdout } = await mesh.run(
      "explain",
      "--from",
      "client",
      "GET",
      "http://hidden.outside.svc.cluster.local:8000/",
    );
    assert.match(stdout, /hidden\.outside\.svc\.cluster\.local:8000/);
    assert.match(stdout, /ServiceEntry default\/dynamic/);
  });

  test("ALLOW_ANY_DYNAMIC_DNS: HTTP to hosts that nobody declared is resolved, on ports of listeners and on others", async () => {
    assert.equal(seen(await named(roamer, "http://external.outside.svc.cluster.local:8000/")).version, "external");
    const other = await roamer.run(
      "curl -s -m 8 --resolve hidden.outside.svc.cluster.local:81:203.0.113.9 http://hidden.outside.svc.cluster.local:81/ -H 'Host: hidden.outside.svc.cluster.local:8000'",
    );
    assert.match(other.stdout, /"version":"external"/);
    const stats = await roamer.run("curl -s 'localhost:15000/stats?filter=AllowAnyDynamicDNSCluster'");
    assert.match(stats.stdout, /upstream_rq_total: 2/);
    assert.equal((await named(roamer, "http://nobody.example:81/")).status, 503);
  });

  test("ALLOW_ANY_DYNAMIC_DNS: TLS goes to the address that was dialled", async () => {
    const answer = await curl(roamer, "-k https://hidden-tls.outside.svc.cluster.local:8443/");
    assert.equal(answer.body, "8443 hidden-tls.outside.svc.cluster.local\n");
    assert.equal((await named(roamer, "https://hidden-tls.outside.svc.cluster.local:8443/")).status, 0);
  });

  interface Registered {
    readonly metadata: {
      readonly name: string;
      readonly labels: Record<string, string>;
      readonly annotations: Record<string, string>;
    };
    readonly spec: { readonly address: string; readonly ports: Record<string, number> };
    readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  }
  const registered = async (): Promise<readonly Registered[]> => {
    const path = "/apis/networking.istio.io/v1/namespaces/default/workloadentries";
    return ((await mesh.api(path)) as { items: readonly Registered[] }).items;
  };
  const health = ({ status }: Registered): string | undefined =>
    status?.conditions?.find(({ type }) => type === "Healthy")?.status;

  test("WorkloadGroup: a workload registers itself, and is reached over mutual TLS as one of its Service", async () => {
    const entry = await eventually("a healthy entry", async () =>
      (await registered()).find((it) => health(it) === "True"),
    );
    assert.equal(entry.metadata.name, `billing-${entry.spec.address}`);
    assert.deepEqual(entry.spec.ports, { http: 8000 });
    assert.equal(entry.metadata.labels["registered"], "billing");
    assert.equal(entry.metadata.annotations["istio.io/autoRegistrationGroup"], "billing");
    assert.equal(entry.metadata.annotations["example.com/owner"], "billing-team");
    assert.ok(entry.metadata.annotations["istio.io/workloadController"]);
    const answer = await eventually("an answer of the workload", async () => {
      const got = await curl(client, "http://billing/");
      return got.status === 200 ? seen(got) : undefined;
    });
    assert.equal(answer.version, "machine");
    assert.match(
      answer.headers["x-forwarded-client-cert"] ?? "",
      /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/client/,
    );
  });

  test("WorkloadGroup: an unwell workload gets no requests until its probe succeeds again", async () => {
    await mesh.exec("machine", "istio-proxy", "touch", "/tmp/unwell");
    await eventually("the condition", async () =>
      (await registered()).some((it) => health(it) === "False") ? true : undefined,
    );
    await eventually("a refusal", async () =>
      (await curl(client, "http://billing/")).status === 503 ? true : undefined,
    );
    await mesh.exec("machine", "istio-proxy", "rm", "/tmp/unwell");
    await eventually("an answer", async () =>
      (await curl(client, "http://billing/")).status === 200 ? true : undefined,
    );
  });

  test("WorkloadGroup: the entry goes with the workload", async () => {
    mesh.removeConfig("service-entry/registered.yaml");
    await eventually("the entry is gone", async () => ((await registered()).length === 0 ? true : undefined), 60_000);
  });

  test("networks: what is on another network is reached through its gateway, with mutual TLS from end to end", async () => {
    const nearby = await PodShell.open(mesh, "nearby", "nearby");
    try {
      assert.equal(seen(await curl(nearby, "http://distant/")).version, "distant");
      const gateway = "istio-ingressgateway.istio-system";
      const address = (await mesh.exec(gateway, "istio-proxy", "hostname", "-i")).stdout.trim();
      mesh.writeConfig(
        "service-entry/east-west.yaml",
        `apiVersion: v1
kind: Service
metadata:
  name: east-west
  namespace: istio-system
  labels: {topology.istio.io/network: far}
spec:
  selector: {istio: ingressgateway}
  externalIPs: ["${address}"]
  ports: [{name: tls, port: 15443}]
`,
      );
      const endpointsOf = async (pod: string): Promise<string> =>
        (
          await mesh.run(
            "proxy-config",
            "endpoints",
            pod,
            "--cluster",
            "outbound|80||distant.default.svc.cluster.local",
          )
        ).stdout;
      await eventually("the gateway among the endpoints", async () =>
        (await endpointsOf("nearby")).includes(`${address}:15443`) ? true : undefined,
      );
      assert.match(await endpointsOf("client"), /:8000 /);
      const answer = await eventually("an answer through the gateway", async () => {
        const got = await curl(nearby, "http://distant/");
        return got.status === 200 ? seen(got) : undefined;
      });
      assert.equal(answer.version, "distant");
      assert.match(
        answer.headers["x-forwarded-client-cert"] ?? "",
        /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/client/,
      );
      const stats = await mesh.exec(
        gateway,
        "istio-proxy",
        "curl",
        "-s",
        "localhost:15000/stats?filter=outbound_.80_._.distant",
      );
      assert.match(stats.stdout, /upstream_cx_total: [1-9]/);
    } finally {
      await nearby.close();
    }
  });
});
