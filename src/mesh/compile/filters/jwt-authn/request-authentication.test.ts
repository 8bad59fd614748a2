import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { createRegistry, type JsonObject, toJson } from "@bufbuild/protobuf";
import { SignJWT } from "jose";
import { JwtAuthenticationSchema } from "#wire/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts";
import { HttpFilterSchema } from "#wire/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { isJwt, parseJwt } from "#wire/jose/jwt.ts";
import { isKeySet, parseKeySet, verifyJws } from "#wire/jose/key-set.ts";
import { decodeProvenance } from "#wire/xds/provenance.ts";
import type { KeyFetching } from "../../../snapshot/key-plan.ts";
import type { KeySets } from "../../../snapshot/key-sets.ts";
import { meshFromYaml, proxy } from "../../../snapshot/testing/mesh-from-yaml.ts";
import { compileProxy } from "../../compile.ts";
import { refusals } from "../../testing/accepted.ts";
import { bookinfo, mesh, sidecarOf } from "../../testing/mesh.ts";
import { filterNames, httpManager } from "../../testing/summary.ts";
import { requestAuthentication } from "./request-authentication.ts";
import { unmatchedKeys } from "./unmatched-keys.ts";

const registry = createRegistry(JwtAuthenticationSchema);

function configOf(yaml: string, keySets?: KeySets, labels: Readonly<Record<string, string>> = {}): JsonObject {
  const snapshot = meshFromYaml(yaml);
  const { http } = requestAuthentication(snapshot.jwtRules(proxy({ labels })), {
    keyPlan: snapshot.keyPlan,
    keySets,
    choosesRouteAgain: false,
  });
  const [filter] = http.map((item) => toJson(HttpFilterSchema, item, { registry }) as JsonObject);
  assert.equal(filter?.["name"], "envoy.filters.http.jwt_authn");
  const { "@type": _type, ...config } = filter["typedConfig"] as JsonObject;
  return config;
}

const policy = (rules: string): string => `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt}
spec: {jwtRules: ${rules}}
`;

test("one rule: a good token of the issuer, or none", () => {
  const config = configOf(
    policy(`[{issuer: good, jwks: '{"keys":[]}', audiences: [web], fromHeaders: [{name: x-jwt, prefix: "JWT "}],
      fromParams: [token], fromCookies: [session], forwardOriginalToken: true, outputPayloadToHeader: x-payload,
      outputClaimToHeaders: [{header: x-sub, claim: sub}], spaceDelimitedClaims: [roles]}]`),
  );
  assert.deepEqual(config, {
    providers: {
      "origins-0": {
        issuer: "good",
        audiences: ["web"],
        localJwks: { inlineString: '{"keys":[]}' },
        forward: true,
        forwardPayloadHeader: "x-payload",
        fromHeaders: [{ name: "x-jwt", valuePrefix: "JWT " }],
        fromParams: ["token"],
        fromCookies: ["session"],
        claimToHeaders: [{ headerName: "x-sub", claimName: "sub" }],
        payloadInMetadata: "payload",
        normalizePayloadInMetadata: { spaceDelimitedClaims: ["permission", "roles", "scope"] },
      },
    },
    rules: [
      {
        match: { prefix: "/" },
        requires: { requiresAny: { requirements: [{ providerName: "origins-0" }, { allowMissing: {} }] } },
      },
    ],
    bypassCorsPreflight: true,
  });
});

test("several rules: the token of any, or of each that has one", () => {
  const config = configOf(policy(`[{issuer: b, jwks: '{"keys":[]}'}, {issuer: a, jwks: '{"keys":[]}'}]`));
  const tokenOrNone = (name: string): JsonObject => ({
    requiresAny: { requirements: [{ providerName: name }, { allowMissing: {} }] },
  });
  assert.deepEqual((config["rules"] as JsonObject[])[0]?.["requires"], {
    requiresAny: {
      requirements: [
        { providerName: "origins-0" },
        { providerName: "origins-1" },
        { requiresAll: { requirements: [tokenOrNone("origins-0"), tokenOrNone("origins-1")] } },
      ],
    },
  });
  const providers = config["providers"] as Record<string, JsonObject>;
  assert.deepEqual([providers["origins-0"]?.["issuer"], providers["origins-1"]?.["issuer"]], ["a", "b"]);
});

test("keys that were fetched are put in; without them no token is good, and the key's id says why", async () => {
  const yaml = policy("[{issuer: https://issuer.example, jwksUri: https://issuer.example/keys}]");
  const keysOf = (keySets: KeySets | undefined): string => {
    const [provider] = Object.values(configOf(yaml, keySets)["providers"] as Record<string, JsonObject>);
    assert.ok(provider);
    return (provider["localJwks"] as { inlineString: string }).inlineString;
  };
  const name = "keys https://issuer.example/keys";
  assert.equal(keysOf(new Map([[name, { keys: '{"keys":[1]}' }]])), '{"keys":[1]}');
  assert.match(
    keysOf(new Map([[name, { failure: "answers 500" }]])),
    /issuer.example\/keys, which gave none: answers 500/,
  );
  assert.match(keysOf(new Map()), /which was not asked yet/);
  const text = keysOf(undefined);
  assert.match(text, /which only the control plane asks/);
  const keys = parseKeySet(text);
  assert.ok(isKeySet(keys));
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwt = parseJwt(await new SignJWT({ iss: "a" }).setProtectedHeader({ alg: "ES256" }).sign(privateKey));
  assert.ok(isJwt(jwt));
  assert.equal(verifyJws(jwt.jws, keys).text, "Jwt verification fails");
});

test("PILOT_JWT_ENABLE_REMOTE_JWKS: who fetches keys, by mode and by where they are", () => {
  const service = `
apiVersion: v1
kind: Service
metadata: {name: issuer}
spec: {clusterIP: 10.96.0.9, ports: [{name: http, port: 8080}]}
---`;
  const sourceOf = (rule: string, keyFetching: KeyFetching): string => {
    const snapshot = meshFromYaml(`${service}${policy(`[{issuer: "https://a.example", ${rule}}]`)}`, {
      keyFetching,
      keySets: new Map(),
    });
    const { http } = requestAuthentication(snapshot.jwtRules(proxy()), { ...snapshot, choosesRouteAgain: false });
    const config = toJson(HttpFilterSchema, http[0] ?? assert.fail("no filter"), { registry }) as JsonObject;
    const [provider] = Object.values((config["typedConfig"] as { providers: Record<string, JsonObject> }).providers);
    const remote = provider?.["remoteJwks"] as { httpUri: { cluster: string; timeout: string } } | undefined;
    const asked = snapshot.keySources().map(({ url }) => url);
    const issues = snapshot.issues.map(({ code, path }) => `${code} ${path}`);
    return [
      remote === undefined ? "inline" : `${remote.httpUri.cluster} ${remote.httpUri.timeout}`,
      ...asked,
      ...issues,
    ].join(", ");
  };
  const inMesh = "jwksUri: http://issuer.default.svc.cluster.local:8080/keys, timeout: 3s";
  const other = "jwksUri: https://keys.example/jwks";
  const openid = "https://a.example/.well-known/openid-configuration";
  const cluster = "outbound|8080||issuer.default.svc.cluster.local 3s";
  const notThere = "outbound|443||keys.example 5s, OUT0009 spec.jwtRules[0].jwksUri";
  for (const [rule, istiod, hybrid, envoy] of [
    [inMesh, "inline, http://issuer.default.svc.cluster.local:8080/keys", cluster, cluster],
    [other, "inline, https://keys.example/jwks", "inline, https://keys.example/jwks", notThere],
    [
      inMesh.replace("8080", "81"),
      "inline, http://issuer.default.svc.cluster.local:81/keys",
      "inline, http://issuer.default.svc.cluster.local:81/keys",
      "outbound|81||issuer.default.svc.cluster.local 3s, OUT0009 spec.jwtRules[0].jwksUri",
    ],
    ["audiences: [web]", `inline, ${openid}`, `inline, ${openid}`, `inline, ${openid}`],
    ["jwks: '{\"keys\":[]}'", "inline", "inline", "inline"],
  ] as const) {
    assert.equal(sourceOf(rule, "istiod"), istiod, rule);
    assert.equal(sourceOf(rule, "hybrid"), hybrid, rule);
    assert.equal(sourceOf(rule, "envoy"), envoy, rule);
  }
});

test("the key that nobody has the other half of is the point M of RFC 9382", async () => {
  const { ECDH } = await import("node:crypto");
  const [key] = (JSON.parse(unmatchedKeys("")) as { keys: { x: string; y: string }[] }).keys;
  assert.ok(key);
  const point = Buffer.concat([Buffer.of(4), Buffer.from(key.x, "base64url"), Buffer.from(key.y, "base64url")]);
  assert.equal(
    ECDH.convertKey(point, "prime256v1", undefined, "hex", "compressed"),
    "02886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f",
  );
});

test("tokens are verified behind CUSTOM and before the other policies, and the chain knows where the rule is", () => {
  const snapshot = mesh(
    bookinfo,
    `${policy("[{issuer: https://issuer.example}]")}---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask}
spec: {action: CUSTOM, provider: {name: none}, rules: [{to: [{operation: {paths: [/ask]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: only-users}
spec: {rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]}
`,
  );
  const compiled = compileProxy(snapshot, sidecarOf("reviews", "10.244.0.13"));
  assert.deepEqual(refusals(compiled), []);
  const chain = compiled.listeners.get("virtualInbound")?.filterChains.find((item) => httpManager(item) !== undefined);
  assert.deepEqual(filterNames(chain).slice(0, 4), [
    "istio.metadata_exchange",
    "envoy.filters.http.rbac",
    "envoy.filters.http.jwt_authn",
    "envoy.filters.http.rbac",
  ]);
  const provenance = decodeProvenance(chain?.metadata?.filterMetadata);
  assert.equal(provenance.policies.get("origins-0")?.kind, "RequestAuthentication");
});
