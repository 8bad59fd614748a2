import assert from "node:assert/strict";
import { test } from "node:test";
import { LogRegistry } from "#base/log/log.ts";
import { pilotSettings } from "./pilot-settings.ts";

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
    ENABLE_DEBUG_ENDPOINT_AUTH: "true",
    DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES: "kiali, tools",
  };
  assert.deepEqual(pilotSettings(env, log), {
    debounce: { quietMs: 250, urgentQuietMs: 10, maxMs: 3000 },
    newStreamsPerSecond: 25,
    blockedKeyAddresses: ["10.0.0.0/8", "fd00::/8"],
    authenticatePlaintext: false,
    keyFetching: "hybrid",
    debugAccess: { onHttp: false, authentication: true, allowedNamespaces: ["kiali", "tools"] },
  });
  const defaults = {
    debounce: { quietMs: 100, urgentQuietMs: 10, maxMs: 10_000 },
    blockedKeyAddresses: [],
    debugAccess: {},
  };
  assert.deepEqual(pilotSettings({}, log), defaults);
  assert.deepEqual(lines, []);
  assert.deepEqual(pilotSettings({ PILOT_DEBOUNCE_AFTER: "soon", PILOT_MAX_REQUESTS_PER_SECOND: "-1" }, log), defaults);
  assert.equal(lines.length, 2);
  assert.match(lines[0] ?? "", /PILOT_DEBOUNCE_AFTER/);
});
