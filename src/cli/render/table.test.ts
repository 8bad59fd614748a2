import assert from "node:assert/strict";
import { test } from "node:test";
import { renderTable } from "./table.ts";

test("columns are as wide as their widest cell and five spaces apart", () => {
  assert.equal(
    renderTable(
      ["NAME", "STATE"],
      [
        ["a", "x"],
        ["longer", "y"],
      ],
    ),
    "NAME       STATE\na          x\nlonger     y\n",
  );
});

test("no line ends in spaces, and a table without rows is its headings", () => {
  assert.equal(renderTable(["A", "B"], [["1", ""]]), "A     B\n1\n");
  assert.equal(renderTable(["A", "B"], []), "A     B\n");
});
