// Equal bytes are never sent again: not by the same control plane, and not by another one that knows the same mesh.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { ManualClock } from "#base/time/clock.ts";
import { bookinfo, fromYaml, sidecarOf } from "#mesh/compile/testing/mesh.ts";
import { loadEnvoyTypes } from "#mesh/objects/envoy-types.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { type BuiltSnapshot, buildSnapshot } from "#mesh/snapshot/build.ts";
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from "#wire/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { encodeCompiled } from "../push/compile.ts";
import { type ProxyResources, ResourceEncoder } from "../push/encoded-resource.ts";
import { deltaVariant } from "./delta.ts";
import { meshCompiler } from "./mesh-compiler.ts";
import { StreamSession } from "./stream-session.ts";

await loadEnvoyTypes();

const proxy = sidecarOf("productpage", "10.244.0.11");
const types: readonly string[] = [typeUrl.cluster, typeUrl.endpoint, typeUrl.listener, typeUrl.route];

/** A control plane as one stream sees it. */
class Control {
  readonly #encoder = new ResourceEncoder();
  #snapshot: BuiltSnapshot | undefined;

  resources(objects: readonly KubernetesObject[]): ProxyResources {
    const sources = objects.map((object) => ({ object }));
    this.#snapshot = buildSnapshot(sources, {}, this.#snapshot);
    const compiled = meshCompiler.compile(this.#snapshot, proxy);
    return encodeCompiled(
      this.#encoder,
      this.#snapshot.version,
      compiled,
      () => undefined,
      () => undefined,
    );
  }
}

/** A stream of a sidecar that has something already; `take` gives what it was sent since, as `type name`. */
function connect(resources: ProxyResources, has: ReadonlyMap<string, ReadonlyMap<string, string>>) {
  const sent: Buffer[] = [];
  const session = new StreamSession(deltaVariant, {
    clock: new ManualClock(),
    resendEndpoints: false,
    events: { send: (message) => sent.push(message.bytes()) },
  });
  const request = (url: string, fields: Partial<DeltaDiscoveryRequest>): void => {
    session.handle(create(DeltaDiscoveryRequestSchema, { ...(fields as object), typeUrl: url }));
  };
  const versions = new Map(types.map((url) => [url, new Map(has.get(url))]));
  const take = (): string[] => {
    const names: string[] = [];
    for (let bytes = sent.shift(); bytes !== undefined; bytes = sent.shift()) {
      const response = fromBinary(DeltaDiscoveryResponseSchema, bytes);
      for (const { name, version } of response.resources) {
        names.push(`${response.typeUrl.split(".").at(-1)} ${name}`);
        versions.get(response.typeUrl)?.set(name, version);
      }
      names.push(...response.removedResources.map((name) => `without ${name}`));
      request(response.typeUrl, { responseNonce: response.nonce });
    }
    return names.sort();
  };
  session.update(resources);
  for (const url of types) {
    const isByName = url === typeUrl.endpoint || url === typeUrl.route;
    request(url, {
      initialResourceVersions: Object.fromEntries(has.get(url) ?? []),
      ...(isByName && { resourceNamesSubscribe: [...(resources.byType.get(url)?.keys() ?? [])] }),
    });
  }
  return { take, versions, update: (next: ProxyResources) => session.update(next) };
}

test("a proxy that comes again, to the same control plane or to another, is sent nothing that it has", () => {
  const control = new Control();
  const first = connect(control.resources(bookinfo), new Map());
  assert.ok(first.take().length > 10);
  assert.deepEqual(connect(control.resources(bookinfo), first.versions).take(), [], "the same control plane");
  const another = new Control().resources([...bookinfo].reverse());
  assert.deepEqual(connect(another, first.versions).take(), [], "another one, which read the objects in another order");
});

test("a change sends what it changed, and taking it back sends that again and nothing else", () => {
  const control = new Control();
  const stream = connect(control.resources(bookinfo), new Map());
  stream.take();
  const route = fromYaml(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec: {hosts: [reviews], http: [{timeout: 3s, route: [{destination: {host: reviews}}]}]}
`);
  stream.update(control.resources([...bookinfo, ...route]));
  assert.deepEqual(stream.take(), ["RouteConfiguration 9080"]);
  stream.update(control.resources([...bookinfo, ...route]));
  assert.deepEqual(stream.take(), []);
  stream.update(control.resources(bookinfo));
  assert.deepEqual(stream.take(), ["RouteConfiguration 9080"]);
});
