import assert from "node:assert/strict";
import { test } from "node:test";
import { problemsOf } from "../../objects/testing/objects.ts";
import { backendTlsPolicy } from "./kind.ts";

const target = { group: "", kind: "Service", name: "a" };
const system = { wellKnownCACertificates: "System", hostname: "a.example.com" };

test("a policy says whom it is about, by which roots and under which name", () => {
  assert.deepEqual(problemsOf(backendTlsPolicy, { targetRefs: [target], validation: system }), []);
  const cases: [object, string][] = [
    [{ targetRefs: [], validation: system }, "spec.targetRefs: a target is needed"],
    [
      { targetRefs: [{ group: "", kind: "Service" }], validation: system },
      "spec.targetRefs[0]: kind and name are needed",
    ],
    [
      { targetRefs: [target], validation: { hostname: "a.example.com" } },
      "spec.validation: exactly one of caCertificateRefs and wellKnownCACertificates is needed",
    ],
    [
      { targetRefs: [target], validation: { ...system, hostname: "" } },
      "spec.validation.hostname: a hostname is needed",
    ],
    [
      { targetRefs: [target], validation: { ...system, hostname: "*.example.com" } },
      "spec.validation.hostname: the hostname is a wildcard",
    ],
    [
      { targetRefs: [target], validation: { ...system, subjectAltNames: [{ type: "URI", hostname: "a" }] } },
      "spec.validation.subjectAltNames[0]: URI has uri and nothing else",
    ],
  ];
  for (const [spec, expected] of cases) assert.deepEqual(problemsOf(backendTlsPolicy, spec), [expected]);
});
