import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIssue } from "#base/issue.ts";
import { decodeSourceAnnotation, encodeSourceAnnotation, positionIn, positionInText } from "./source-annotation.ts";
import { type ParsedObject, parseYamlDocuments } from "./yaml.ts";

const virtualService = `# routes
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts:
  - reviews
  http:
  - match:
    - headers:
        end-user: { exact: jason }
    route: [{ destination: { host: reviews } }]
`;

function only(objects: readonly ParsedObject[]): ParsedObject {
  assert.equal(objects.length, 1);
  return objects[0] as ParsedObject;
}

test("every field knows its line and column, and a missing one answers with what encloses it", () => {
  const object = only(parseYamlDocuments("a.yaml", virtualService).objects);
  assert.deepEqual([object.line, object.column], [2, 1]);
  assert.deepEqual(object.position("spec.http[0].match[0].headers.end-user.exact"), {
    file: "a.yaml",
    line: 12,
    column: 21,
  });
  assert.deepEqual(object.position('spec.http[0].match[0].headers["end-user"]'), {
    file: "a.yaml",
    line: 12,
    column: 9,
  });
  assert.deepEqual(object.position("spec.http[0].timeout"), { file: "a.yaml", line: 10, column: 5 });
  assert.deepEqual(object.position(""), { file: "a.yaml", line: 2, column: 1 });
});

test("a document that is not YAML costs only itself", () => {
  const { objects, issues } = parseYamlDocuments(
    "a.yaml",
    "kind: {\n---\napiVersion: v1\nkind: Namespace\nmetadata: { name: a }\n---\nx: 'open\n---\napiVersion: v1\nkind: Namespace\nmetadata: { name: b }\n",
  );
  assert.deepEqual(
    objects.map((item) => [item.object.metadata.name, item.line]),
    [
      ["a", 3],
      ["b", 9],
    ],
  );
  assert.deepEqual(
    issues.map((issue) => issue.position?.line),
    [1, 7],
  );
});

test("a key that stands twice is an error at its place", () => {
  const { objects, issues } = parseYamlDocuments(
    "a.yaml",
    "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  name: b\n",
  );
  assert.equal(objects.length, 0);
  assert.deepEqual(issues.map(formatIssue), [
    "a.yaml:5:3 error OUT0001 this key stands twice in the same object (fix: remove or rename one of them)",
  ]);
});

test("values read as Kubernetes reads them: 1.1 booleans and octal numbers, but no dates or sexagesimal numbers", () => {
  const { objects } = parseYamlDocuments(
    "a.yaml",
    "apiVersion: v1\nkind: X\nmetadata: { name: a }\nvalues: { a: yes, b: off, c: 2001-01-01, d: '10:30', e: 10:30:00, f: 0644, g: ~ }\n",
  );
  assert.deepEqual(only(objects).object["values"], {
    a: true,
    b: false,
    c: "2001-01-01",
    d: "10:30",
    e: "10:30:00",
    f: 420,
    g: null,
  });
});

test("the items of a List are objects of their own, with their own positions", () => {
  const { objects } = parseYamlDocuments(
    "a.yaml",
    "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: { name: a }\n- apiVersion: v1\n  kind: Namespace\n  metadata: { name: b }\n",
  );
  assert.deepEqual(
    objects.map((item) => [item.object.metadata.name, item.position("metadata.name").line]),
    [
      ["a", 6],
      ["b", 9],
    ],
  );
});

test("a name that YAML reads as a boolean is reported with the way out", () => {
  const { issues } = parseYamlDocuments("a.yaml", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: on\n");
  assert.deepEqual(issues.map(formatIssue), [
    "a.yaml:4:3 error OUT0001 metadata.name is true, not text (fix: put it in quotes)",
  ]);
});

test("a name that only looks like a number is a name", () => {
  const { objects, issues } = parseYamlDocuments(
    "a.yaml",
    "apiVersion: v1\nkind: X\nmetadata: { name: e2 }\nlist: [., -e1, 1e3, 1.5, .5, 1_000, 0x10, 010]\n",
  );
  assert.deepEqual(issues, []);
  assert.equal(only(objects).object.metadata.name, "e2");
  assert.deepEqual(only(objects).object["list"], [".", "-e1", 1000, 1.5, 0.5, 1000, 16, 8]);
});

test("documents without kind, name or metadata are reported, empty ones are not", () => {
  const { issues } = parseYamlDocuments(
    "a.yaml",
    "---\n# nothing\n---\nfoo: 1\n---\n- 1\n---\napiVersion: v1\nkind: Pod\n",
  );
  assert.deepEqual(
    issues.map((issue) => [issue.position?.line, issue.message]),
    [
      [4, "the document is no object of Kubernetes: it has no apiVersion and kind"],
      [6, "the document is no object of Kubernetes: it has no apiVersion and kind"],
      [8, "the object has no metadata"],
    ],
  );
});

test("anchors and merge keys work, and an alias bomb is refused", () => {
  const { objects } = parseYamlDocuments(
    "a.yaml",
    "apiVersion: v1\nkind: X\nmetadata: { name: a }\nbase: &base { a: 1 }\nmore: { <<: *base, b: 2 }\n",
  );
  assert.deepEqual(only(objects).object["more"], { a: 1, b: 2 });
  const bomb = ["a: &a [x,x,x,x,x,x,x,x,x]"];
  for (const [name, last] of ["ba", "cb", "dc", "ed"].map((pair) => [...pair])) {
    bomb.push(`${name}: &${name} [${Array.from({ length: 9 }, () => `*${last}`).join(",")}]`);
  }
  const { issues } = parseYamlDocuments("a.yaml", bomb.join("\n"));
  assert.match(issues[0]?.message ?? "", /alias/);
});

test("nesting beyond the limit is an issue and no crash", () => {
  for (const depth of [101, 2000, 20_000]) {
    const { objects, issues } = parseYamlDocuments("a.yaml", `a: ${"[".repeat(depth)}${"]".repeat(depth)}`);
    assert.equal(objects.length, 0);
    assert.ok(issues.some((issue) => issue.code === "OUT0002"));
  }
});

test("positions survive the annotation that goes through an API server", () => {
  const object = only(parseYamlDocuments("a.yaml", virtualService).objects);
  const source = decodeSourceAnnotation(encodeSourceAnnotation(object, true));
  assert.ok(source);
  for (const path of ["spec.hosts[0]", "spec.http[0].match[0].headers.end-user", "spec.http[0].none", "status", ""]) {
    assert.deepEqual(positionIn(source, path), object.position(path), path);
  }
});

test("a place within a literal block survives too", () => {
  const text =
    "# c\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata:\n  other: 'a'\n  mesh: |\n\n      a: 1\n      b: 2\n";
  const object = only(parseYamlDocuments("a.yaml", text).objects);
  assert.deepEqual(object.positionInText("data.mesh", 3, 2), { file: "a.yaml", line: 10, column: 8 });
  assert.deepEqual(object.positionInText("data.other", 1, 1), object.position("data.other"));
  const source = decodeSourceAnnotation(encodeSourceAnnotation(object, false));
  assert.ok(source);
  assert.deepEqual(positionInText(source, "data.mesh", 3, 2), { file: "a.yaml", line: 10, column: 8 });
  assert.equal(positionInText(source, "data.none", 1, 1), undefined);
});

test("the annotation is bounded: deep fields of a large object fall back to what encloses them", () => {
  const route = "  - match: [{ uri: { exact: /a } }]\n    route: [{ destination: { host: reviews } }]\n";
  const text = `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: a }\nspec:\n  http:\n${route.repeat(1000)}`;
  const object = only(parseYamlDocuments("a.yaml", text).objects);
  const annotation = encodeSourceAnnotation(object, true);
  assert.ok(annotation.length < 40_000);
  const source = decodeSourceAnnotation(annotation);
  assert.ok(source);
  assert.equal(positionIn(source, "spec.http[900].route[0].destination.host").line, 1806);
});

test("an annotation that anybody wrote is read with suspicion", () => {
  for (const text of [undefined, "", "{", "[]", "null", '{"file":1}', '{"file":"a","line":-1}']) {
    assert.equal(decodeSourceAnnotation(text), undefined);
  }
  const source = decodeSourceAnnotation('{"file":"a","line":1,"fields":{"x":["a",2],"y":[3,4],"z":7}}');
  assert.deepEqual([...(source?.fields ?? [])], [["y", [3, 4]]]);
});
