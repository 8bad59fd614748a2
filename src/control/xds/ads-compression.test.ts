// Large responses compressed for who takes that, over a real socket: what goes over the wire, and what it says.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:http2";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from "#wire/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { acceptEncodingKey } from "#wire/grpc/message-frame.ts";
import { adsPath } from "#wire/grpc/service-definition.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { DeltaXdsClient, meshYaml, sidecarId, startTestControlPlane } from "../testing/test-control-plane.ts";

const services = Array.from(
  { length: 100 },
  (_, index) => `
apiVersion: v1
kind: Service
metadata: {name: svc-${index}, namespace: default}
spec: {clusterIP: 10.96.1.${index}, ports: [{name: http, port: 9080}]}
`,
);
const plane = await startTestControlPlane([meshYaml, ...services].join("---"));
const port = plane.control.addresses.plaintext?.port ?? 0;
after(() => plane.control.stop());

interface Raw {
  readonly encoding: string | undefined;
  readonly flag: number;
  readonly length: number;
  readonly response: DeltaDiscoveryResponse;
}

/** The first response for the type, as it stands on the wire. */
async function first(url: string, headers: Record<string, string>): Promise<Raw> {
  const session = connect(`http://127.0.0.1:${port}`);
  const stream = session.request({
    ":method": "POST",
    ":path": adsPath.delta,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  const node = { id: sidecarId, metadata: { SERVICE_ACCOUNT: "bookinfo-productpage" } };
  const request = create(DeltaDiscoveryRequestSchema, { node, typeUrl: url, resourceNamesSubscribe: [] });
  const bytes = toBinary(DeltaDiscoveryRequestSchema, request);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  stream.write(Buffer.concat([head, bytes]));
  const [received] = await once(stream, "response");
  let data = Buffer.alloc(0);
  const size = (): number => (data.length < 5 ? Number.POSITIVE_INFINITY : 5 + data.readUInt32BE(1));
  while (data.length < size()) data = Buffer.concat([data, (await once(stream, "data"))[0]]);
  session.destroy();
  const message = data.subarray(5, size());
  return {
    encoding: received["grpc-encoding"],
    flag: data[0] ?? -1,
    length: message.length,
    response: fromBinary(DeltaDiscoveryResponseSchema, data[0] === 1 ? gunzipSync(message) : message),
  };
}

test("a client that takes gzip is sent it, another one the same response as it is", { timeout: 20_000 }, async () => {
  const plain = await first(typeUrl.cluster, { "grpc-accept-encoding": "identity" });
  assert.deepEqual([plain.encoding, plain.flag], ["identity", 0]);
  const compressed = await first(typeUrl.cluster, { [acceptEncodingKey]: "gzip" });
  assert.deepEqual([compressed.encoding, compressed.flag], ["gzip", 1]);
  assert.ok(compressed.length < plain.length / 4, `${compressed.length} of ${plain.length} bytes`);
  assert.ok(plain.response.resources.length > 100);
  assert.deepEqual(compressed.response.resources, plain.response.resources);
});

test("an encoding that is not known is none", { timeout: 20_000 }, async () => {
  const { encoding, flag } = await first(typeUrl.cluster, { [acceptEncodingKey]: "zstd" });
  assert.deepEqual([encoding, flag], ["identity", 0]);
});

test("small messages go uncompressed between large ones, and a gRPC library reads both", {
  timeout: 20_000,
}, async () => {
  const client = new DeltaXdsClient({ port, accepts: "gzip" });
  client.request(typeUrl.cluster);
  const names = (await client.accept()).resources
    .map(({ name }) => name)
    .filter((name) => name.startsWith("outbound|"));
  client.request(typeUrl.endpoint, { resourceNamesSubscribe: names.slice(0, 1) });
  assert.deepEqual(
    (await client.accept()).resources.map(({ name }) => name),
    names.slice(0, 1),
  );
  client.request(typeUrl.route, { resourceNamesSubscribe: ["9080"] });
  const [route] = (await client.accept()).resources;
  assert.equal(route?.name, "9080");
  client.close();
});
