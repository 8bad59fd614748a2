// Independent xDS clients, proxyless gRPC in two implementations (@grpc/grpc-js-xds, and Python's grpcio, which is the C
// core), resolve services of the mesh through our control plane and call them.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { credentials, Metadata, makeGenericClientConstructor, Server, ServerCredentials } from "@grpc/grpc-js";
import { rawStreamMethod } from "#wire/grpc/service-definition.ts";
import { startTestControlPlane, type TestControlPlane } from "../testing/test-control-plane.ts";

const path = "/test.Echo/Say";
const echo = { ...rawStreamMethod(path), requestStream: false as const, responseStream: false as const };

const python = "/usr/bin/python3";
const grpcio = "/usr/lib/python3/dist-packages/grpc/__init__.py";
const target = "xds:///ratings.default.svc.cluster.local:9080";

interface Backend {
  readonly port: number;
  stop(): void;
}

/** A backend that answers with its name. */
async function startBackend(t: TestContext, name: string, host: string, port = 0): Promise<Backend> {
  const server = new Server();
  server.addService(
    { Say: echo },
    { Say: (_call: unknown, reply: (error: null, bytes: Buffer) => void) => reply(null, Buffer.from(name)) },
  );
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, ServerCredentials.createInsecure(), (error, actual) =>
      error === null ? resolve(actual) : reject(error),
    );
  });
  t.after(() => server.forceShutdown());
  return { port: bound, stop: () => server.forceShutdown() };
}

/** Calls so often, with a header or none, and says who answered how often. */
type Calls = (count: number, user?: string) => Promise<Readonly<Record<string, number>>>;

function bootstrap(port: number | undefined, name: string): string {
  return JSON.stringify({
    xds_servers: [
      {
        server_uri: `127.0.0.1:${port}`,
        channel_creds: [{ type: "insecure" }],
        server_features: ["xds_v3"],
      },
    ],
    node: {
      id: `sidecar~10.244.0.30~${name}.default~default.svc.cluster.local`,
      metadata: { GENERATOR: "grpc", NAMESPACE: "default" },
      locality: { region: "r1" },
    },
  });
}

async function nodeCalls(t: TestContext, bootstrapText: string): Promise<Calls> {
  // The client reads its bootstrap when its module is loaded.
  process.env["GRPC_XDS_BOOTSTRAP_CONFIG"] = bootstrapText;
  const xds = await import("@grpc/grpc-js-xds");
  xds.register();
  const Echo = makeGenericClientConstructor({ Say: echo }, "Echo");
  const client = new Echo(target, credentials.createInsecure());
  t.after(() => client.close());
  const say = (metadata: Metadata): Promise<string> =>
    new Promise((resolve) => {
      const options = { deadline: Date.now() + 10_000 };
      client.makeUnaryRequest(
        path,
        echo.requestSerialize,
        echo.responseDeserialize,
        Buffer.from("x"),
        metadata,
        options,
        (error, bytes) => resolve(error === null ? String(bytes) : `error ${error.code}`),
      );
    });
  return async (count, user) => {
    const metadata = new Metadata();
    if (user !== undefined) metadata.set("end-user", user);
    const answers: Record<string, number> = {};
    for (let call = 0; call < count; call++) {
      const answer = await say(metadata);
      answers[answer] = (answers[answer] ?? 0) + 1;
    }
    return answers;
  };
}

const pythonClient = `
import collections, grpc, json, sys
with grpc.insecure_channel("${target}") as channel:
    say = channel.unary_unary("${path}")
    for line in sys.stdin:
        wanted = json.loads(line)
        metadata = (("end-user", wanted["user"]),) if "user" in wanted else ()
        answers = collections.Counter()
        for _ in range(wanted["count"]):
            try:
                answers[say(b"x", timeout=10, metadata=metadata).decode()] += 1
            except grpc.RpcError as error:
                answers["error %d" % error.code().value[0]] += 1
        print(json.dumps(answers), flush=True)
`;

function pythonCalls(t: TestContext, bootstrapText: string): Calls {
  const child: ChildProcess = spawn(python, ["-c", pythonClient], {
    env: { ...process.env, GRPC_XDS_BOOTSTRAP_CONFIG: bootstrapText },
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  assert.ok(child.stdout !== null);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return async (count, user) => {
    child.stdin?.write(`${JSON.stringify({ count, ...(user !== undefined && { user }) })}\n`);
    const { value, done } = await lines.next();
    assert.ok(done !== true, "the client has ended");
    return JSON.parse(value) as Record<string, number>;
  };
}

interface Placed {
  readonly name: string;
  readonly host: string;
  readonly version: string;
}

const one: Placed = { name: "one", host: "127.0.0.3", version: "v1" };
const two: Placed = { name: "two", host: "127.0.0.4", version: "v2" };
const three: Placed = { name: "three", host: "127.0.0.5", version: "v2" };

const service = `
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: default}
spec: {clusterIP: 10.96.0.21, selector: {app: ratings}, ports: [{name: grpc, port: 9080}]}
`;

function endpoints(port: number, placed: readonly Placed[]): string {
  const pods = placed.map(
    ({ name, host, version }) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: default, labels: {app: ratings, version: ${version}}}
spec: {containers: [{name: app, image: app}]}
status: {podIP: ${host}, phase: Running}
`,
  );
  const listed = placed.map(
    ({ name, host }) => `{addresses: [${host}], targetRef: {kind: Pod, namespace: default, name: ${name}}}`,
  );
  return `${pods.join("---")}---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ratings-1, namespace: default, labels: {kubernetes.io/service-name: ratings}}
addressType: IPv4
ports: [{name: grpc, port: ${port}, protocol: TCP}]
endpoints: [${listed.join(", ")}]
`;
}

const split = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings, namespace: default}
spec:
  host: ratings
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings, namespace: default}
spec:
  hosts: [ratings]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: ratings, subset: v2}}]
  - route:
    - {destination: {host: ratings, subset: v1}, weight: 80}
    - {destination: {host: ratings, subset: v2}, weight: 20}
`;

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) assert.ok(Date.now() < deadline, `never: ${what}`);
}

/** Who answers some calls, by name. */
async function answering(calls: Calls, user?: string): Promise<string> {
  return Object.keys(await calls(20, user))
    .sort()
    .join();
}

const clients: readonly { name: string; connect: (t: TestContext, bootstrap: string) => Promise<Calls> | Calls }[] = [
  { name: "@grpc/grpc-js-xds", connect: nodeCalls },
  { name: "grpcio", connect: pythonCalls },
];

for (const { name, connect } of clients) {
  const skip = name === "grpcio" && !existsSync(grpcio) ? "python3-grpcio is not installed" : false;
  test(`a proxyless gRPC client (${name}) resolves, follows endpoints, splits, routes and fails over`, {
    skip,
  }, async (t) => {
    const { port } = await startBackend(t, "one", one.host);
    const second = await startBackend(t, "two", two.host, port);
    await startBackend(t, "three", three.host, port);
    const plane = await startTestControlPlane(`${service}---${endpoints(port, [one])}`);
    t.after(() => plane.control.stop());
    const calls = await connect(t, bootstrap(plane.control.addresses.plaintext?.port, "client"));
    assert.deepEqual(await calls(1), { one: 1 });
    plane.source.apply(endpoints(port, [two]));
    await until("the new endpoint", async () => (await answering(calls)) === "two");
    plane.source.apply(`${endpoints(port, [one, two, three])}---${split}`);
    await until("both versions for anybody", async () => (await answering(calls)).includes("one"));
    await until("the second version for jason", async () => (await answering(calls, "jason")) === "three,two");
    const { one: first = 0, ...others } = await calls(500);
    assert.ok(first > 350 && first < 450, `${first} of 500 went to the first version, with weight 80`);
    assert.deepEqual(Object.keys(others).sort(), ["three", "two"]);
    second.stop();
    await until("the endpoint that is left", async () => (await answering(calls, "jason")) === "three");
    assert.deepEqual(await calls(50, "jason"), { three: 50 });
    await assertSynced(plane);
  });
}

async function assertSynced({ control }: TestControlPlane): Promise<void> {
  const syncz = await fetch(`http://127.0.0.1:${control.addresses.monitoring?.port}/debug/syncz`);
  const [proxy] = (await syncz.json()) as { protocol: string; types: Record<string, { state: string }> }[];
  assert.equal(proxy?.protocol, "sotw");
  for (const type of ["lds", "rds", "cds", "eds"]) assert.equal(proxy?.types[type]?.state, "SYNCED", type);
}
