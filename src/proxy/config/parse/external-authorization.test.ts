import assert from "node:assert/strict";
import { test } from "node:test";
import { evaluateRbac } from "../../decide/rbac.ts";
import type { RbacSettings } from "../../http/filters/rbac/settings.ts";
import { decodeListener } from "../decode-listener.ts";
import type { NetworkFilterConfig } from "../listener.ts";
import type { RbacRules, RbacSubject } from "../rbac.ts";
import { listenerOf, refusalOf } from "../testing/resources.ts";

const types = "type.googleapis.com/envoy.extensions.filters";
const subject = (path: string | undefined, destinationPort = 9080): RbacSubject => ({
  peer: null,
  sourceIp: "10.244.0.9",
  sourcePort: 40_000,
  directRemoteIp: "10.244.0.9",
  remoteIp: "10.244.0.9",
  destinationIp: "10.244.0.7",
  destinationPort,
  requestedServerName: "",
  path,
  header: undefined,
  headerValues: undefined,
  metadata: undefined,
});

const shadowRules = (permission: string): string => `
          shadow_rules_stat_prefix: istio_ext_authz_
          shadow_rules:
            action: DENY
            policies:
              "istio-ext-authz-opa-ns[default]-policy[ask]-rule[0]":
                permissions: [{ ${permission} }]
                principals: [{ any: true }]
              "another":
                permissions: [{ any: true }]
                principals: [{ any: true }]`;

const enabled = (filter: string): string => `
          filter_enabled_metadata:
            filter: ${filter}
            path: [{ key: istio_ext_authz_shadow_effective_policy_id }]
            value: { string_match: { prefix: istio-ext-authz-opa } }`;

function decode(filters: string): { filters: readonly NetworkFilterConfig[]; warnings: string[] } {
  const decoded = decodeListener(
    listenerOf(`
name: virtualInbound
address: { socket_address: { address: 0.0.0.0, port_value: 15006 } }
filter_chains:
- name: chain
  filters:${filters}`),
  );
  assert.equal(refusalOf(decoded), "");
  const warnings = decoded.issues.map((issue) => `${issue.code} ${issue.message}`);
  return { filters: decoded.value?.filterChains[0]?.filters ?? [], warnings };
}

const httpChain = (mark: string): string => `
    - name: http
      typed_config:
        "@type": ${types}.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: http
        rds: { route_config_name: r, config_source: { ads: {} } }
        http_filters:
        - name: rbac
          typed_config:
            "@type": ${types}.http.rbac.v3.RBAC${shadowRules("url_path: { path: { prefix: /admin } }").replaceAll("\n", "\n  ")}
        - name: ext_authz
          typed_config:
            "@type": ${types}.http.ext_authz.v3.ExtAuthz
            failure_mode_allow: true${mark.replaceAll("\n", "\n  ")}
        - name: router
          typed_config: { "@type": ${types}.http.router.v3.Router }`;

function httpRules(filters: readonly NetworkFilterConfig[]): RbacRules | null {
  const [manager] = filters;
  assert.equal(manager?.type, "http_connection_manager");
  const filter = manager.http?.httpFilters[1];
  assert.equal(filter?.type, "rbac");
  return (filter.settings as RbacSettings).rules;
}

test("what an external service would be asked about is denied, and nothing else", () => {
  const { filters, warnings } = decode(httpChain(enabled("envoy.filters.http.rbac")));
  const rules = httpRules(filters);
  assert.equal(evaluateRbac(rules, subject("/admin"), null).allowed, false);
  assert.equal(evaluateRbac(rules, subject("/reviews"), null).allowed, true);
  assert.deepEqual(warnings, [
    "OUT0703 asking an external authorization service is not supported by this proxy: what istio-ext-authz-opa-ns[default]-policy[ask]-rule[0] matches is denied",
  ]);
});

test("everything is denied when an external service would be asked about every request", () => {
  const { filters, warnings } = decode(httpChain(""));
  assert.equal(evaluateRbac(httpRules(filters), subject("/reviews"), null).allowed, false);
  assert.match(warnings[0] ?? "", /all requests are denied/);
});

test("everything is denied when the mark is none that is known", () => {
  const { filters } = decode(httpChain(enabled("x").replace("istio_ext_authz_shadow", "other_shadow")));
  assert.equal(evaluateRbac(httpRules(filters), subject("/reviews"), null).allowed, false);
});

test("connections are denied in the same way", () => {
  const { filters } = decode(`
    - name: rbac
      typed_config:
          "@type": ${types}.network.rbac.v3.RBAC
          stat_prefix: tcp.${shadowRules("destination_port: 9080")}
    - name: ext_authz
      typed_config:
          "@type": ${types}.network.ext_authz.v3.ExtAuthz
          stat_prefix: tcp.${enabled("envoy.filters.network.rbac")}
    - name: tcp
      typed_config: { "@type": ${types}.network.tcp_proxy.v3.TcpProxy, stat_prefix: tcp, cluster: c }`);
  const filter = filters[1];
  assert.equal(filter?.type, "rbac");
  const { rules } = filter.settings as RbacSettings;
  assert.equal(evaluateRbac(rules, subject(undefined), null).allowed, false);
  assert.equal(evaluateRbac(rules, subject(undefined, 80), null).allowed, true);
});
