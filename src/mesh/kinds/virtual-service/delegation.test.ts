import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { objectOf } from "../../objects/testing/objects.ts";
import { mergeDelegates } from "./delegation.ts";
import { virtualService } from "./kind.ts";
import type { HttpRoute, VirtualServiceSpec } from "./spec.ts";

const to = (host: string): object => ({ route: [{ destination: { host } }] });

function root(http: object, name = "root"): MeshObject<VirtualServiceSpec> {
  return objectOf(virtualService, { name, spec: { hosts: ["shop"], http: [http] } });
}

function delegate(http: readonly object[], more: object = {}, namespace = "default"): MeshObject<VirtualServiceSpec> {
  return objectOf(virtualService, { name: "part", namespace, spec: { http, ...more } });
}

function merge(...all: MeshObject<VirtualServiceSpec>[]): ReturnType<typeof mergeDelegates> {
  const find = (namespace: string, name: string): MeshObject<VirtualServiceSpec> | undefined =>
    all.find((item) => item.namespace === namespace && item.name === name);
  return mergeDelegates(all, find, ["*"]);
}

const routesOf = (...all: MeshObject<VirtualServiceSpec>[]): readonly HttpRoute[] =>
  merge(...all).routing.flatMap(({ spec }) => spec.http);

test("a root has the routes of its delegate, each narrowed by the root's matches", () => {
  const routes = routesOf(
    root({ name: "shop", match: [{ name: "cart", uri: { prefix: "/cart" } }], delegate: { name: "part" } }),
    delegate([
      { name: "new", match: [{ name: "beta", headers: { beta: { exact: "1" } } }], ...to("cart-v2") },
      { match: [{ uri: { exact: "/cart/total" } }], ...to("total") },
      to("cart"),
    ]),
  );
  assert.deepEqual(
    routes.map(({ name, match, route }) => [
      name,
      match.map((item) => [item.name, item.uri, item.headers]),
      route[0]?.destination.host,
    ]),
    [
      ["shop-new", [["cart-beta", { prefix: "/cart" }, { beta: { exact: "1" } }]], "cart-v2.default.svc.cluster.local"],
      ["shop", [["cart", { exact: "/cart/total" }, {}]], "total.default.svc.cluster.local"],
      ["shop", [["cart", { prefix: "/cart" }, {}]], "cart.default.svc.cluster.local"],
    ],
  );
});

test("what a delegate's route leaves open the root says", () => {
  const own = { timeout: "1s", retries: { attempts: 1 }, headers: { request: { set: { from: "delegate" } } } };
  const outer = {
    timeout: "9s",
    retries: { attempts: 9 },
    headers: { request: { set: { from: "root" } } },
    rewrite: { uri: "/" },
    fault: { abort: { httpStatus: 503, percentage: { value: 1 } } },
    corsPolicy: { allowMethods: ["GET"] },
    mirrors: [{ destination: { host: "shadow" } }],
  };
  const [first, second] = routesOf(
    root({ ...outer, delegate: { name: "part" } }),
    delegate([
      { match: [{ uri: { prefix: "/a" } }], ...to("a"), ...own },
      { ...to("b"), mirrors: [{ destination: { host: "own" } }] },
    ]),
  );
  const said = (route: HttpRoute | undefined): unknown[] => [
    route?.timeout,
    route?.retries?.attempts,
    route?.headers?.request?.set,
    route?.rewrite?.uri,
    route?.fault?.abort?.httpStatus,
    route?.corsPolicy?.allowMethods,
    route?.mirrors.map(({ destination }) => destination.host.split(".")[0]),
  ];
  assert.deepEqual(said(first), [1000, 1, { from: "delegate" }, "/", 503, ["GET"], ["shadow"]]);
  assert.deepEqual(said(second), [9000, 9, { from: "root" }, "/", 503, ["GET"], ["own"]]);
});

test("a match of the delegate has to fit into one of the root's", () => {
  const exact = (value: string): object => ({ uri: { exact: value } });
  const prefix = (value: string): object => ({ uri: { prefix: value } });
  const regex = (value: string): object => ({ uri: { regex: value } });
  const header = (name: string, match: object): object => ({ headers: { [name]: match } });
  const cases: [root: object, delegate: object, fits: boolean][] = [
    [exact("/a"), exact("/a"), true],
    [exact("/a"), exact("/b"), false],
    [exact("/a"), prefix("/a"), false],
    [prefix("/a"), prefix("/a/b"), true],
    [prefix("/a/b"), prefix("/a"), false],
    [prefix("/a"), exact("/a/b"), true],
    [prefix("/a"), exact("/b"), false],
    [prefix("/a"), regex("/a/.*"), false],
    [regex("/a/.*"), exact("/a/b"), false],
    [regex("/a/.*"), header("x", { exact: "1" }), true],
    [header("x", { exact: "1" }), regex("/a/.*"), true],
    [header("x", { exact: "1" }), header("x", { exact: "1" }), true],
    [header("x", { exact: "1" }), header("x", { exact: "2" }), false],
    [header("x", {}), header("x", { exact: "2" }), false],
    [header("x", { exact: "1" }), header("y", { regex: "2+" }), true],
    [{ withoutHeaders: { x: { exact: "1" } } }, { withoutHeaders: { x: { exact: "2" } } }, false],
    [{ withoutHeaders: { x: {} } }, header("x", { exact: "1" }), true],
    [{ queryParams: { q: { prefix: "a" } } }, { queryParams: { q: { exact: "ab" } } }, true],
    [{ method: { exact: "GET" } }, { method: { exact: "POST" } }, false],
    [{ scheme: { exact: "http" } }, { scheme: { exact: "http" } }, true],
    [{ authority: { prefix: "a." } }, { authority: { exact: "a.example.com" } }, true],
    [{ ...prefix("/a"), ignoreUriCase: true }, prefix("/a/b"), false],
    [{ port: 80 }, { port: 80 }, true],
    [{ port: 80 }, { port: 81 }, false],
    [{ port: 80 }, exact("/a"), true],
    [{ sourceNamespace: "shop" }, { sourceNamespace: "shop" }, true],
    [{ sourceNamespace: "shop" }, exact("/a"), false],
    [{ sourceLabels: { a: "1" } }, { sourceLabels: { b: "2" } }, true],
    [{ sourceLabels: { a: "1" } }, { sourceLabels: { a: "2" } }, false],
    [{ gateways: ["a", "b"] }, { gateways: ["a"] }, true],
    [{ gateways: ["a"] }, { gateways: ["a", "b"] }, false],
  ];
  for (const [outer, inner, fits] of cases) {
    const { routing, delegations } = merge(
      root({ match: [outer], delegate: { name: "part" } }),
      delegate([{ match: [inner], ...to("a") }]),
    );
    const name = `${JSON.stringify(inner)} in ${JSON.stringify(outer)}`;
    assert.equal(routing[0]?.spec.http.length, fits ? 1 : 0, name);
    assert.deepEqual(delegations[0]?.conflicts, fits ? [] : [0], name);
  }
});

test("a match that fits into several of the root's stands once for each; one that fits nowhere leaves the route out", () => {
  const outer = { match: [{ uri: { prefix: "/a" } }, { headers: { x: { exact: "1" } } }], delegate: { name: "part" } };
  const fitting = { match: [{ uri: { exact: "/a/b" } }], ...to("a") };
  const [route] = routesOf(root(outer), delegate([fitting]));
  assert.deepEqual(
    route?.match.map(({ uri, headers }) => [uri, headers]),
    [
      [{ exact: "/a/b" }, {}],
      [{ exact: "/a/b" }, { x: { exact: "1" } }],
    ],
  );
  const nowhere = { match: [...fitting.match, { uri: { exact: "/b" }, headers: { x: { exact: "2" } } }], ...to("b") };
  assert.deepEqual(routesOf(root(outer), delegate([nowhere])), []);
});

test("a delegate is found in the root's namespace or the one named, and has to be exported to it", () => {
  const elsewhere = (more: object): MeshObject<VirtualServiceSpec> => delegate([to("a")], more, "team");
  const naming = (reference: object): MeshObject<VirtualServiceSpec> => root({ delegate: reference });
  const found = (...all: MeshObject<VirtualServiceSpec>[]): unknown => {
    const [first] = merge(...all).delegations;
    return [first?.delegate?.namespace, first?.hidden, routesOf(...all).length];
  };
  assert.deepEqual(found(naming({ name: "part" }), delegate([to("a")])), ["default", false, 1]);
  assert.deepEqual(found(naming({ name: "part" }), elsewhere({})), [undefined, false, 0]);
  assert.deepEqual(found(naming({ name: "part", namespace: "team" }), elsewhere({})), ["team", false, 1]);
  assert.deepEqual(found(naming({ name: "part", namespace: "team" }), elsewhere({ exportTo: ["."] })), [
    "team",
    true,
    0,
  ]);
  assert.deepEqual(found(naming({ name: "part", namespace: "team" }), elsewhere({ exportTo: ["default"] })), [
    "team",
    false,
    1,
  ]);
  const withHosts = root(to("a"), "part");
  assert.deepEqual(found(naming({ name: "part" }), withHosts), [undefined, false, 1]);
});
