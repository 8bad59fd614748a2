import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import type { MeshObject } from "../../objects/mesh-object.ts";
import { objectOf } from "../../objects/testing/objects.ts";
import { decodeTelemetry } from "./decode.ts";
import { telemetry } from "./kind.ts";
import { effectiveLogs, effectiveMetrics, telemetryLevels } from "./resolve.ts";
import type { TelemetrySpec } from "./spec.ts";
import { effectiveTracing } from "./tracing.ts";
import { validateTelemetry } from "./validate.ts";

/** Levels from the mesh's to the workload's, each as the YAML of a spec. */
function levels(...specs: string[]): TelemetrySpec[] {
  return specs.map((text) => {
    const object = {
      apiVersion: "telemetry.istio.io/v1",
      kind: "Telemetry",
      metadata: { name: "t" },
      spec: parse(text) as unknown,
    };
    return decodeTelemetry(object, ({ message }) => assert.fail(message)) ?? assert.fail("not decoded");
  });
}

const logs: readonly [
  what: string,
  specs: string[],
  side: "CLIENT" | "SERVER",
  defaults: string[],
  expected: string | undefined,
][] = [
  ["nothing said", ["{metrics: []}"], "CLIENT", [], undefined],
  ["the mesh's log without providers", ["{accessLogging: [{}]}"], "CLIENT", [], "mesh"],
  ["switched off without providers", ["{accessLogging: [{disabled: true}]}"], "CLIENT", [], ""],
  ["switched off for servers", ["{accessLogging: [{match: {mode: SERVER}, disabled: true}]}"], "SERVER", ["a"], ""],
  [
    "only servers are meant",
    ["{accessLogging: [{match: {mode: SERVER}, providers: [{name: b}]}]}"],
    "CLIENT",
    ["a"],
    "",
  ],
  ["default providers are used", ["{accessLogging: [{}]}"], "CLIENT", ["a", "b"], "a,b"],
  ["providers take the place of default ones", ["{accessLogging: [{providers: [{name: b}]}]}"], "CLIENT", ["a"], "b"],
  [
    "a level below inherits providers",
    ["{accessLogging: [{providers: [{name: b}]}]}", "{accessLogging: [{disabled: true}]}"],
    "CLIENT",
    [],
    "",
  ],
  [
    "a level below takes the place of providers",
    ["{accessLogging: [{providers: [{name: a}]}]}", "{accessLogging: [{providers: [{name: b}]}]}"],
    "CLIENT",
    [],
    "b",
  ],
  [
    "switched off above and on below",
    ["{accessLogging: [{disabled: true}]}", "{accessLogging: [{disabled: false}]}"],
    "CLIENT",
    [],
    "mesh",
  ],
  [
    "a filter",
    ["{accessLogging: [{filter: {expression: response.code >= 400}}]}"],
    "CLIENT",
    [],
    "mesh if response.code >= 400",
  ],
  [
    "a filter of the level below",
    ["{accessLogging: [{filter: {expression: above}}]}", "{accessLogging: [{filter: {expression: below}}]}"],
    "CLIENT",
    [],
    "mesh if below",
  ],
];
for (const [what, specs, side, defaults, expected] of logs) {
  test(`access logging: ${what}`, () => {
    const effective = effectiveLogs(levels(...specs), side, defaults);
    const words = effective?.map(
      ({ provider, filter }) => (provider || "mesh") + (filter === "" ? "" : ` if ${filter}`),
    );
    assert.equal(words?.join(), expected);
  });
}

const metrics: readonly [what: string, specs: string[], side: "CLIENT" | "SERVER", expected: string[]][] = [
  [
    "a metric off",
    ["{metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, disabled: true}]}]}"],
    "CLIENT",
    ["requests_total off"],
  ],
  [
    "of clients only",
    ["{metrics: [{overrides: [{match: {metric: REQUEST_COUNT, mode: CLIENT}, disabled: true}]}]}"],
    "SERVER",
    [],
  ],
  [
    "off above, on below",
    [
      "{metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, disabled: true}]}]}",
      "{metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, disabled: false}]}]}",
    ],
    "CLIENT",
    [],
  ],
  [
    "tags of all levels, the lower one on top",
    [
      "{metrics: [{overrides: [{match: {metric: REQUEST_SIZE}, tagOverrides: {a: {value: one}, b: {value: two}}}]}]}",
      "{metrics: [{overrides: [{match: {metric: REQUEST_SIZE}, tagOverrides: {b: {operation: REMOVE}}}]}]}",
    ],
    "CLIENT",
    ["request_bytes a=one -b"],
  ],
];
for (const [what, specs, side, expected] of metrics) {
  test(`metrics: ${what}`, () => {
    const words = effectiveMetrics(levels(...specs), side).changes.map(({ metric, disabled, tags }) =>
      [
        metric,
        ...(disabled ? ["off"] : []),
        ...tags.map(([tag, { operation, value }]) => (operation === "REMOVE" ? `-${tag}` : `${tag}=${value}`)),
      ].join(" "),
    );
    assert.deepEqual(words, expected);
  });
}

test("metrics: an override without a match is for all of them", () => {
  const spec =
    "{metrics: [{providers: [{name: prometheus}], reportingInterval: 10s, overrides: [{tagOverrides: {a: {value: one}}}]}]}";
  const { changes, providers, reportingInterval } = effectiveMetrics(levels(spec), "CLIENT");
  assert.equal(changes.length, 10);
  assert.deepEqual([providers, reportingInterval], [["prometheus"], 10_000]);
});

const traces: readonly [
  what: string,
  specs: string[],
  side: "CLIENT" | "SERVER",
  defaults: string[],
  expected: Partial<ReturnType<typeof effectiveTracing>> | undefined,
][] = [
  ["nothing said", ["{metrics: []}"], "CLIENT", [], undefined],
  ["the mesh's default provider", [], "CLIENT", ["zipkin", "other"], { provider: "zipkin", disabled: false }],
  ["no provider anywhere", ["{tracing: [{randomSamplingPercentage: 5}]}"], "CLIENT", [], { provider: undefined }],
  [
    "field by field, the lower level on top",
    [
      "{tracing: [{providers: [{name: a}], randomSamplingPercentage: 5, customTags: {x: {literal: {value: '1'}}}}]}",
      "{tracing: [{randomSamplingPercentage: 50, disableSpanReporting: true}]}",
    ],
    "CLIENT",
    ["b"],
    { provider: "a", randomSamplingPercentage: 50, disabled: true, customTags: { x: { literal: { value: "1" } } } },
  ],
  [
    "tags take the place of all tags above",
    [
      "{tracing: [{customTags: {x: {literal: {value: '1'}}}}]}",
      "{tracing: [{customTags: {y: {header: {name: a, defaultValue: b}}}}]}",
    ],
    "CLIENT",
    ["b"],
    { customTags: { y: { header: { name: "a", defaultValue: "b" } } } },
  ],
  [
    "of servers only",
    ["{tracing: [{match: {mode: SERVER}, providers: [{name: a}], enableIstioTags: false}]}"],
    "CLIENT",
    ["b"],
    { provider: "b", enableIstioTags: true },
  ],
  [
    "of clients only",
    ["{tracing: [{match: {mode: CLIENT}, useRequestIdForTraceSampling: false, disableContextPropagation: true}]}"],
    "CLIENT",
    ["b"],
    { useRequestIdForTraceSampling: false, disableContextPropagation: true },
  ],
  ["zero percent", ["{tracing: [{randomSamplingPercentage: 0}]}"], "SERVER", ["b"], { randomSamplingPercentage: 0 }],
];
for (const [what, specs, side, defaults, expected] of traces) {
  test(`tracing: ${what}`, () => {
    const effective = effectiveTracing(levels(...specs), side, defaults);
    if (expected === undefined) assert.equal(effective, undefined);
    else assert.partialDeepStrictEqual(effective, expected);
  });
}

test("tags have a name and one kind of value that is not empty", () => {
  const said: string[] = [];
  const spec = `{tracing: [{customTags: {
    good: {literal: {value: a}}, both: {literal: {value: a}, header: {name: b}}, none: {}, "": {literal: {value: a}},
    l: {literal: {value: ""}}, f: {formatter: {value: ""}}, e: {environment: {defaultValue: a}}, h: {header: {}}}}]}`;
  const [telemetry] = levels(spec);
  if (telemetry !== undefined)
    validateTelemetry(telemetry, ({ path, message }) => void said.push(`${String(path)}: ${message}`));
  assert.deepEqual(said, [
    'spec.tracing[0].customTags["both"]: a tag has one kind of value',
    'spec.tracing[0].customTags["none"]: a tag needs a value',
    'spec.tracing[0].customTags[""]: a tag needs a name',
    'spec.tracing[0].customTags["l"].literal.value: the value is empty',
    'spec.tracing[0].customTags["f"].formatter.value: the value is empty',
    'spec.tracing[0].customTags["e"].environment.name: names no variable',
    'spec.tracing[0].customTags["h"].header.name: names no header',
  ]);
});

test("a Telemetry of the root namespace is for a class of gateways everywhere, when the workload's namespace has none of its own", () => {
  const named = (name: string, namespace: string, spec: object): MeshObject<TelemetrySpec> => ({
    ...objectOf(telemetry, { name, spec: { accessLogging: [{ disabled: true }], ...spec } }),
    namespace,
  });
  const ofClass = {
    targetRefs: [{ group: "gateway.networking.k8s.io", kind: "GatewayClass", name: "istio" }],
  };
  const root = [named("mesh", "istio-system", {}), named("class", "istio-system", ofClass)];
  const labels = { app: "web", "gateway.networking.k8s.io/gateway-class-name": "istio" };
  const web = { namespace: "web", labels, rootNamespace: "istio-system" };
  const levelsOf = (...own: MeshObject<TelemetrySpec>[]): string[] =>
    telemetryLevels(root, own, web).map(({ name }) => name);
  assert.deepEqual(levelsOf(), ["mesh", "class"]);
  assert.deepEqual(levelsOf(named("own", "web", { selector: { matchLabels: { app: "web" } } })), ["mesh", "own"]);
  assert.deepEqual(levelsOf(named("not-from-here", "web", ofClass)), ["mesh", "class"]);
});
