import assert from "node:assert/strict";
import { test } from "node:test";
import { LogRegistry } from "#base/log/log.ts";
import { defaultAuthorityLimits } from "#control/ca/authority.ts";
import { defaultRootRenewal } from "#control/ca/root-renewal.ts";
import { pilotSettings } from "./pilot-settings.ts";

const authority = { authorityLimits: defaultAuthorityLimits, rootRenewal: defaultRootRenewal };

test("Istio's variables set debouncing, the rate of new streams, blocked addresses and who may ask", () => {
  const lines: string[] = [];
  const log = new LogRegistry({ level: "info", write: (line) => lines.push(line) }).scope("pilot");
  const env = {
    PILOT_DEBOUNCE_AFTER: "250ms",
    PILOT_DEBOUNCE_MAX: "3s",
    PILOT_MAX_REQUESTS_PER_SECOND: "25",
    BLOCKED_CIDRS_IN_JWKS_URIS: "10.0.0.0/8,fd00::/8",
    XDS_AUTH_PLAINTEXT: "false",
    ENABLE_DEBUG_ON_HTTP: "0",
    PILOT_JWT_ENABLE_REMOTE_JWKS: "true",
    PILOT_SCOPE_GATEWAY_TO_NAMESPACE: "true",
    PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS: "true",
    ENABLE_DEBUG_ENDPOINT_AUTH: "true",
    DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES: "kiali, tools",
  };
  assert.deepEqual(pilotSettings(env, log), {
    debounce: { quietMs: 250, urgentQuietMs: 10, maxMs: 3000 },
    newStreamsPerSecond: 25,
    blockedKeyAddresses: ["10.0.0.0/8", "fd00::/8"],
    authenticatePlaintext: false,
    keyFetching: "hybrid",
    scopesGateways: true,
    severalProviders: true,
    debugAccess: { onHttp: false, authentication: true, allowedNamespaces: ["kiali", "tools"] },
    ...authority,
  });
  const defaults = {
    debounce: { quietMs: 100, urgentQuietMs: 10, maxMs: 10_000 },
    blockedKeyAddresses: [],
    debugAccess: {},
    ...authority,
  };
  assert.deepEqual(pilotSettings({}, log), defaults);
  assert.deepEqual(lines, []);
  assert.deepEqual(pilotSettings({ PILOT_DEBOUNCE_AFTER: "soon", PILOT_MAX_REQUESTS_PER_SECOND: "-1" }, log), defaults);
  assert.equal(lines.length, 2);
  assert.match(lines[0] ?? "", /PILOT_DEBOUNCE_AFTER/);
});

test("Istio's variables of the CA set lifetimes and when a self-signed root is renewed", () => {
  const lines: string[] = [];
  const log = new LogRegistry({ level: "info", write: (line) => lines.push(line) }).scope("pilot");
  const env = {
    DEFAULT_WORKLOAD_CERT_TTL: "12h",
    MAX_WORKLOAD_CERT_TTL: "48h",
    ROOT_CA_DIR: "/etc/cacerts",
    CITADEL_SELF_SIGNED_CA_CERT_TTL: "8760h",
    CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL: "10m",
    CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE: "30",
    CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR: "false",
  };
  const { authorityLimits, authorityFolder, rootRenewal } = pilotSettings(env, log);
  assert.deepEqual(authorityLimits, { defaultTtlMs: 12 * 3_600_000, maxTtlMs: 48 * 3_600_000 });
  assert.equal(authorityFolder, "/etc/cacerts");
  assert.deepEqual(rootRenewal, {
    ttlMs: 8760 * 3_600_000,
    checkIntervalMs: 600_000,
    gracePercent: 30,
    hasJitter: false,
  });
  const off = pilotSettings({ CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL: "0" }, log);
  assert.equal(off.rootRenewal?.checkIntervalMs, 0);
  assert.deepEqual(lines, []);
  const bad = { CITADEL_SELF_SIGNED_CA_CERT_TTL: "-1h", CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE: "120" };
  assert.deepEqual(pilotSettings(bad, log).rootRenewal, defaultRootRenewal);
  assert.equal(lines.length, 2);
});

test("Istio's variables name who else may ask the certificate service", () => {
  const lines: string[] = [];
  const log = new LogRegistry({ level: "info", write: (line) => lines.push(line) }).scope("pilot");
  const rule = { issuer: "https://issuer.example", audiences: ["istio-ca"], jwksUri: "https://issuer.example/keys" };
  const env = { CA_TRUSTED_NODE_ACCOUNTS: "istio-system/ztunnel,kube-system/ztunnel", JWT_RULE: JSON.stringify(rule) };
  const { trustedNodeAccounts, tokenIssuer } = pilotSettings(env, log);
  assert.deepEqual(trustedNodeAccounts, ["istio-system/ztunnel", "kube-system/ztunnel"]);
  assert.deepEqual(tokenIssuer, rule);
  const external = { EXTERNAL_CA: "ISTIOD_RA_KUBERNETES_API", K8S_SIGNER: "example.com/mesh" };
  assert.deepEqual(pilotSettings(external, log).kubernetesSigner, { signerName: "example.com/mesh", signerDomain: "" });
  const { heedsRevocations, usesTrustBundle } = pilotSettings(
    { PILOT_ENABLE_CA_CRL: "false", ENABLE_CLUSTER_TRUST_BUNDLE_API: "true" },
    log,
  );
  assert.deepEqual([heedsRevocations, usesTrustBundle], [false, true]);
  assert.deepEqual(lines, []);
  assert.equal(pilotSettings({ EXTERNAL_CA: "ISTIOD_RA_ISTIO_API" }, log).kubernetesSigner, undefined);
  assert.equal(lines.splice(0).length, 1);
  for (const JWT_RULE of ["{", "[]", "{}", '{"issuer":"a","audiences":[1]}']) {
    assert.equal(pilotSettings({ JWT_RULE, CA_TRUSTED_NODE_ACCOUNTS: "ztunnel" }, log).tokenIssuer, undefined);
  }
  assert.equal(lines.length, 8);
});
