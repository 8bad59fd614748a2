import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { AddressPool } from "./address-pool.ts";
import { servicePorts } from "./service-endpoints.ts";
import { serviceRules } from "./service-rules.ts";

function service(spec: object): KubernetesObject {
  return { apiVersion: "v1", kind: "Service", metadata: { name: "web", namespace: "default" }, spec };
}

function slice(
  endpoints: readonly object[],
  ports: readonly object[] = [{ name: "http", port: 8080 }],
): KubernetesObject {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-1", namespace: "default" },
    addressType: "IPv4",
    ports,
    endpoints,
  };
}

const web = service({ clusterIP: "10.96.1.1", ports: [{ name: "http", port: 80, protocol: "TCP" }] });

describe("endpoints behind a service's port", () => {
  it("are the ready ones", () => {
    const [port] = servicePorts(web, [
      slice([
        { addresses: ["10.244.0.3"], conditions: { ready: true } },
        { addresses: ["10.244.0.2"], conditions: { ready: false, serving: false } },
        { addresses: ["10.244.0.4"] },
      ]),
    ]);
    assert.deepEqual(
      port?.endpoints.map(({ address }) => address),
      ["10.244.0.3", "10.244.0.4"],
    );
  });

  it("are the ones that still serve while they end, when no other is left", () => {
    const [port] = servicePorts(web, [
      slice([
        { addresses: ["10.244.0.3"], conditions: { ready: false, serving: true, terminating: true } },
        { addresses: ["10.244.0.2"], conditions: { ready: false, serving: false, terminating: true } },
      ]),
    ]);
    assert.deepEqual(port?.endpoints, [{ address: "10.244.0.3", port: 8080 }]);
  });

  it("have the slice's port of the same name, and are counted once", () => {
    const two = service({
      clusterIP: "10.96.1.1",
      ports: [{ port: 80 }, { name: "admin", port: 81, protocol: "TCP" }],
    });
    const endpoint = { addresses: ["10.244.0.3"] };
    const ports = servicePorts(two, [
      slice([endpoint], [{ port: 1 }, { name: "admin", port: 2 }]),
      slice([endpoint], [{ port: 1 }]),
    ]);
    assert.deepEqual(
      ports.map(({ endpoints }) => endpoints.map(({ port }) => port)),
      [[1], [2]],
    );
  });
});

describe("the rules of services", () => {
  it("give each of three endpoints a third", () => {
    const endpoints = ["10.244.0.2", "10.244.0.3", "10.244.0.4"].map((address) => ({ addresses: [address] }));
    const rules = serviceRules([{ service: web, slices: [slice(endpoints)] }]).split("\n");
    const dnat = rules.filter((line) => line.includes("DNAT --to"));
    assert.deepEqual(
      dnat.map((line) => /--probability (\S+)/.exec(line)?.[1]),
      ["0.3333333333", "0.5000000000", undefined],
    );
    assert.equal(rules.filter((line) => line.startsWith("-A HAIRPIN")).length, 3);
    assert.ok(rules.some((line) => line.startsWith("-A SERVICES -d 10.96.1.1/32 -p tcp -m tcp --dport 80 -j SVC-")));
  });

  it("leave out headless services, aliases, and ports that nobody serves: those are refused", () => {
    const rules = serviceRules([
      {
        service: service({ clusterIP: "None", ports: [{ name: "http", port: 80 }] }),
        slices: [slice([{ addresses: ["10.244.0.2"] }])],
      },
      { service: service({ type: "ExternalName", externalName: "a.b" }), slices: [] },
      { service: web, slices: [] },
    ]);
    assert.doesNotMatch(rules, /SVC-/);
    assert.match(rules, /-A REFUSE -p tcp -j REJECT --reject-with tcp-reset/);
  });

  it("never carry text from an object into the rules", () => {
    const bad = service({ clusterIP: "10.96.1.1\n-A OUTPUT", ports: [{ name: "x", port: "80 -j ACCEPT" }] });
    const rules = serviceRules([{ service: bad, slices: [slice([{ addresses: ["1.2.3.4 -j ACCEPT"] }])] }]);
    assert.equal(rules, serviceRules([]));
  });
});

describe("pod addresses", () => {
  it("are used again only when all others were", () => {
    const pool = new AddressPool(3);
    const first = pool.take();
    assert.equal(first, "10.244.0.2");
    pool.release(first);
    assert.equal(pool.take(), "10.244.0.3");
    assert.equal(pool.take(), "10.244.0.4");
    assert.equal(pool.take(), first);
    assert.throws(() => pool.take(), /all 3 pod addresses are taken/);
  });

  it("cross the boundary of a byte", () => {
    const pool = new AddressPool();
    let last = "";
    for (let count = 0; count < 255; count++) last = pool.take();
    assert.equal(last, "10.244.1.0");
  });
});
