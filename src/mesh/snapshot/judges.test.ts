// Istio's own validation data against our decoders and validators.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { Severity } from "#base/issue.ts";
import { loadEnvoyTypes } from "../objects/envoy-types.ts";
import { parseYamlDocuments } from "../objects/yaml.ts";
import { buildSnapshot } from "./build.ts";
import { decodableKinds, kindKey } from "./decodable-kinds.ts";

before(loadEnvoyTypes);

const folder = join(import.meta.dirname, "../../../../shared/testdata");
const options = existsSync(folder) ? {} : { skip: `${folder} is not there` };

interface Case {
  readonly id: string;
  readonly input: { readonly yaml: string };
  readonly expect: { readonly valid: boolean };
}

/** Cases that we answer differently, with the reason. */
const exceptions: ReadonlyMap<string, string> = new Map([
  ["validation-crd/reqauth-valid/0-full", "presence is a field that came after Istio 1.31"],
  [
    "validation-crd/serviceentry-valid/0-full",
    "an address is an object by a slip of indentation; the API server prunes it, we say so",
  ],
]);

for (const file of ["validation-crd.json", "validation-dataset.json"]) {
  test(`${file}: what Istio accepts is accepted, what it refuses is refused`, options, (t) => {
    const { cases } = JSON.parse(readFileSync(join(folder, file), "utf8")) as { cases: Case[] };
    let judged = 0;
    const wrong: string[] = [];
    for (const { id, input, expect } of cases) {
      const parsed = parseYamlDocuments("case.yaml", input.yaml);
      const [object] = parsed.objects;
      if (object !== undefined && !decodableKinds.has(kindKey(object.object.apiVersion, object.object.kind))) continue;
      judged++;
      const { entries } = buildSnapshot(parsed.objects);
      const errors = [...parsed.issues, ...[...entries.values()].flatMap((entry) => entry.issues)].filter(
        (issue) => issue.severity === Severity.Error,
      );
      if ((errors.length === 0) === expect.valid) continue;
      if (!exceptions.has(id)) wrong.push(`${id}: ${errors.map((issue) => issue.message).join("; ") || "accepted"}`);
    }
    t.diagnostic(`${judged} of ${cases.length} cases are for kinds that are in force`);
    assert.ok(judged > 0);
    assert.deepEqual(wrong, []);
  });
}
