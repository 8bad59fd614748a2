import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLayers, readRules } from "./layers.ts";

const rules = readRules(`
## The parts

| part | its one reason | may import |
|---|---|---|
| \`base\` | primitives | |
| \`mesh\` | meaning, not \`I/O\` | \`base\` |
| \`proxy\` | traffic | \`base\` |

### Inside \`mesh\`

| layer | its reason | may import |
|---|---|---|
| \`objects\` | as written | |
| \`kinds\` | one kind | \`objects\` |
| \`kinds/any\` | all of them | \`kinds\` |
| \`names.ts\` | names | |
| \`compile\` | resources | \`objects\`, \`kinds\`, \`names.ts\` |

## Libraries by part

| part | libraries |
|---|---|
| \`mesh\` | \`yaml\` |
`);

const check = (path: string, text: string): string[] => checkLayers([{ path, text }], rules);

test("an import along the direction is accepted", () => {
  assert.deepEqual(
    check(
      "src/mesh/a.ts",
      'import { x } from "#base/issue.ts";\nimport { parse } from "yaml";\nimport y from "./b.ts";',
    ),
    [],
  );
});

test("an import against the direction names file, line and both parts", () => {
  assert.deepEqual(check("src/proxy/a.ts", '\nimport { x } from "#mesh/catalog.ts";'), [
    "src/proxy/a.ts:2 proxy may not import mesh (#mesh/catalog.ts)",
  ]);
});

test("an import over several lines and a lazy import are seen", () => {
  assert.equal(
    check("src/proxy/a.ts", 'import {\n  a,\n  b,\n} from "#mesh/b.ts";\nconst c = await import("#mesh/c.ts");').length,
    2,
  );
});

test("a relative path may not leave the part", () => {
  assert.match(check("src/proxy/a.ts", 'export { x } from "../mesh/catalog.ts";')[0] ?? "", /crossed with #part/);
});

test("mesh may not use files, sockets or processes", () => {
  assert.match(check("src/mesh/a.ts", 'import { readFileSync } from "node:fs";')[0] ?? "", /mesh is pure/);
});

test("a library needs a row", () => {
  assert.match(check("src/proxy/a.ts", 'import { parse } from "yaml";')[0] ?? "", /may not use the library yaml/);
});

test("a folder without a row is an error", () => {
  assert.match(check("src/helpers/a.ts", "")[0] ?? "", /has no row/);
});

test("a layer inside a part imports only the layers of its row", () => {
  assert.deepEqual(check("src/mesh/compile/a.ts", 'import { x } from "../kinds/pod/spec.ts";'), []);
  assert.deepEqual(check("src/mesh/compile/a.ts", 'import { x } from "../names.ts";'), []);
  assert.deepEqual(check("src/mesh/objects/a.ts", 'import { x } from "../compile/a.ts";'), [
    "src/mesh/objects/a.ts:1 inside mesh, objects may not import compile (src/mesh/compile/a.ts)",
  ]);
});

test("the longest row that fits is the layer of a file", () => {
  assert.deepEqual(check("src/mesh/kinds/any-kind.ts", 'import { x } from "./pod/spec.ts";'), []);
  assert.match(check("src/mesh/compile/a.ts", 'import { x } from "../kinds/any-kind.ts";')[0] ?? "", /kinds\/any/);
});

test("what lies at the root of a part imports every layer, and no layer imports it", () => {
  assert.deepEqual(check("src/mesh/start.ts", 'import { x } from "./compile/a.ts";'), []);
  assert.match(check("src/mesh/compile/a.ts", 'import { x } from "../start.ts";')[0] ?? "", /compile may not import/);
});

test("a kind does not import another kind", () => {
  assert.deepEqual(check("src/mesh/kinds/pod/a.ts", 'import { x } from "./spec.ts";'), []);
  assert.match(check("src/mesh/kinds/pod/a.ts", 'import { x } from "../node/spec.ts";')[0] ?? "", /another kind/);
});

test("a folder without a row is an error where the part has layers", () => {
  assert.match(check("src/mesh/extra/a.ts", 'import { x } from "../objects/a.ts";')[0] ?? "", /has no row/);
});
