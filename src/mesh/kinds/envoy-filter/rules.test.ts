// Istio's validation of EnvoyFilters, rule by rule, with those of the schema.
import { before, test } from "node:test";
import { loadEnvoyTypes } from "../../objects/envoy-types.ts";
import { checkRules } from "../../objects/testing/rules.ts";
import { envoyFilter } from "./kind.ts";

before(loadEnvoyTypes);

const rows: Readonly<Record<string, string>> = {
  "{}": "",
  "{configPatches: []}": "",
  '{workloadSelector: {labels: {a: "*"}}}': "E workloadSelector.labels",
  '{workloadSelector: {labels: {"": "v"}}}': "E workloadSelector.labels",
  "{workloadSelector: {}}": "W workloadSelector",
  "{configPatches: [null]}": "E configPatches[0]",
  "{configPatches: [{}]}": "E configPatches[0].applyTo",
  "{configPatches: [{patch: {operation: ADD, value: {name: x}}}]}": "E configPatches[0].applyTo",
  "{configPatches: [{applyTo: LISTENER}]}": "E configPatches[0].patch",
  "{configPatches: [{applyTo: LISTENER, patch: {}}]}":
    "E configPatches[0].patch.operation, E configPatches[0].patch.value",
  "{configPatches: [{applyTo: LISTENER, patch: {operation: ADD}}]}": "E configPatches[0].patch.value",
  "{configPatches: [{applyTo: CLUSTER, patch: {operation: ADD, value: {name: x}}}]}": "",
  "{configPatches: [{applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {name: envoy.tcp_proxy}}}}, patch: {operation: REMOVE}}]}":
    "W configPatches[0].match.listener.filterChain.filter.name",
  '{configPatches: [{applyTo: CLUSTER, match: {proxy: {proxyVersion: "%#@~++=/"}}, patch: {operation: REMOVE}}]}':
    "E configPatches[0].match.proxy.proxyVersion",
  '{configPatches: [{applyTo: CLUSTER, match: {proxy: {proxyVersion: "["}}, patch: {operation: REMOVE}}]}':
    "E configPatches[0].match.proxy.proxyVersion",
  "{configPatches: [{applyTo: LISTENER, match: {cluster: {}}, patch: {operation: REMOVE}}]}":
    "E configPatches[0].match.cluster",
  "{configPatches: [{applyTo: VIRTUAL_HOST, match: {cluster: {}}, patch: {operation: REMOVE}}]}":
    "E configPatches[0].match.cluster",
  "{configPatches: [{applyTo: CLUSTER, match: {listener: {}}, patch: {operation: REMOVE}}]}":
    "E configPatches[0].match.listener",
  "{configPatches: [{applyTo: LISTENER, match: {listener: {filterChain: {filter: {}}}}, patch: {operation: REMOVE}}]}":
    "W configPatches[0].match.listener.filterChain.filter, E configPatches[0].match.listener.filterChain.filter",
  "{configPatches: [{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {}}}}, patch: {operation: REMOVE}}]}":
    "E configPatches[0].match.listener.filterChain.filter",
  "{configPatches: [{applyTo: FILTER_CHAIN, match: {listener: {filterChain: {filter: {name: x}}}}, patch: {operation: REMOVE}}]}":
    "W configPatches[0].match.listener.filterChain.filter",
  "{configPatches: [{applyTo: LISTENER, match: {listener: {filterChain: {filter: {name: x}}}}, patch: {operation: REMOVE}}]}":
    "W configPatches[0].match.listener.filterChain.filter",
  "{configPatches: [{applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {name: x, subFilter: {name: b}}}}}, patch: {operation: REMOVE}}]}":
    "E configPatches[0].match.listener.filterChain.filter.subFilter, E configPatches[0].match.listener.filterChain.filter.name",
  "{configPatches: [{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: random, subFilter: {name: b}}}}}, patch: {operation: REMOVE}}]}":
    "E configPatches[0].match.listener.filterChain.filter.name",
  "{configPatches: [{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: b}}}}}, patch: {operation: REMOVE}}]}":
    "",
  "{configPatches: [{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: envoy.http_connection_manager, subFilter: {name: b}}}}}, patch: {operation: REMOVE}}]}":
    "W configPatches[0].match.listener.filterChain.filter.name",
  "{configPatches: [{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.ext_authz}}}}}, patch: {operation: REMOVE}}]}":
    "W configPatches[0].match.listener.filterChain.filter.subFilter.name",
  "{configPatches: [{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {}}}}}, patch: {operation: REMOVE}}]}":
    "E configPatches[0].match.listener.filterChain.filter.subFilter",
  "{configPatches: [{applyTo: CLUSTER, patch: {operation: ADD, value: {name: 1}}}]}": "E configPatches[0].patch.value",
  "{configPatches: [{applyTo: CLUSTER, patch: {operation: ADD, value: {name: a, foo: bar}}}]}":
    "W configPatches[0].patch.value",
  '{configPatches: [{applyTo: NETWORK_FILTER, patch: {operation: INSERT_FIRST, value: {name: a, typed_config: {"@type": type.googleapis.com/envoy.config.filter.network.ext_authz.v2.ExtAuthz}}}}]}':
    "E configPatches[0].patch.value",
  "{configPatches: [{applyTo: HTTP_FILTER, match: {context: SIDECAR_OUTBOUND, listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}, patch: {operation: INSERT_BEFORE, value: {name: envoy.lua}}}]}":
    "W configPatches[0].patch.value",
  "{configPatches: [{applyTo: NETWORK_FILTER, patch: {operation: INSERT_FIRST, value: {name: envoy.filters.network.ext_authz}}}]}":
    "W configPatches[0].patch.value",
  '{configPatches: [{applyTo: EXTENSION_CONFIG, patch: {operation: ADD, value: {name: a, typed_config: {"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm}}}}]}':
    "",
  "{workloadSelector: {labels: {a: b}}, targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: x}]}":
    "E targetRefs",
  "{configPatches: [{applyTo: NOPE, patch: {operation: REMOVE}}]}": "E configPatches[0].applyTo",
  "{priority: -5, configPatches: [{applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {stats_flush_interval: 5s}}}]}":
    "",
};

test("what is refused and what is warned of, with the field", () => {
  checkRules(envoyFilter, rows);
});
