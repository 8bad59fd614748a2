import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { LayeredMap } from "#base/layered-map.ts";
import { ManualClock } from "#base/time/clock.ts";
import { type Cluster, ClusterSchema } from "#wire/gen/envoy/config/cluster/v3/cluster_pb.ts";
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from "#wire/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { type ProxyResources, ResourceEncoder } from "../push/encoded-resource.ts";
import { deltaVariant } from "./delta.ts";
import { stateOfTheWorldVariant } from "./state-of-the-world.ts";
import { type SessionOptions, StreamSession } from "./stream-session.ts";

const { cluster: cds, endpoint: eds, listener: lds, route: rds } = typeUrl;
const encoder = new ResourceEncoder();
let version = 0;

/** Resources by type, each `name` or `name=content`. What they really are does not matter to a session. */
function resources(byType: Record<string, string[]>): ProxyResources {
  return {
    snapshotVersion: String(++version),
    secret: () => undefined,
    byType: new Map(
      Object.entries(byType).map(([url, entries]) => [
        url,
        new Map(
          entries.map((entry) => {
            const [name = "", content = ""] = entry.split("=");
            const message: Cluster = create(ClusterSchema, { name, altStatName: content });
            return [name, encoder.encode(url, ClusterSchema, name, message)];
          }),
        ),
      ]),
    ),
  };
}

class DeltaClient {
  readonly clock = new ManualClock(1000);
  readonly received: DeltaDiscoveryResponse[] = [];
  readonly session: StreamSession<unknown>;
  nacks = 0;

  constructor(options: Partial<SessionOptions> = {}) {
    this.session = new StreamSession(deltaVariant, {
      clock: this.clock,
      resendEndpoints: false,
      events: {
        send: (message) => this.received.push(fromBinary(DeltaDiscoveryResponseSchema, message.bytes())),
        onNack: () => this.nacks++,
      },
      ...options,
    }) as StreamSession<unknown>;
  }

  request(url: string, fields: Parameters<typeof create<typeof DeltaDiscoveryRequestSchema>>[1] = {}): void {
    const message = create(DeltaDiscoveryRequestSchema, { ...(fields as object), typeUrl: url });
    assert.equal(this.session.receive(Buffer.from(toBinary(DeltaDiscoveryRequestSchema, message))), undefined);
  }

  /** Everything received since the last call, as `cds +a -b`. */
  take(): string[] {
    return this.received.splice(0).map((response) => {
      this.last.set(response.typeUrl, response.nonce);
      return [
        shortName(response.typeUrl),
        ...response.resources.map((resource) => `+${resource.name}`),
        ...response.removedResources.map((name) => `-${name}`),
      ].join(" ");
    });
  }

  readonly last = new Map<string, string>();

  ack(url: string): void {
    this.request(url, { responseNonce: this.last.get(url) ?? "" });
  }

  nack(url: string, message: string): void {
    this.request(url, { responseNonce: this.last.get(url) ?? "", errorDetail: { code: 13, message } });
  }
}

function shortName(url: string): string {
  return { [cds]: "cds", [eds]: "eds", [lds]: "lds", [rds]: "rds" }[url] ?? url;
}

describe("a delta stream", () => {
  test("sends a wildcard subscriber everything once, and later only what changed", () => {
    const client = new DeltaClient();
    client.session.update(resources({ [cds]: ["a", "b"] }));
    client.request(cds);
    assert.deepEqual(client.take(), ["cds +a +b"]);
    client.ack(cds);
    client.session.update(resources({ [cds]: ["a", "b"] }));
    assert.deepEqual(client.take(), [], "equal bytes are not sent again");
    client.session.update(resources({ [cds]: ["a", "b=new", "c"] }));
    assert.deepEqual(client.take(), ["cds +b +c"]);
    client.ack(cds);
    client.session.update(resources({ [cds]: ["b=new", "c"] }));
    assert.deepEqual(client.take(), ["cds -a"]);
  });

  test("secrets are sent to who asks by name; what is undecided is neither sent nor said to be gone", () => {
    const client = new DeltaClient();
    const secret = encoder.encode(typeUrl.secret, ClusterSchema, "a", create(ClusterSchema, { name: "a" }));
    const known = new Map<string, typeof secret | "undecided">([["b", "undecided"]]);
    const base = { ...resources({}), secret: (name: string) => known.get(name) };
    client.session.update(base);
    client.request(typeUrl.secret, { resourceNamesSubscribe: ["a", "b", "c"] });
    assert.deepEqual(client.take(), [`${typeUrl.secret} -a -c`]);
    client.ack(typeUrl.secret);
    known.set("a", secret);
    client.session.update({ ...base });
    assert.deepEqual(client.take(), [`${typeUrl.secret} +a`]);
    client.ack(typeUrl.secret);
    known.set("a", "undecided");
    client.session.update({ ...base });
    assert.deepEqual(client.take(), [], "what the client has stays");
    known.delete("a");
    known.delete("b");
    client.session.update({ ...base });
    assert.deepEqual(client.take(), [`${typeUrl.secret} -a -b`]);
  });

  test("sends the types in order, and what goes away among clusters last", () => {
    const client = new DeltaClient();
    client.session.update(resources({ [cds]: ["old"], [eds]: ["old"], [lds]: ["l"], [rds]: ["r=old"] }));
    for (const url of [lds, rds, cds, eds])
      client.request(url, url === rds || url === eds ? subscribe("r", "old", "new") : {});
    client.take();
    for (const url of [cds, eds, lds, rds]) client.ack(url);
    client.take();
    client.session.update(resources({ [cds]: ["new"], [eds]: ["new"], [lds]: ["l=2"], [rds]: ["r=new"] }));
    assert.deepEqual(client.take(), ["cds +new", "eds +new", "lds +l", "rds +r"]);
    client.ack(cds);
    assert.deepEqual(client.take(), ["cds -old"]);
    client.ack(eds);
    assert.deepEqual(client.take(), ["eds -old"]);
  });

  test("has one response per type on its way and merges what changes meanwhile", () => {
    const client = new DeltaClient();
    client.session.update(resources({ [cds]: ["a"] }));
    client.request(cds);
    client.take();
    client.session.update(resources({ [cds]: ["a=1"] }));
    client.session.update(resources({ [cds]: ["a=2", "b"] }));
    assert.deepEqual(client.take(), []);
    client.ack(cds);
    assert.deepEqual(client.take(), ["cds +a +b"]);
  });

  test("a later type waits for an earlier one that is held up, but not for ever", () => {
    const client = new DeltaClient();
    client.session.update(resources({ [cds]: ["a"], [rds]: ["r"] }));
    client.request(cds);
    client.request(rds, subscribe("r"));
    client.take();
    client.ack(rds);
    client.session.update(resources({ [cds]: ["a", "b"], [rds]: ["r=to-b"] }));
    assert.deepEqual(client.take(), [], "the route must not come before its cluster");
    client.clock.advance(5000);
    assert.deepEqual(client.take(), ["rds +r"]);
    client.ack(cds);
    assert.deepEqual(client.take(), ["cds +b"]);
  });

  test("a rejected response is not repeated, does not block other types, and is over with the next good one", () => {
    const client = new DeltaClient();
    client.session.update(resources({ [cds]: ["good", "bad=x"], [lds]: ["l"] }));
    client.request(cds);
    client.request(lds);
    assert.deepEqual(client.take(), ["cds +good +bad", "lds +l"]);
    client.nack(cds, "Error adding/updating cluster(s) bad: no");
    client.ack(lds);
    assert.equal(client.nacks, 1);
    const state = client.session.types.get(cds);
    assert.deepEqual([...(state?.rejected.keys() ?? [])], ["bad"]);
    assert.deepEqual(client.take(), []);
    client.session.update(resources({ [cds]: ["good", "bad=x"], [lds]: ["l=2"] }));
    assert.deepEqual(client.take(), ["lds +l"]);
    client.ack(lds);
    client.session.update(resources({ [cds]: ["good", "bad=fixed"], [lds]: ["l=2"] }));
    assert.deepEqual(client.take(), ["cds +bad"]);
    client.ack(cds);
    assert.equal(state?.rejected.size, 0);
  });

  test("explicit subscriptions: unknown names are told to be absent once, and come when they exist", () => {
    const client = new DeltaClient();
    client.session.update(resources({ [eds]: ["a", "b"] }));
    client.request(eds, subscribe("a", "missing"));
    assert.deepEqual(client.take(), ["eds +a -missing"]);
    client.ack(eds);
    client.session.update(resources({ [eds]: ["a", "b=2"] }));
    assert.deepEqual(client.take(), []);
    client.session.update(resources({ [eds]: ["a", "missing"] }));
    assert.deepEqual(client.take(), ["eds +missing"]);
    client.ack(eds);
    client.request(eds, { resourceNamesSubscribe: ["a"] });
    assert.deepEqual(client.take(), ["eds +a"], "who subscribes again has lost it");
    client.ack(eds);
    client.request(eds, { resourceNamesUnsubscribe: ["a"] });
    client.session.update(resources({ [eds]: ["a=3", "missing"] }));
    assert.deepEqual(client.take(), []);
  });

  test("a wildcard can be asked for and given up beside names", () => {
    const client = new DeltaClient();
    client.session.update(resources({ [cds]: ["a", "b"] }));
    client.request(cds, subscribe("a"));
    assert.deepEqual(client.take(), ["cds +a"]);
    client.ack(cds);
    client.request(cds, subscribe("*"));
    assert.deepEqual(client.take(), ["cds +b"]);
    client.ack(cds);
    // What the wildcard still covers comes again, so that the client knows.
    client.request(cds, { resourceNamesUnsubscribe: ["a"] });
    assert.deepEqual(client.take(), ["cds +a"]);
    client.ack(cds);
    client.request(cds, { resourceNamesSubscribe: ["b"], resourceNamesUnsubscribe: ["*"] });
    client.take();
    client.ack(cds);
    client.session.update(resources({ [cds]: ["a=2", "b=2", "c"] }));
    assert.deepEqual(client.take(), ["cds +b"]);
  });

  test("a client that reconnects names what it has and gets the difference only", () => {
    const before = resources({ [cds]: ["a", "b"] });
    const versions = Object.fromEntries([...(before.byType.get(cds)?.values() ?? [])].map((r) => [r.name, r.version]));
    const client = new DeltaClient();
    client.session.update(resources({ [cds]: ["a", "b=changed", "c"] }));
    client.request(cds, { initialResourceVersions: { ...versions, gone: "x" } });
    assert.deepEqual(client.take(), ["cds +b +c"]);
    client.ack(cds);
    assert.deepEqual(client.take(), ["cds -gone"]);
    const same = new DeltaClient();
    same.session.update(before);
    same.request(cds, { initialResourceVersions: versions });
    assert.deepEqual(same.take(), ["cds"], "an empty answer says: up to date");
  });

  test("of what proxies share and what one has beside it only what differs is sent, in whatever layer it stands", () => {
    const [shared, own] = [resources({ [cds]: ["a", "b"] }), resources({ [cds]: ["x", "y"] })];
    const [sharedNext, ownNext] = [resources({ [cds]: ["a", "b=2", "y"] }), resources({ [cds]: ["x"] })];
    const joined = (below: ProxyResources, above: ProxyResources): ProxyResources => {
      const [first, second] = [below, above].map(({ byType }) => byType.get(cds) ?? new Map());
      return { ...below, byType: new Map([[cds, new LayeredMap([first ?? new Map(), second ?? new Map()])]]) };
    };
    const client = new DeltaClient();
    client.session.update(joined(shared, own));
    client.request(cds);
    assert.deepEqual(client.take(), ["cds +a +b +x +y"]);
    client.ack(cds);
    client.session.update(joined(shared, own));
    assert.deepEqual(client.take(), []);
    client.session.update(joined(sharedNext, ownNext));
    assert.deepEqual(client.take(), ["cds +b"]);
    client.ack(cds);
    client.session.update(joined(sharedNext, resources({ [cds]: [] })));
    assert.deepEqual(client.take(), ["cds -x"]);
  });

  test("a subscription that grows or shrinks resends nothing of what the client has", () => {
    const client = new DeltaClient();
    client.session.update(resources({ [eds]: ["a", "b", "c"] }));
    client.request(eds, subscribe("a", "b"));
    assert.deepEqual(client.take(), ["eds +a +b"]);
    client.ack(eds);
    client.request(eds, subscribe("c", "later"));
    assert.deepEqual(client.take(), ["eds +c -later"]);
    client.ack(eds);
    client.session.update(resources({ [eds]: ["a=2", "b", "c", "later"] }));
    assert.deepEqual(client.take(), ["eds +a +later"]);
    client.ack(eds);
    client.request(eds, { resourceNamesUnsubscribe: ["b"] });
    client.session.update(resources({ [eds]: ["a=2", "b=2", "c", "later"] }));
    assert.deepEqual(client.take(), []);
    client.request(eds, subscribe("b", "c"));
    assert.deepEqual(client.take(), ["eds +b +c"], "who subscribes again has lost it");
  });

  test("subscriptions in a request with an old nonce count, its acknowledgement does not", () => {
    const client = new DeltaClient();
    client.session.update(resources({ [eds]: ["a", "b"] }));
    client.request(eds, subscribe("a"));
    client.take();
    client.request(eds, { responseNonce: "999", resourceNamesSubscribe: ["b"] });
    assert.deepEqual(client.take(), []);
    assert.notEqual(client.session.types.get(eds)?.outstanding, undefined);
    client.ack(eds);
    assert.deepEqual(client.take(), ["eds +b"]);
  });

  test("a type nobody knows is answered empty, and without a snapshot nothing is answered", () => {
    const client = new DeltaClient();
    client.request(cds);
    assert.deepEqual(client.take(), []);
    client.session.update(resources({ [cds]: [] }));
    assert.deepEqual(client.take(), ["cds"]);
    client.request("type.googleapis.com/unknown.Type");
    assert.deepEqual(client.take(), ["type.googleapis.com/unknown.Type"]);
  });

  test("Envoy gets the endpoints of a changed cluster again, others do not", () => {
    for (const resendEndpoints of [true, false]) {
      const client = new DeltaClient({ resendEndpoints });
      client.session.update(resources({ [cds]: ["a", "b"], [eds]: ["a", "b"] }));
      client.request(cds);
      client.request(eds, subscribe("a", "b"));
      client.take();
      client.ack(cds);
      client.ack(eds);
      client.session.update(resources({ [cds]: ["a=2", "b"], [eds]: ["a", "b"] }));
      assert.deepEqual(client.take(), resendEndpoints ? ["cds +a", "eds +a"] : ["cds +a"]);
    }
  });

  test("a flood of types is refused", () => {
    const client = new DeltaClient();
    for (let index = 0; index < 64; index++) client.request(`type.googleapis.com/t${index}`);
    const message = create(DeltaDiscoveryRequestSchema, { typeUrl: "type.googleapis.com/more" });
    assert.match(
      client.session.receive(Buffer.from(toBinary(DeltaDiscoveryRequestSchema, message))) ?? "",
      /more than 64/,
    );
  });
});

function subscribe(...names: string[]): { resourceNamesSubscribe: string[] } {
  return { resourceNamesSubscribe: names };
}

class FullClient {
  readonly received: DiscoveryResponse[] = [];
  readonly session = new StreamSession(stateOfTheWorldVariant, {
    clock: new ManualClock(1000),
    resendEndpoints: false,
    events: { send: (message) => this.received.push(fromBinary(DiscoveryResponseSchema, message.bytes())) },
  });

  request(url: string, names: string[] = [], nonce = "", error = ""): void {
    const message = create(DiscoveryRequestSchema, {
      typeUrl: url,
      resourceNames: names,
      responseNonce: nonce,
      ...(error !== "" && { errorDetail: { code: 3, message: error } }),
    });
    this.session.receive(Buffer.from(toBinary(DiscoveryRequestSchema, message)));
  }

  take(): { nonce: string; names: string[] } | undefined {
    const response = this.received.shift();
    if (response === undefined) return undefined;
    const names = response.resources.map((any) => fromBinary(ClusterSchema, any.value).name);
    return { nonce: response.nonce, names };
  }
}

describe("a state-of-the-world stream", () => {
  test("lists all clusters whenever one changes or goes away", () => {
    const client = new FullClient();
    client.session.update(resources({ [cds]: ["a", "b"] }));
    client.request(cds);
    const first = client.take();
    assert.deepEqual(first?.names, ["a", "b"]);
    client.request(cds, [], first?.nonce);
    assert.equal(client.take(), undefined, "an ACK is not answered");
    client.session.update(resources({ [cds]: ["a", "b=2"] }));
    const second = client.take();
    assert.deepEqual(second?.names, ["a", "b"]);
    client.request(cds, [], second?.nonce);
    client.session.update(resources({ [cds]: ["a"] }));
    assert.deepEqual(client.take()?.names, ["a"]);
  });

  test("the names of a request are the subscription; added ones are answered, dropped ones forgotten", () => {
    const client = new FullClient();
    client.session.update(resources({ [eds]: ["a", "b", "c"] }));
    client.request(eds, ["a"]);
    const first = client.take();
    assert.deepEqual(first?.names, ["a"]);
    client.request(eds, ["a", "b"], first?.nonce);
    const second = client.take();
    assert.deepEqual(second?.names, ["b"]);
    client.request(eds, ["b"], second?.nonce);
    assert.equal(client.take(), undefined);
    client.session.update(resources({ [eds]: ["a=2", "b=2", "c=2"] }));
    assert.deepEqual(client.take()?.names, ["b"]);
  });

  test("a request with an old nonce is ignored as a whole", () => {
    const client = new FullClient();
    client.session.update(resources({ [eds]: ["a", "b"] }));
    client.request(eds, ["a"]);
    client.take();
    client.request(eds, ["a", "b"], "77");
    assert.equal(client.take(), undefined);
    assert.deepEqual([...(client.session.types.get(eds)?.subscribed ?? [])], ["a"]);
  });

  test("a rejection is kept with the names it is about", () => {
    const client = new FullClient();
    client.session.update(resources({ [lds]: ["good", "bad"] }));
    client.request(lds, ["good", "bad", "absent"]);
    const response = client.take();
    assert.deepEqual(response?.names, ["good", "bad"]);
    client.request(lds, ["good", "bad", "absent"], response?.nonce, "bad is not valid");
    assert.deepEqual([...(client.session.types.get(lds)?.rejected.keys() ?? [])], ["bad"]);
    assert.equal(client.take(), undefined);
  });
});
