// A control plane in the test's own process, with objects from YAML text, and an xDS client that says what it gets.
import assert from "node:assert/strict";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { LogRegistry } from "#base/log/log.ts";
import { parseYamlDocuments } from "#mesh/objects/yaml.ts";
import type { SourceObject } from "#mesh/snapshot/read-object.ts";
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from "#wire/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { acceptEncodingKey } from "#wire/grpc/message-frame.ts";
import { adsPath } from "#wire/grpc/service-definition.ts";
import type { TokenVerifier } from "../ca/token-review.ts";
import type { ControlPlane, ControlPlaneOptions } from "../options.ts";
import { type ConfigSource, type SourceChange, SourceObjects } from "../sources/config-source.ts";
import { startControlPlane } from "../start.ts";

export const meshYaml = `
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec:
  clusterIP: 10.96.0.20
  selector: {app: reviews}
  ports: [{name: http, port: 9080, targetPort: 9080}]
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-v1, namespace: default, labels: {app: reviews, version: v1}}
spec: {serviceAccountName: bookinfo-reviews, containers: [{name: reviews, image: reviews}]}
status: {podIP: 127.0.0.2, phase: Running}
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: default}
spec:
  clusterIP: 10.96.0.21
  selector: {app: ratings}
  ports: [{name: grpc, port: 9080, targetPort: 9080}]
`;

export function endpointSlice(service: string, addresses: readonly string[], port = 9080): string {
  return `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${service}-1, namespace: default, labels: {kubernetes.io/service-name: ${service}}}
addressType: IPv4
ports: [{name: ${service === "ratings" ? "grpc" : "http"}, port: ${port}, protocol: TCP}]
endpoints: [${addresses.map((address) => `{addresses: [${address}], conditions: {ready: true}}`).join(", ")}]
`;
}

export class MemorySource implements ConfigSource {
  readonly name = "memory";
  readonly #objects = new SourceObjects();
  #onChange: (changes: readonly SourceChange[]) => void = () => {};

  async start(onChange: (changes: readonly SourceChange[]) => void): Promise<void> {
    this.#onChange = onChange;
  }

  objects(): Iterable<SourceObject> {
    return this.#objects.values();
  }

  issues(): [] {
    return [];
  }

  async stop(): Promise<void> {
    this.#onChange = () => {};
  }

  apply(yaml: string): void {
    const parsed = parseYamlDocuments("test.yaml", yaml);
    assert.deepEqual(parsed.issues, []);
    this.#onChange(parsed.objects.flatMap((entry) => this.#objects.put({ object: entry.object }) ?? []));
  }

  delete(yaml: string): void {
    const parsed = parseYamlDocuments("test.yaml", yaml);
    this.#onChange(parsed.objects.flatMap((entry) => this.#objects.delete(entry.object) ?? []));
  }
}

/** Accepts tokens of the form `namespace/account`. */
export const simpleTokens: TokenVerifier = {
  verify: async (token) => {
    const [namespace = "", serviceAccount = ""] = token.split("/");
    return serviceAccount === ""
      ? { refused: "the API server does not accept the token" }
      : { identity: { namespace, serviceAccount, podName: "" } };
  },
};

export interface TestControlPlane {
  readonly control: ControlPlane;
  readonly source: MemorySource;
  readonly lines: string[];
}

export async function startTestControlPlane(
  yaml: string,
  options: Partial<ControlPlaneOptions> = {},
): Promise<TestControlPlane> {
  const source = new MemorySource();
  source.apply(yaml);
  const lines: string[] = [];
  const control = await startControlPlane({
    sources: [source],
    ports: { plaintext: 0, tls: 0, monitoring: 0, webhook: 0, http: 0 },
    host: "127.0.0.1",
    tokens: simpleTokens,
    authenticatePlaintext: false,
    debounce: { quietMs: 5, urgentQuietMs: 1, maxMs: 100 },
    log: new LogRegistry({ level: "debug", write: (line) => lines.push(line) }),
    ...options,
  });
  return { control, source, lines };
}

export function metricValue(control: ControlPlane, series: string): number {
  const line = control.metrics
    .expose()
    .split("\n")
    .find((text) => text.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}

export interface ClientOptions {
  readonly port: number;
  /** PEM; plaintext without it. */
  readonly roots?: string;
  readonly token?: string;
  /** Takes compressed messages. */
  readonly accepts?: "gzip";
  readonly node?: Partial<{ id: string; metadata: Record<string, string>; userAgentName: string }>;
}

export const sidecarId = "sidecar~10.244.0.9~productpage-v1.default~default.svc.cluster.local";

class XdsClient<Response> {
  readonly #client: Client;
  readonly #stream: ClientDuplexStream<Buffer, Buffer>;
  readonly #received: Response[] = [];
  readonly node: MessageInitShape<typeof DiscoveryRequestSchema>["node"];
  #wake: () => void = () => {};
  #ended: ServiceError | "end" | undefined;

  constructor(path: string, decode: (bytes: Buffer) => Response, options: ClientOptions) {
    const channel =
      options.roots === undefined ? credentials.createInsecure() : credentials.createSsl(Buffer.from(options.roots));
    this.#client = new Client(`127.0.0.1:${options.port}`, channel, {
      "grpc.ssl_target_name_override": "istiod.istio-system.svc",
    });
    const metadata = new Metadata();
    if (options.token !== undefined) metadata.set("authorization", `Bearer ${options.token}`);
    if (options.accepts !== undefined) metadata.set(acceptEncodingKey, options.accepts);
    const identity = (bytes: Buffer): Buffer => bytes;
    this.#stream = this.#client.makeBidiStreamRequest(path, identity, identity, metadata);
    this.#stream.on("data", (bytes: Buffer) => {
      this.#received.push(decode(bytes));
      this.#wake();
    });
    this.#stream.on("error", (error: ServiceError) => {
      this.#ended = error;
      this.#wake();
    });
    this.#stream.on("end", () => {
      this.#ended ??= "end";
      this.#wake();
    });
    this.node = { id: sidecarId, metadata: { SERVICE_ACCOUNT: "bookinfo-productpage" }, ...options.node };
  }

  protected write(bytes: Uint8Array): void {
    this.#stream.write(Buffer.from(bytes));
  }

  /** The next response; fails when none comes within seconds or the stream ends. */
  async next(): Promise<Response> {
    const deadline = Date.now() + 5000;
    for (;;) {
      const response = this.#received.shift();
      if (response !== undefined) return response;
      if (this.#ended !== undefined) throw this.#ended === "end" ? new Error("stream ended") : this.#ended;
      assert.ok(Date.now() < deadline, "no response");
      await this.#changed();
    }
  }

  async end(): Promise<ServiceError | "end"> {
    while (this.#ended === undefined) await this.#changed();
    return this.#ended;
  }

  get waiting(): number {
    return this.#received.length;
  }

  close(): void {
    this.#stream.cancel();
    this.#client.close();
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, 5000);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

export class DeltaXdsClient extends XdsClient<DeltaDiscoveryResponse> {
  constructor(options: ClientOptions) {
    super(adsPath.delta, (bytes) => fromBinary(DeltaDiscoveryResponseSchema, bytes), options);
  }

  request(typeUrl: string, fields: MessageInitShape<typeof DeltaDiscoveryRequestSchema> = {}): void {
    const message = create(DeltaDiscoveryRequestSchema, { node: this.node, typeUrl, ...(fields as object) });
    this.write(toBinary(DeltaDiscoveryRequestSchema, message));
  }

  ack(response: DeltaDiscoveryResponse): void {
    this.request(response.typeUrl, { responseNonce: response.nonce });
  }

  nack(response: DeltaDiscoveryResponse, message: string): void {
    this.request(response.typeUrl, { responseNonce: response.nonce, errorDetail: { code: 13, message } });
  }

  /** Takes and accepts the next response. */
  async accept(): Promise<DeltaDiscoveryResponse> {
    const response = await this.next();
    this.ack(response);
    return response;
  }
}

export class FullXdsClient extends XdsClient<DiscoveryResponse> {
  constructor(options: ClientOptions) {
    super(adsPath.stateOfTheWorld, (bytes) => fromBinary(DiscoveryResponseSchema, bytes), options);
  }

  request(typeUrl: string, fields: MessageInitShape<typeof DiscoveryRequestSchema> = {}): void {
    const message = create(DiscoveryRequestSchema, { node: this.node, typeUrl, ...(fields as object) });
    this.write(toBinary(DiscoveryRequestSchema, message));
  }
}
