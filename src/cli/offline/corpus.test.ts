// Everything that is compiled from all YAML of the project, and from Istio's own valid objects, is taken by Envoy's
// rules and by our own proxy.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { before, test } from "node:test";
import { loadEnvoyTypes } from "#mesh/objects/envoy-types.ts";
import { validationCases, validationFiles, withoutTestdata } from "#mesh/snapshot/testing/validation-cases.ts";
import { judgeResources } from "../testing/refused-resources.ts";
import { world } from "../testing/request-cases.ts";
import { packageRoot } from "../testing/run-cli.ts";

before(loadEnvoyTypes);

const read = (path: string): string => readFileSync(join(packageRoot, path), "utf8");
const files = globSync(["examples/**/*.yaml", "deploy/**/*.yaml", "test/**/*.yaml"], { cwd: packageRoot })
  .filter((path) => !path.endsWith("images.yaml"))
  .sort();

/** `examples/bookinfo`, `test/fixtures/echo`: what is applied together. */
const together = Map.groupBy(files, (path) => {
  const [top = "", second = "", third = ""] = dirname(path).split("/");
  return top === "test" ? join(top, second, third) : join(top, second);
});

for (const [folder, paths] of together) {
  test(`${folder}: every resource is accepted`, () => {
    const { refused, resources } = judgeResources(`${paths.map(read).join("\n---\n")}\n---\n${world}`);
    assert.deepEqual(refused, []);
    assert.ok(resources > 50, `${resources} resources`);
  });
}

test("the YAML of the documentation: every resource is accepted", () => {
  const pages = globSync(["README.md", "docs/**/*.md"], { cwd: packageRoot });
  const blocks = pages.flatMap((page) =>
    [...read(page).matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, text = ""]) => text),
  );
  const whole = blocks.filter((text) => /^apiVersion:/m.test(text));
  assert.ok(whole.length > 5);
  const refused = whole.flatMap((text) => judgeResources(`${world}${text}`).refused);
  assert.deepEqual(refused, []);
});

for (const file of validationFiles) {
  test(`${file}: every resource of valid objects is accepted`, withoutTestdata, () => {
    const valid = validationCases(file).filter(({ expect }) => expect.valid);
    assert.ok(valid.length > 10);
    const refused = valid.flatMap(({ id, input }) =>
      judgeResources(`${world}${input.yaml}`).refused.map((reason) => `${id}: ${reason}`),
    );
    assert.deepEqual(refused, []);
  });
}
