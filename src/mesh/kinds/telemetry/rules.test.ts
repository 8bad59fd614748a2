// Istio's validation of Telemetries, rule by rule, with those of the schema.
import { test } from "node:test";
import { checkRules } from "../../objects/testing/rules.ts";
import { telemetry } from "./kind.ts";

const rows: Readonly<Record<string, string>> = {
  "{}": "",
  "{accessLogging: [{providers: [{name: envoy}]}]}": "",
  '{accessLogging: [{providers: [{name: ""}]}]}': "E accessLogging[0].providers[0].name",
  "{accessLogging: [{providers: [{}]}]}": "E accessLogging[0].providers[0].name",
  '{accessLogging: [{filter: {expression: "response.code >= 400"}}]}': "",
  '{accessLogging: [{filter: {expression: "response.code >="}}]}': "E accessLogging[0].filter.expression",
  '{accessLogging: [{filter: {expression: ""}}]}': "E accessLogging[0].filter.expression",
  "{accessLogging: [{filter: {expression: \"'a' in request.headers && has(request.headers.b)\"}}]}": "",
  "{tracing: [{providers: [{name: a}]},{providers: [{name: b}]}]}": "W tracing[1]",
  "{tracing: [{providers: [{name: a},{name: b}]}]}": "W tracing[0].providers[1]",
  "{tracing: [{randomSamplingPercentage: 0}]}": "",
  "{tracing: [{randomSamplingPercentage: 100}]}": "",
  "{tracing: [{randomSamplingPercentage: 101}]}": "E tracing[0].randomSamplingPercentage",
  "{tracing: [{randomSamplingPercentage: -1}]}": "E tracing[0].randomSamplingPercentage",
  '{tracing: [{customTags: {"": {literal: {value: a}}}}]}': 'E tracing[0].customTags[""]',
  '{tracing: [{customTags: {a: {literal: {value: ""}}}}]}': 'E tracing[0].customTags["a"].literal.value',
  '{tracing: [{customTags: {a: {header: {name: ""}}}}]}': 'E tracing[0].customTags["a"].header.name',
  '{tracing: [{customTags: {a: {environment: {name: ""}}}}]}': 'E tracing[0].customTags["a"].environment.name',
  "{tracing: [{customTags: {a: {environment: {name: a}, header: {name: b}}}}]}": 'E tracing[0].customTags["a"]',
  '{tracing: [{customTags: {a: {formatter: {value: "%REQ(x)%"}}}}]}': "",
  '{tracing: [{customTags: {a: {formatter: {value: ""}}}}]}': 'E tracing[0].customTags["a"].formatter.value',
  "{tracing: [{disableSpanReporting: true}]}": "",
  "{metrics: [{providers: [{name: prometheus}]}]}": "",
  '{metrics: [{providers: [{name: ""}]}]}': "E metrics[0].providers[0].name",
  "{metrics: [{overrides: [{tagOverrides: {a: {operation: UPSERT}}}]}]}":
    'E metrics[0].overrides[0].tagOverrides["a"].value',
  "{metrics: [{overrides: [{tagOverrides: {a: {}}}]}]}": 'E metrics[0].overrides[0].tagOverrides["a"].value',
  '{metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE, value: "x"}}}]}]}':
    'E metrics[0].overrides[0].tagOverrides["a"].value',
  "{metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE}}}]}]}": "",
  "{metrics: [{overrides: [{match: {customMetric: foo}, tagOverrides: {a: {operation: REMOVE}}}]}]}": "",
  '{metrics: [{overrides: [{match: {customMetric: ""}}]}]}': "E metrics[0].overrides[0].match.customMetric",
  "{metrics: [{overrides: [{match: {customMetric: a, metric: REQUEST_COUNT}}]}]}":
    "E metrics[0].overrides[0].match.customMetric",
  '{metrics: [{overrides: [{tagOverrides: {a: {value: "request."}}}]}]}':
    'W metrics[0].overrides[0].tagOverrides["a"].value',
  '{metrics: [{overrides: [{tagOverrides: {a: {value: "nobody.knows"}}}]}]}': "",
  '{metrics: [{overrides: [{tagOverrides: {"": {value: x}}}]}]}': 'W metrics[0].overrides[0].tagOverrides[""]',
  '{metrics: [{reportingInterval: "0s"}]}': "E metrics[0].reportingInterval",
  '{metrics: [{reportingInterval: "1us"}]}': "E metrics[0].reportingInterval",
  '{metrics: [{reportingInterval: "5s"}]}': "",
  "{selector: {matchLabels: {}}}": "W selector",
  "{selector: {}}": "W selector",
  '{selector: {matchLabels: {a: "*"}}}': "E selector.matchLabels",
  '{selector: {matchLabels: {"": "b"}}}': "E selector.matchLabels",
  "{selector: {matchLabels: {a: b}}, targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: x}]}":
    "E selector",
  "{targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: x}, targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: x}]}":
    "E selector",
  "{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: x}]}": "",
  "{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway}]}": "E targetRefs[0]",
  "{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: x, namespace: bar}]}":
    "E targetRefs[0].namespace",
  "{targetRefs: [{group: wrong, kind: Gateway, name: x}]}": "E targetRefs[0].group",
  "{targetRefs: [{kind: Service, name: x}]}": "",
  "{targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: x}]}": "",
  "{metrics: [{providers: [{name: prometheus}], bogus: 1}]}": "E metrics[0].bogus",
  "{metrics: [{overrides: [{match: {metric: REQUESTS}}]}]}": "E metrics[0].overrides[0].match.metric",
  "{metrics: [{overrides: [{match: {metric: ALL_METRICS, mode: CLIENT}, disabled: true}]}]}": "",
};

test("what is refused and what is warned of, with the field", () => {
  checkRules(telemetry, rows);
});
