// Mesh configuration, Telemetry and ProxyConfig, as traffic, logs and metrics show them.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { ExportLogsServiceRequestSchema } from "#wire/gen/opentelemetry/proto/collector/logs/v1/logs_service_pb.ts";
import { ExportTraceServiceRequestSchema } from "#wire/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import type { Span } from "#wire/gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import { eventually, TestMesh } from "../support/mesh.ts";
import { curl, PodShell, seen } from "../support/pod-shell.ts";

let mesh: TestMesh;
let client: PodShell;

async function logOf(pod: string): Promise<string> {
  return (await mesh.run("logs", pod, "-c", "istio-proxy", "--tail", "500")).stdout;
}

const exportPath = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

interface Collected {
  /** By method; base64. */
  readonly messages: Readonly<Record<string, readonly string[]>>;
  readonly zipkin: readonly {
    readonly traceId: string;
    readonly id: string;
    readonly parentId: string;
    readonly name: string;
    readonly kind: string;
    readonly localEndpoint: { readonly serviceName: string };
    readonly tags: Readonly<Record<string, string>>;
  }[];
}

async function collected(): Promise<Collected> {
  const { stdout } = await mesh.exec("external.outside", "external", "curl", "-sS", "http://collector.outside:8000/");
  return JSON.parse(stdout) as Collected;
}

function tagsOf(span: Span): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(span.attributes.map(({ key, value }) => [key, String(value?.value.value)]));
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("mesh settings", { timeout: 400_000 }, () => {
  before(async () => {
    mesh = await TestMesh.start({ copy: ["test/fixtures/workloads", "test/fixtures/mesh-settings"] });
    client = await PodShell.open(mesh, "client", "client");
  });
  after(async () => {
    await client?.close();
    await mesh?.stop();
  });

  test("proxyListenPort and proxyInboundListenPort: capture leads to the ports that are asked for", async () => {
    const { stdout } = await mesh.run("proxy-config", "listeners", "client", "-o", "json");
    const ports = new Set([...stdout.matchAll(/"portValue": (\d+)/g)].map(([, port]) => port));
    assert.deepEqual([ports.has("16001"), ports.has("16006"), ports.has("15001")], [true, true, false]);
    assert.match(seen(await curl(client, "http://echo:8000/")).headers["x-forwarded-client-cert"] ?? "", /URI=spiffe/);
  });

  test("proxyHttpPort: an HTTP proxy on localhost", async () => {
    const answer = await curl(client, "-x http://127.0.0.1:15002 http://echo:8080/by-proxy");
    assert.deepEqual([seen(answer).path, seen(answer).port], ["/by-proxy", 8080]);
    assert.match(seen(answer).headers["x-forwarded-client-cert"] ?? "", /URI=spiffe/);
  });

  test("inboundTrafficPolicy LOCALHOST: the application is called on localhost, from localhost", async () => {
    assert.match(seen(await curl(client, "http://echo:8000/")).remoteAddress, /127\.0\.0\.1$/);
  });

  test("pathNormalization DECODE_AND_MERGE_SLASHES", async () => {
    const answer = await curl(client, "--path-as-is 'http://echo:8000/a%2Fb//c/../d%5Ce'");
    assert.equal(seen(answer).path, "/a/b/d/e");
  });

  test("defaultHttpRetryPolicy: a request is tried again as often as the mesh says", async () => {
    // Two pods, each of which fails twice: the fifth attempt at the latest succeeds.
    assert.equal((await curl(client, "http://echo:8000/flaky/soon/2")).status, 200);
    assert.equal((await curl(client, "http://echo:8000/flaky/late/9")).status, 503);
  });

  test("protocolDetectionTimeout: a server that speaks first on an undeclared port is heard after it", async () => {
    const greeted = await client.run("echo Ann | node socket.ts greeter 9001 --first");
    assert.match(greeted.stdout, /^hello from v[12]\ngood bye, Ann\n$/);
  });

  test("meshMTLS.minProtocolVersion TLSV1_3: older TLS is refused", async () => {
    const pods = await mesh.exec("client", "client", "getent", "ahostsv4", "echo");
    assert.match(pods.stdout, /10\.96\./);
    const list = (await mesh.api("/api/v1/namespaces/default/pods?labelSelector=app%3Decho")) as {
      items: { status: { podIP: string } }[];
    };
    const address = list.items[0]?.status.podIP ?? "";
    const handshake = (version: string) =>
      mesh.exec(
        "external.outside",
        "external",
        "sh",
        "-c",
        `openssl s_client -connect ${address}:8000 -alpn istio -${version} </dev/null 2>&1`,
      );
    assert.match((await handshake("tls1_2")).stdout, /alert protocol version|wrong version|unsupported protocol/);
    assert.match((await handshake("tls1_3")).stdout, /TLSv1\.3/);
  });

  test("Telemetry: a provider of its own for one workload, no log for another", async () => {
    assert.equal((await curl(client, "http://echo:8000/status/201/logged")).status, 201);
    const line = await eventually(
      "the line of the provider",
      async () => /^\{.*\/status\/201\/logged.*$/m.exec(await logOf("client"))?.[0],
    );
    assert.deepEqual(JSON.parse(line), { kind: "as-json", path: "/status/201/logged", status: 201 });
    const [first, second] = await Promise.all([logOf("echo-v1"), logOf("echo-v2")]);
    assert.ok(!`${first}${second}`.includes("/status/201/logged"));
  });

  test("Telemetry: a filter leaves lines out of a provider's log", async () => {
    for (const path of ["202/unlogged", "203/after"]) await curl(client, `http://echo:8000/status/${path}`);
    const log = await eventually("the line of the second request", async () => {
      const text = await logOf("client");
      return text.includes("/status/203/after") ? text : undefined;
    });
    assert.ok(!log.includes("/status/202/unlogged"));
  });

  test("Telemetry: tags and metrics are changed", async () => {
    const page = await client.run("curl -sS http://localhost:15020/stats/prometheus");
    const outbound = page.stdout.split("\n").filter((line) => line.includes('reporter="source"'));
    const requests = outbound.filter((line) => line.startsWith("istio_requests_total{"));
    assert.ok(
      requests.some((line) => line.includes('requested_host="echo:8000"')),
      requests.join("\n"),
    );
    assert.ok(requests.every((line) => !line.includes("source_app=")));
    assert.ok(!outbound.some((line) => line.startsWith("istio_request_bytes")));
    assert.ok(outbound.some((line) => line.startsWith("istio_response_bytes")));
  });

  test("Telemetry: one trace of both sides, to OpenTelemetry and to Zipkin, with a policy that only would deny", async () => {
    const answer = await curl(client, "-H 'x-tenant: acme' http://echo:8000/traced/dry");
    assert.equal(answer.status, 200);
    const { parent, spans } = await eventually("the spans of both sides", async () => {
      const { messages, zipkin } = await collected();
      const sent = (messages[exportPath] ?? []).flatMap((message) => {
        const request = fromBinary(ExportTraceServiceRequestSchema, Buffer.from(message, "base64"));
        return request.resourceSpans.flatMap((of) => of.scopeSpans.flatMap((scope) => scope.spans));
      });
      const own = sent.find((span) => tagsOf(span)["http.url"]?.endsWith("/traced/dry"));
      const servers = zipkin.filter(({ tags }) => tags["http.url"]?.endsWith("/traced/dry"));
      return own === undefined || servers.length === 0 ? undefined : { parent: own, spans: servers };
    });
    const tags = tagsOf(parent);
    assert.deepEqual(
      [tags["tenant"], tags["istio.canonical_service"], tags["istio.namespace"], tags["istio.mesh_id"]],
      ["acme", "client", "default", "cluster.local"],
    );
    assert.equal(parent.name, "echo.default.svc.cluster.local:8000/*");
    // Sampled by the client, although the server's own share is nothing.
    const [span] = spans;
    assert.deepEqual(
      [span?.traceId, span?.parentId, span?.name, span?.kind, span?.localEndpoint.serviceName],
      [hex(parent.traceId), hex(parent.spanId), parent.name, "SERVER", "echo.default"],
    );
    assert.equal(span?.tags["istio.authorization.dry_run.deny_policy.result"], "denied");
    assert.equal(span?.tags["istio.authorization.dry_run.deny_policy.name"], "ns[default]-policy[dry]-rule[0]");
    const told = seen(answer).headers;
    assert.deepEqual([told["x-b3-traceid"], told["x-b3-spanid"]], [span?.traceId, span?.id]);
    assert.equal(told["x-envoy-decorator-operation"], undefined);
  });

  test("Telemetry: a log for an OpenTelemetry collector, whose records name the trace", async () => {
    assert.equal((await curl(client, "http://echo:8000/status/206/recorded")).status, 206);
    const record = await eventually("the record", async () => {
      const { messages } = await collected();
      return (messages["/opentelemetry.proto.collector.logs.v1.LogsService/Export"] ?? [])
        .flatMap((message) => fromBinary(ExportLogsServiceRequestSchema, Buffer.from(message, "base64")).resourceLogs)
        .flatMap((of) => of.scopeLogs.flatMap((scope) => scope.logRecords))
        .find(({ attributes }) => attributes.some(({ value }) => value?.value.value === "/status/206/recorded"));
    });
    assert.equal(record.body?.value.value, "GET");
    assert.equal(record.traceId.length, 16);
  });

  test("ProxyConfig: environment and threads of a proxy", async () => {
    const environment = async (pod: string): Promise<string> =>
      (await mesh.exec(pod, "istio-proxy", "sh", "-c", "echo $LEVEL $OF_ROOT")).stdout.trim();
    assert.equal(await environment("client"), "workload true");
    assert.equal(await environment("echo-v1"), "root true");
    const info = await client.run("curl -sS http://localhost:15000/server_info");
    assert.equal(
      (JSON.parse(info.stdout) as { command_line_options: { concurrency: number } }).command_line_options.concurrency,
      2,
    );
  });
});
