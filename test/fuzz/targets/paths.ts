// Request targets: the canonical path is canonical, and holds nothing that a server could take for another path.
import assert from "node:assert/strict";
import fc from "fast-check";
import { isValidAuthority, mergeSlashes, normalizePath, splitAbsoluteForm } from "#proxy/decide/request-path.ts";
import { sentences } from "../bytes.ts";
import { type FuzzTarget, fuzzTarget } from "../fuzz-target.ts";

const words: readonly string[] =
  "/ // . .. ; ? # % @ : \\ [ ] a A e 2 2e %2e %2E %2f %5C %61 %00 %25 %252e ..; ;x=1 http:// HTTPS:// a.b:80 [::1]".split(
    " ",
  );

export const paths: FuzzTarget = fuzzTarget(
  "paths",
  fc.property(sentences(words, 16), (bytes) => {
    const text = bytes.toString("latin1");
    const split = splitAbsoluteForm(text);
    if (split !== null) {
      assert.equal(split.path[0], "/");
      assert.doesNotMatch(split.authority, /[/?#@]/);
    }
    isValidAuthority(text);
    const path = normalizePath(`/${text}`);
    if (path === null) return;
    assert.equal(path[0], "/");
    assert.equal(normalizePath(path), path);
    const plain = path.split("?", 1)[0] ?? "";
    assert.doesNotMatch(plain, /\/\.\.?(;|\/|$)|\\|%2e|%00/i);
    assert.doesNotMatch(mergeSlashes(path).split("?", 1)[0] ?? "", /\/\//);
  }),
);
