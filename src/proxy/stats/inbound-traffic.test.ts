import assert from "node:assert/strict";
import { test } from "node:test";
import { type Arrival, type InboundRequests, InboundTraffic, mergeCallers } from "./inbound-traffic.ts";
import { PathClasses } from "./path-classes.ts";

const shop: Arrival = {
  port: 80,
  protection: "mutual_tls",
  principal: "spiffe://td/ns/a/sa/shop",
  address: "10.0.0.1",
};
const stranger: Arrival = { port: 80, protection: "plaintext", principal: "", address: "10.0.0.9" };

test("callers are told apart by port, protection and identity, strangers by address", () => {
  const traffic = new InboundTraffic();
  traffic.arrived(shop).countRequest("GET", "/a?b=1", true);
  traffic.arrived({ ...shop, address: "10.0.0.2" }).countRequest("GET", "/a", false);
  traffic.arrived(stranger);
  traffic.arrived({ ...stranger, address: "10.0.0.8" }).countRefusal();
  assert.deepEqual(traffic.rows(), [
    {
      ...shop,
      address: "10.0.0.2",
      connections: 2,
      refused: 0,
      requests: [{ method: "GET", path: "/a", forwarded: 1, refused: 1 }],
    },
    { ...stranger, connections: 1, refused: 0, requests: [] },
    { ...stranger, address: "10.0.0.8", connections: 1, refused: 1, requests: [] },
  ]);
});

test("at a gateway requests are told apart by host too, and anonymous clients are one", () => {
  const traffic = new InboundTraffic(true);
  traffic.arrived(stranger).countRequest("GET", "/cart/1", true, "Shop.example");
  traffic.arrived({ ...stranger, address: "10.0.0.8" }).countRequest("GET", "/cart/2", true, "shop.example");
  traffic.arrived(stranger).countRequest("GET", "/cart/2", true, "admin.example:8443");
  traffic.arrived(stranger).countRequest("GET", "/x", false, "scanner.example");
  const row = (host: string | undefined, path: string, forwarded: number, refused = 0): InboundRequests => ({
    ...(host !== undefined && { host }),
    method: "GET",
    path,
    forwarded,
    refused,
  });
  assert.deepEqual(traffic.rows(), [
    {
      ...stranger,
      address: "",
      connections: 4,
      refused: 0,
      requests: [
        row("shop.example", "/cart/{*}", 2),
        row("admin.example:8443", "/cart/{*}", 1),
        row(undefined, "/x", 0, 1),
      ],
    },
  ]);
  const caller = traffic.arrived(stranger);
  for (let i = 0; i < 2000; i++) caller.countRequest("GET", "/", true, `h${i}.example`);
  assert.ok(caller.row().requests.length < 520);
  assert.equal(
    caller.row().requests.reduce((sum, { forwarded }) => sum + forwarded, 0),
    2003,
  );
});

test("ids, secrets and names that are too many are one class of paths", () => {
  const classes = new PathClasses();
  const classOf = (path: string): string => classes.classOf(path);
  assert.equal(classOf("/users/42/posts"), "/users/{*}/posts");
  assert.equal(classOf("/u/3e2b0c1a-5a0e-4a53-9d3b-0f3c1d2e4f50"), "/u/{*}");
  assert.equal(classOf("/reset/eyJhbGciOiJIUzI1NiJ9abc123"), "/reset/{*}");
  assert.equal(classOf("/a%2fb/c*"), "/{*}/{*}");
  assert.equal(classOf("/pkg.Service/Method"), "/pkg.Service/Method");
  assert.equal(classOf("/"), "/");
  assert.equal(classOf("/users/"), "/users/");
  assert.equal(classOf("*"), "*");
  assert.equal(classOf("/a/b/c/d/e/f/g/h/i/j/k/l/m/n"), "/a/b/c/d/e/f/g/h/i/j/k/l/{**}");
  for (let i = 0; i < 30; i++) classOf(`/names/n${String.fromCharCode(65 + i)}x/end`);
  assert.equal(classOf("/names/nAx/end"), "/names/{*}/end");
  assert.equal(classOf("/names/{*}/end"), "/names/{*}/end");
});

test("whatever clients send, what is kept is bounded and everything is counted", () => {
  const traffic = new InboundTraffic();
  const letters = (number: number): string => [...String(number)].map((digit) => "abcdefghij"[Number(digit)]).join("");
  for (let i = 0; i < 3000; i++) {
    const caller = traffic.arrived({ ...stranger, address: `10.1.${i >> 8}.${i & 255}` });
    for (let j = 0; j < 10; j++) caller.countRequest(`M${letters(i)}`, `/${letters(j)}/${letters(i % 97)}/x`, true);
  }
  const rows = traffic.rows();
  assert.ok(rows.length <= 1001, String(rows.length));
  const requests = rows.flatMap((row) => row.requests);
  assert.ok(requests.length <= 7000, String(requests.length));
  assert.equal(
    requests.reduce((sum, { forwarded }) => sum + forwarded, 0),
    30_000,
  );
  assert.equal(rows.find(({ address }) => address === "")?.connections, 2000);
  for (let port = 1; port < 5000; port++) traffic.arrived({ ...stranger, port, address: "10.9.9.9" });
  assert.ok(traffic.rows().length <= 2001);
});

test("rows of several event loops become one, in the classes that they make together", () => {
  const one = new InboundTraffic();
  const two = new InboundTraffic();
  const name = (i: number): string => `/names/${"abcdefghijklmnopqrstuvwxyz"[i]}x`;
  for (let i = 0; i < 15; i++) one.arrived(shop).countRequest("GET", name(i), true);
  for (let i = 10; i < 25; i++) two.arrived(shop).countRequest("GET", name(i), true);
  const [merged, ...others] = mergeCallers([one.rows(), two.rows()]);
  assert.deepEqual(others, []);
  assert.equal(merged?.connections, 30);
  assert.deepEqual(merged?.requests, [{ method: "GET", path: "/names/{*}", forwarded: 30, refused: 0 }]);
});
