// An independent xDS client: proxyless gRPC (@grpc/grpc-js-xds) resolves a service of the mesh through our control plane
// and calls it.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Client, credentials, makeGenericClientConstructor, Server, ServerCredentials } from "@grpc/grpc-js";
import { rawStreamMethod } from "#wire/grpc/service-definition.ts";
import { endpointSlice, meshYaml, startTestControlPlane } from "../testing/test-control-plane.ts";

const path = "/test.Echo/Say";
const echo = { ...rawStreamMethod(path), requestStream: false as const, responseStream: false as const };

const cleanups: (() => void | Promise<void>)[] = [];
after(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A backend that answers with its name. */
async function startBackend(name: string, host: string, port = 0): Promise<number> {
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
  cleanups.push(() => server.forceShutdown());
  return bound;
}

function say(client: Client): Promise<string> {
  return new Promise((resolve, reject) => {
    const deadline = { deadline: Date.now() + 5000 };
    client.makeUnaryRequest(
      path,
      echo.requestSerialize,
      echo.responseDeserialize,
      Buffer.from("x"),
      deadline,
      (error, bytes) => (error === null ? resolve(String(bytes)) : reject(error)),
    );
  });
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!(await condition())) assert.ok(Date.now() < deadline, "never");
}

test("a proxyless gRPC client finds a service by name, and follows its endpoints", async () => {
  const port = await startBackend("one", "127.0.0.3");
  await startBackend("two", "127.0.0.4", port);
  const { control, source } = await startTestControlPlane(
    `${meshYaml}---${endpointSlice("ratings", ["127.0.0.3"], port)}`,
  );
  cleanups.push(() => control.stop());
  // The client reads its bootstrap when its module is loaded.
  process.env["GRPC_XDS_BOOTSTRAP_CONFIG"] = JSON.stringify({
    xds_servers: [
      {
        server_uri: `127.0.0.1:${control.addresses.plaintext?.port}`,
        channel_creds: [{ type: "insecure" }],
        server_features: ["xds_v3"],
      },
    ],
    node: {
      id: "sidecar~10.244.0.30~client.default~default.svc.cluster.local",
      metadata: { GENERATOR: "grpc", NAMESPACE: "default" },
      locality: { region: "r1" },
    },
  });
  const xds = await import("@grpc/grpc-js-xds");
  xds.register();
  const Echo = makeGenericClientConstructor({ Say: echo }, "Echo");
  const client = new Echo("xds:///ratings.default.svc.cluster.local:9080", credentials.createInsecure());
  cleanups.push(() => client.close());
  assert.equal(await say(client), "one");
  source.apply(endpointSlice("ratings", ["127.0.0.4"], port));
  await until(async () => (await say(client)) === "two");

  const syncz = await fetch(`http://127.0.0.1:${control.addresses.monitoring?.port}/debug/syncz`);
  const [proxy] = (await syncz.json()) as { protocol: string; types: Record<string, { state: string }> }[];
  assert.equal(proxy?.protocol, "sotw");
  for (const type of ["lds", "rds", "cds", "eds"]) assert.equal(proxy?.types[type]?.state, "SYNCED", type);
});
