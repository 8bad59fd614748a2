import assert from "node:assert/strict";
import { test } from "node:test";
import { objectOf, problemsOf } from "../../objects/testing/objects.ts";
import { httpRoute } from "./kind.ts";

test("what is left out has the CRD's defaults", () => {
  const { spec } = objectOf(httpRoute, {
    spec: {
      parentRefs: [{ name: "web" }],
      rules: [
        { filters: [{ type: "RequestRedirect", requestRedirect: { scheme: "https" } }] },
        { matches: [{ headers: [{ name: "a", value: "b" }] }], backendRefs: [{ name: "a", port: 80 }] },
      ],
    },
  });
  assert.deepEqual(spec.parentRefs, [
    { group: "gateway.networking.k8s.io", kind: "Gateway", namespace: "", name: "web", sectionName: "", port: 0 },
  ]);
  assert.deepEqual(spec.rules[0]?.matches[0]?.path, { type: "PathPrefix", value: "/" });
  assert.equal(spec.rules[0]?.filters[0]?.requestRedirect?.statusCode, 302);
  assert.deepEqual(spec.rules[1]?.matches[0]?.path, { type: "PathPrefix", value: "/" });
  assert.equal(spec.rules[1]?.matches[0]?.headers[0]?.type, "Exact");
  assert.equal(spec.rules[1]?.backendRefs[0]?.weight, 1);
  assert.equal(objectOf(httpRoute, { spec: {} }).spec.rules.length, 1);
});

test("what the CRD's patterns and expressions refuse is refused, with the field", () => {
  const path = (value: string, type = "PathPrefix"): object => ({ matches: [{ path: { type, value } }] });
  const filters = (...items: object[]): object => ({ filters: items });
  const redirect = (settings: object): object => ({ type: "RequestRedirect", requestRedirect: settings });
  const prefix = { type: "ReplacePrefixMatch", replacePrefixMatch: "/x" };
  const cases: [object, string][] = [
    [path("foo"), 'spec.rules[0].matches[0].path.value: "foo" does not start with /'],
    [path("/a//b"), 'spec.rules[0].matches[0].path.value: a path cannot have "//"'],
    [path("/a/.."), 'spec.rules[0].matches[0].path.value: a path cannot have "/.."'],
    [path("/a b", "Exact"), 'spec.rules[0].matches[0].path.value: "/a b" is not a path'],
    [
      path("/(?=a)", "RegularExpression"),
      "spec.rules[0].matches[0].path.value: not a regular expression of RE2: error parsing regexp: invalid or unsupported Perl syntax: `(?=`",
    ],
    [
      { matches: [{ headers: [{ name: "a b", value: "x" }] }] },
      'spec.rules[0].matches[0].headers[0].name: "a b" is not a name',
    ],
    [
      { matches: [{ method: "get" }] },
      'spec.rules[0].matches[0].method: "get" is not one of GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH',
    ],
    [filters({ type: "URLRewrite" }), "spec.rules[0].filters[0]: a filter of type URLRewrite needs urlRewrite"],
    [
      filters({ type: "URLRewrite", urlRewrite: {}, cors: {} }),
      "spec.rules[0].filters[0].cors: cors is for filters of type CORS, this one is URLRewrite",
    ],
    [filters(redirect({}), redirect({})), "spec.rules[0].filters[1]: the filter RequestRedirect can stand only once"],
    [
      filters(redirect({}), { type: "URLRewrite", urlRewrite: {} }),
      "spec.rules[0].filters: RequestRedirect and URLRewrite cannot stand together",
    ],
    [
      { ...filters(redirect({})), backendRefs: [{ name: "a", port: 80 }] },
      "spec.rules[0].backendRefs: a rule that redirects sends to no backend",
    ],
    [
      filters(redirect({ statusCode: 304 })),
      "spec.rules[0].filters[0].requestRedirect.statusCode: 304 is not a redirect that can be asked for",
    ],
    [
      { ...filters(redirect({ path: prefix })), ...path("/a", "Exact") },
      "spec.rules[0].filters[0].requestRedirect.path: ReplacePrefixMatch needs a rule with exactly one match, of a PathPrefix",
    ],
    [
      filters({ type: "URLRewrite", urlRewrite: { path: { type: "ReplaceFullPath" } } }),
      "spec.rules[0].filters[0].urlRewrite.path: ReplaceFullPath needs replaceFullPath",
    ],
    [
      filters({
        type: "RequestMirror",
        requestMirror: { backendRef: { name: "a", port: 80 }, percent: 5, fraction: { numerator: 1 } },
      }),
      "spec.rules[0].filters[0].requestMirror: only one of percent and fraction can be set",
    ],
    [
      filters({ type: "CORS", cors: { allowOrigins: ["example.com"] } }),
      'spec.rules[0].filters[0].cors.allowOrigins[0]: "example.com" is not an origin',
    ],
    [{ backendRefs: [{ name: "a" }] }, "spec.rules[0].backendRefs[0]: a Service needs a port"],
    [
      { backendRefs: [{ name: "a.default", port: 80 }] },
      'spec.rules[0].backendRefs[0].name: "a.default" is not the name of a Service',
    ],
    [
      { backendRefs: [{ name: "a", port: 80, weight: -1 }] },
      "spec.rules[0].backendRefs[0].weight: -1 is not between 0 and 1000000",
    ],
    [
      { timeouts: { request: "1s", backendRequest: "2s" } },
      "spec.rules[0].timeouts: backendRequest is longer than request",
    ],
    [{ timeouts: { request: "1.5s" } }, 'spec.rules[0].timeouts.request: "1.5s" is not a duration of the Gateway API'],
  ];
  for (const [rule, expected] of cases) {
    assert.deepEqual(problemsOf(httpRoute, { rules: [rule] }), [expected]);
  }
});

test("parents, hostnames and names of rules that cannot be are refused", () => {
  const cases: [object, string][] = [
    [{ parentRefs: [{ name: "a" }, { name: "a" }] }, "spec.parentRefs[1]: a is named twice"],
    [
      { parentRefs: [{ name: "a" }, { name: "a", port: 80 }] },
      "spec.parentRefs[1]: each reference to a needs a sectionName or a port",
    ],
    [{ parentRefs: [{}] }, "spec.parentRefs[0].name: the name of the parent is needed"],
    [{ hostnames: ["10.0.0.1"] }, "spec.hostnames[0]: 10.0.0.1 is an address; a hostname is a DNS name"],
    [{ hostnames: ["*"] }, 'spec.hostnames[0]: "*" is not a hostname'],
    [{ hostnames: ["Shop.example.com"] }, 'spec.hostnames[0]: "Shop.example.com" is not a hostname'],
    [{ rules: [{ name: "x" }, { name: "x" }] }, "spec.rules[1].name: the name x stands twice"],
  ];
  for (const [spec, expected] of cases) assert.deepEqual(problemsOf(httpRoute, spec), [expected]);
});
