// Istio's own validation data against our decoders and validators.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { Severity } from "#base/issue.ts";
import { loadEnvoyTypes } from "../objects/envoy-types.ts";
import { parseYamlDocuments } from "../objects/yaml.ts";
import { buildSnapshot } from "./build.ts";
import { validationCases, validationFiles, withoutTestdata } from "./testing/validation-cases.ts";

before(loadEnvoyTypes);

for (const file of validationFiles) {
  test(`${file}: what Istio accepts is accepted, what it refuses is refused`, withoutTestdata, () => {
    const cases = validationCases(file);
    assert.ok(cases.length > 20);
    const wrong = cases.flatMap(({ id, input, expect }) => {
      const parsed = parseYamlDocuments("case.yaml", input.yaml);
      const { entries } = buildSnapshot(parsed.objects);
      const errors = [...parsed.issues, ...[...entries.values()].flatMap((entry) => entry.issues)].filter(
        (issue) => issue.severity === Severity.Error,
      );
      if ((errors.length === 0) === expect.valid) return [];
      return [`${id}: ${errors.map((issue) => issue.message).join("; ") || "accepted"}`];
    });
    assert.deepEqual(wrong, []);
  });
}
