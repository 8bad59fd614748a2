// Independent xDS clients for tests: proxyless gRPC in two implementations (@grpc/grpc-js-xds, and Python's grpcio, which
// is the C core), backends to call, and the objects that place them.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { rawStreamMethod } from "#wire/grpc/service-definition.ts";
import type { TestControlPlane } from "../../testing/test-control-plane.ts";

const path = "/test.Echo/Say";
const echo = { ...rawStreamMethod(path), requestStream: false as const, responseStream: false as const };

const nodeClient = join(import.meta.dirname, "grpc-xds-entry.ts");
const python = "/usr/bin/python3";
const grpcio = "/usr/lib/python3/dist-packages/grpc/__init__.py";
const target = "xds:///ratings.default.svc.cluster.local:9080";

interface Backend {
  readonly port: number;
  stop(): void;
}

/** A backend that answers with its name. */
export async function startBackend(t: TestContext, name: string, host: string, port = 0): Promise<Backend> {
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

export function bootstrap(port: number | undefined, name: string): string {
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
      locality: { region: "r1", zone: "z1" },
    },
  });
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

function callsBy(t: TestContext, bootstrapText: string, file: string, args: readonly string[]): Calls {
  const child: ChildProcess = spawn(file, args, {
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

export interface Placed {
  readonly name: string;
  readonly host: string;
  readonly version: string;
  /** The node under it, whose labels say where it is. */
  readonly node?: string;
}

export const service: string = `
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: default}
spec: {clusterIP: 10.96.0.21, selector: {app: ratings}, ports: [{name: grpc, port: 9080}]}
`;

export function endpoints(port: number, placed: readonly Placed[]): string {
  const pods = placed.map(
    ({ name, host, version, node = "nowhere" }) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: default, labels: {app: ratings, version: ${version}}}
spec: {nodeName: ${node}, containers: [{name: app, image: app}]}
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

export async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) assert.ok(Date.now() < deadline, `never: ${what}`);
}

/** Who answers some calls, by name. */
export async function answering(calls: Calls, user?: string): Promise<string> {
  return Object.keys(await calls(20, user))
    .sort()
    .join();
}

interface GrpcClient {
  readonly name: string;
  /** `bootstrap` is the client's bootstrap file as text. */
  readonly connect: (t: TestContext, bootstrap: string) => Calls;
  readonly skip: string | false;
}

export const grpcClients: readonly GrpcClient[] = [
  {
    name: "@grpc/grpc-js-xds",
    connect: (t, text) => callsBy(t, text, process.execPath, [nodeClient, target, path]),
    skip: false,
  },
  {
    name: "grpcio",
    connect: (t, text) => callsBy(t, text, python, ["-c", pythonClient]),
    skip: existsSync(grpcio) ? false : "python3-grpcio is not installed",
  },
];

export async function assertSynced({ control }: TestControlPlane): Promise<void> {
  const syncz = await fetch(`http://127.0.0.1:${control.addresses.monitoring?.port}/debug/syncz`);
  const [proxy] = (await syncz.json()) as { protocol: string; types: Record<string, { state: string }> }[];
  assert.equal(proxy?.protocol, "sotw");
  for (const type of ["lds", "rds", "cds", "eds"]) assert.equal(proxy?.types[type]?.state, "SYNCED", type);
}
