import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createRegistry, type JsonObject, type JsonValue, type Registry, toJson } from "@bufbuild/protobuf";
import { parseAllDocuments } from "yaml";
import { FilterSchema } from "#wire/gen/envoy/config/listener/v3/listener_components_pb.ts";
import { ExtAuthzSchema } from "#wire/gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.ts";
import { RBACSchema as HttpRbacSchema } from "#wire/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts";
import { ExtAuthzSchema as TcpExtAuthzSchema } from "#wire/gen/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.ts";
import { HttpFilterSchema } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { RBACSchema as NetworkRbacSchema } from "#wire/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.ts";
import { UriTemplateMatchConfigSchema } from "#wire/gen/envoy/extensions/path/match/uri_template/v3/uri_template_match_pb.ts";
import { decodeAuthorizationPolicy } from "../../../kinds/authorization-policy/decode.ts";
import { type AuthorizationPolicies, applicablePolicies } from "../../../kinds/authorization-policy/resolve.ts";
import type { AuthorizationPolicySpec } from "../../../kinds/authorization-policy/spec.ts";
import type { KubernetesObject } from "../../../objects/kubernetes-object.ts";
import type { MeshObject } from "../../../objects/mesh-object.ts";
import { authorizationFilters } from "./authorization.ts";
import { externalAuthorization } from "./external-authorization.ts";
import { stringPattern } from "./string-pattern.ts";
import { expandTrustDomains } from "./trust-domain.ts";

const registry: Registry = createRegistry(
  HttpRbacSchema,
  NetworkRbacSchema,
  ExtAuthzSchema,
  TcpExtAuthzSchema,
  UriTemplateMatchConfigSchema,
);

const anyWorkload = { namespace: "foo", labels: {}, rootNamespace: "istio-system" };

const judge = join(import.meta.dirname, "../../../../../../shared/testdata/authz-builder.json");

interface Case {
  readonly id: string;
  readonly mode: "http" | "tcp";
  readonly phase: "custom" | "all-but-custom";
  readonly proxy: { readonly namespace: string; readonly labels: Record<string, string> };
  readonly input: { readonly yaml: string; readonly meshConfig: JsonObject };
  readonly golden: JsonValue;
}

if (existsSync(judge)) {
  const { cases } = JSON.parse(readFileSync(judge, "utf8")) as { cases: Case[] };
  for (const item of cases) {
    test(`${item.id} compiles to the same filters as Istio's`, () => {
      const policies = applicablePolicies([], readPolicies(item.input.yaml), {
        ...item.proxy,
        rootNamespace: "istio-system",
      });
      const trustDomains = meshTrustDomains(item.input.meshConfig);
      const filters =
        item.phase === "custom"
          ? externalAuthorization(policies.custom, {
              trustDomains,
              providers: item.input.meshConfig["extensionProviders"],
              resolve: (host) => host,
            })
          : authorizationFilters(policies, trustDomains);
      const actual =
        item.mode === "http"
          ? filters.http.map((filter) => toJson(HttpFilterSchema, filter, { registry }))
          : filters.tcp.map((filter) => toJson(FilterSchema, filter, { registry }));
      assert.deepEqual(sorted(actual), sorted(item.golden));
    });
  }
} else {
  test("Istio's authorization cases", { skip: `${judge} is not there` }, () => undefined);
}

test("a policy without rules is compiled to one that never matches", () => {
  const { http, origins } = authorizationFilters(
    applicablePolicies([], readPolicies("metadata: {name: deny-all, namespace: foo}\nspec: {}\n"), anyWorkload),
    ["cluster.local"],
  );
  const [filter] = http.map((item) => JSON.stringify(toJson(HttpFilterSchema, item, { registry })));
  assert.match(filter ?? "", /"permissions":\[\{"notRule":\{"any":true\}\}\]/);
  assert.deepEqual([...origins.keys()], ["ns[foo]-policy[deny-all]-rule[0]"]);
});

test("what becomes of rules about HTTP on connections is told beside where they were written", () => {
  const rules = (action: string): string => `metadata: {name: p, namespace: foo}
spec:
  action: ${action}
  rules:
  - to: [{operation: {methods: [GET], notHosts: [a]}}]
  - to: [{operation: {ports: ["80"]}}]
    when: [{key: "request.auth.claims[a]", notValues: [b]}]
  - from: [{source: {notRequestPrincipals: ["*"], namespaces: [a]}}]
  - to: [{operation: {ports: ["80"]}}]
`;
  const notes = (yaml: string): unknown[] => {
    const { tcpOrigins, origins } = authorizationFilters(applicablePolicies([], readPolicies(yaml), anyWorkload), [
      "t",
    ]);
    assert.ok(
      [...origins.values()].every(({ note, neverMatches }) => note === undefined && neverMatches === undefined),
    );
    return [...tcpOrigins.values()].map(({ note, neverMatches }) => [note, neverMatches]);
  };
  const dropped = (fields: string): unknown => [`asks for ${fields}, and a connection without HTTP has none`, true];
  assert.deepEqual(notes(rules("ALLOW")), [
    dropped("notHosts and methods"),
    dropped("request.auth.claims[a]"),
    dropped("notRequestPrincipals"),
    [undefined, undefined],
  ]);
  assert.deepEqual(notes(rules("DENY")), [
    ["without HTTP notHosts and methods are left aside", undefined],
    ["without HTTP request.auth.claims[a] is left aside", undefined],
    ["without HTTP notRequestPrincipals is left aside", undefined],
    [undefined, undefined],
  ]);
  const tried = rules("ALLOW").replace("{name: p,", '{name: p, annotations: {istio.io/dry-run: "true"},');
  assert.deepEqual(notes(tried), [[undefined, undefined]], "what is only tried is no reason");
});

test("CUSTOM policies whose provider cannot be asked say why", () => {
  const policies = (...providers: string[]): AuthorizationPolicies =>
    applicablePolicies(
      [],
      readPolicies(
        providers
          .map(
            (name) =>
              `metadata: {name: ${name}, namespace: foo}\nspec: {action: CUSTOM, provider: {name: ${name}}, rules: [{to: [{operation: {paths: [/a]}}]}]}\n`,
          )
          .join("---\n"),
      ),
      anyWorkload,
    );
  const service = { service: "away.example", port: 80 };
  const settings = {
    trustDomains: ["t"],
    providers: [{ name: "one", envoyExtAuthzHttp: service }],
    resolve: (): undefined => undefined,
  };
  const notes = (...providers: string[]): (string | undefined)[] =>
    [...externalAuthorization(policies(...providers).custom, settings).origins.values()].map(({ note }) => note);
  assert.deepEqual(notes("other"), ['mesh configuration has no external authorization provider "other"']);
  assert.deepEqual(notes("one"), ['its provider "one" is the service away.example, which does not exist']);
  assert.deepEqual(
    new Set(notes("one", "other")),
    new Set(["a workload can have one provider, and its CUSTOM policies name one, other"]),
  );
  const { tcpOrigins } = externalAuthorization(policies("other").custom, settings);
  assert.match([...tcpOrigins.values()][0]?.note ?? "", /provider "other"; without HTTP paths is left aside$/);
});

test("with several providers each is asked about what its own policies match", () => {
  const policies = readPolicies(
    ["b", "a"]
      .map(
        (name) =>
          `metadata: {name: of-${name}, namespace: foo}\nspec: {action: CUSTOM, provider: {name: ${name}}, rules: [{to: [{operation: {paths: [/${name}]}}]}]}\n`,
      )
      .join("---\n"),
  );
  const provider = (name: string): object => ({ name, envoyExtAuthzGrpc: { service: `${name}.example`, port: 80 } });
  const { http, tcp } = externalAuthorization(applicablePolicies([], policies, anyWorkload).custom, {
    trustDomains: ["t"],
    providers: [provider("a"), provider("b")],
    allowsSeveral: true,
    resolve: (host) => host,
  });
  const found = http.map((filter) => JSON.stringify(toJson(HttpFilterSchema, filter, { registry })));
  assert.deepEqual(
    found.map((text) =>
      [...text.matchAll(/istio-ext-authz-(?:\w+-ns\[foo\]-policy\[\S+?\]|\w+(?="))|outbound\|80\|\|\w\.example/g)].join(
        " ",
      ),
    ),
    [
      "istio-ext-authz-a-ns[foo]-policy[of-a]",
      "outbound|80||a.example istio-ext-authz-a",
      "istio-ext-authz-b-ns[foo]-policy[of-b]",
      "outbound|80||b.example istio-ext-authz-b",
    ],
  );
  assert.equal(tcp.length, 4);
});

test("a suffix behind a required prefix becomes a quoted regular expression", () => {
  assert.deepEqual(stringPattern("*admin.example", "spiffe://cluster.local/ns/foo/sa/").matchPattern, {
    case: "safeRegex",
    value: stringPattern("*admin.example", "spiffe://cluster.local/ns/foo/sa/").matchPattern.value,
  });
  const pattern = stringPattern("*rule[0]", "spiffe://").matchPattern;
  assert.equal(pattern.case === "safeRegex" && pattern.value.regex, "spiffe://.*rule\\[0\\]");
});

test("principals of a known trust domain hold for its aliases, others stay as they are", () => {
  const expand = (principal: string, ...domains: string[]): string[] => expandTrustDomains([principal], domains);
  assert.deepEqual(expand("td1/ns/foo/sa/bar", "td2", "td1"), ["td2/ns/foo/sa/bar", "td1/ns/foo/sa/bar"]);
  assert.deepEqual(expand("cluster.local/ns/foo/sa/bar", "td1"), ["td1/ns/foo/sa/bar"]);
  assert.deepEqual(expand("some-td/ns/foo/sa/bar", "td1", "td2"), ["some-td/ns/foo/sa/bar"]);
  assert.deepEqual(expand("*/ns/foo/sa/bar", "td1", "td2"), ["*/ns/foo/sa/bar"]);
  assert.deepEqual(expand("*-td/ns/foo/sa/bar", "new-td", "old-td"), ["*-td/ns/foo/sa/bar"]);
  assert.deepEqual(expand("/ns/foo/sa/bar", "new-td"), ["/ns/foo/sa/bar"]);
});

function readPolicies(yaml: string): MeshObject<AuthorizationPolicySpec>[] {
  return parseAllDocuments(yaml).flatMap((document) => {
    const object = document.toJS() as KubernetesObject | null;
    if (object === null) return [];
    const problems: string[] = [];
    const spec = decodeAuthorizationPolicy(object, ({ message }) => problems.push(message));
    assert.deepEqual(problems, []);
    assert.ok(spec);
    const ref = { kind: "AuthorizationPolicy", namespace: object.metadata.namespace ?? "", name: object.metadata.name };
    return [
      {
        ...ref,
        apiVersion: "security.istio.io/v1",
        metadata: object.metadata,
        createdAt: 0,
        spec,
        origin: ref,
        position: () => undefined,
      },
    ];
  });
}

function meshTrustDomains(meshConfig: JsonObject): string[] {
  const { trustDomain = "cluster.local", trustDomainAliases = [] } = meshConfig as {
    trustDomain?: string;
    trustDomainAliases?: string[];
  };
  return [trustDomain, ...trustDomainAliases];
}

/** Sorts keys; lists keep their order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  );
}
