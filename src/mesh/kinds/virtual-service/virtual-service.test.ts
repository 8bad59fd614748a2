import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { objectOf, problemsOf, type Written } from "../../objects/testing/objects.ts";
import { virtualService } from "./kind.ts";
import { hostsOnServer, visibleVirtualServices } from "./resolve.ts";
import type { VirtualServiceSpec } from "./spec.ts";

const to = (host: string, more = {}): object => ({ route: [{ destination: { host, ...more } }] });
const routing = (written: Omit<Written, "spec"> & { spec: object }): MeshObject<VirtualServiceSpec> =>
  objectOf(virtualService, { ...written, spec: { http: [to("reviews")], ...written.spec } });

test("short names are those of the VirtualService's namespace, also in gateways and mirrors", () => {
  const { spec } = routing({
    namespace: "shop",
    spec: {
      hosts: ["Cart", "cart.example.com"],
      gateways: ["mesh", "web", "edge/web", "old.infra.svc.cluster.local"],
      http: [{ ...to("cart"), mirror: { host: "shadow" }, match: [{ gateways: ["web"] }] }],
    },
  });
  assert.deepEqual(spec.hosts, ["cart.shop.svc.cluster.local", "cart.example.com"]);
  assert.deepEqual(spec.gateways, ["mesh", "shop/web", "edge/web", "infra/old"]);
  assert.equal(spec.http[0]?.route[0]?.destination.host, "cart.shop.svc.cluster.local");
  assert.equal(spec.http[0]?.mirror?.host, "shadow.shop.svc.cluster.local");
  assert.deepEqual(spec.http[0]?.match[0]?.gateways, ["shop/web"]);
});

test("without gateways a VirtualService is for the mesh", () => {
  assert.deepEqual(routing({ spec: { hosts: ["a"] } }).spec.gateways, ["mesh"]);
});

test("private ones come first, then those exported by name, then public ones; each oldest first", () => {
  const all = [
    routing({ name: "public", spec: { hosts: ["a"] } }),
    routing({ name: "named", namespace: "other", spec: { hosts: ["a"], exportTo: ["default"] } }),
    routing({ name: "own", spec: { hosts: ["a"], exportTo: ["."] } }),
    routing({ name: "hidden", namespace: "other", spec: { hosts: ["a"], exportTo: ["."] } }),
  ];
  assert.deepEqual(
    visibleVirtualServices(all, "default", ["*"]).map((item) => item.name),
    ["own", "named", "public"],
  );
});

test("a server admits the hosts it shares with a VirtualService, and only from the namespaces it names", () => {
  const item = routing({ namespace: "shop", spec: { hosts: ["a.example.com", "*.b.example.com", "other.org"] } });
  const admitted = (host: string, namespace = "*"): string[] => hostsOnServer(item, [{ namespace, host }]);
  assert.deepEqual(admitted("*"), ["a.example.com", "*.b.example.com", "other.org"]);
  assert.deepEqual(admitted("*.example.com"), ["a.example.com", "*.b.example.com"]);
  assert.deepEqual(admitted("x.b.example.com"), ["x.b.example.com"]);
  assert.deepEqual(admitted("*", "shop"), ["a.example.com", "*.b.example.com", "other.org"]);
  assert.deepEqual(admitted("*", "elsewhere"), []);
});

test("routes that cannot work are refused, each at its field", () => {
  const route = to("a");
  const cases: [object, string][] = [
    [{ http: [] }, "spec: at least one of http, tls and tcp is needed"],
    [{ http: [{}] }, "spec.http[0]: the route does nothing"],
    [{ http: [{ ...route, redirect: { uri: "/" } }] }, "spec.http[0]: route and redirect cannot stand in one route"],
    [
      { http: [{ redirect: { uri: "/" }, rewrite: { uri: "/" } }] },
      "spec.http[0].rewrite: rewrite cannot be combined with redirect",
    ],
    [{ http: [{ redirect: {} }] }, "spec.http[0].redirect: the redirect leads nowhere"],
    [
      { http: [{ redirect: { uri: "/", redirectCode: 200 } }] },
      "spec.http[0].redirect.redirectCode: 200 is not a 3xx code",
    ],
    [{ http: [to("*")] }, "spec.http[0].route[0].destination.host: the host * is no destination"],
    [
      { http: [{ route: [{ destination: { host: "a" } }, { destination: { host: "b" } }] }] },
      "spec.http[0].route: all weights are 0",
    ],
    [
      { http: [{ ...route, match: [{ uri: { regex: "(?=a)" } }] }] },
      "spec.http[0].match[0].uri.regex: not a regular expression of RE2: error parsing regexp: invalid or unsupported Perl syntax: `(?=`",
    ],
    [
      { http: [{ ...route, match: [{ method: { prefix: "" } }] }] },
      "spec.http[0].match[0].method.prefix: prefix is empty",
    ],
    [
      { http: [{ ...route, match: [{ headers: { "x y": { exact: "a" } } }] }] },
      'spec.http[0].match[0].headers["x y"]: "x y" is not a header name',
    ],
    [
      { http: [{ ...route, retries: { attempts: 2, retryOn: "5xx,timeot" } }] },
      'spec.http[0].retries.retryOn: "timeot" is neither a retry condition nor a status code',
    ],
    [
      { http: [{ ...route, fault: { abort: { httpStatus: 42 } } }] },
      "spec.http[0].fault.abort.httpStatus: 42 is not between 200 and 599",
    ],
    [{ http: [{ ...route, timeout: "5" }] }, 'spec.http[0].timeout: "5" is not a duration'],
    [{ hosts: ["a", "A"], http: [route] }, "spec.hosts[1]: the host A stands twice"],
    [{ hosts: ["*"], http: [route] }, "spec.hosts[0]: the host * is for gateways, not for the mesh"],
    [
      { tls: [{ match: [{ sniHosts: ["other"] }], route: [{ destination: { host: "a" } }] }] },
      "spec.tls[0].match[0].sniHosts[0]: other is not covered by the hosts of this VirtualService",
    ],
  ];
  for (const [spec, expected] of cases) {
    assert.deepEqual(problemsOf(virtualService, { hosts: ["a"], ...spec }), [expected]);
  }
});

test("header presence is written as an empty match or as the regex *", () => {
  const spec = { hosts: ["a"], http: [{ ...to("a"), match: [{ headers: { x: {}, y: { regex: "*" } } }] }] };
  assert.deepEqual(problemsOf(virtualService, spec), []);
});
