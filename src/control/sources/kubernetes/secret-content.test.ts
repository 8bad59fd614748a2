import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutOtherContent } from "./secret-content.ts";

test("of Secrets only certificates and credentials of registries are kept, and no copy of the rest", () => {
  const kept = withoutOtherContent({
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name: "a",
      resourceVersion: "7",
      annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}", "outrigger.dev/source": "a.yaml:1" },
    },
    type: "Opaque",
    data: { "tls.crt": "YQ==", ".dockerconfigjson": "e30=", password: "c2VjcmV0", "ca-key.pem": "a2V5" },
  });
  assert.deepEqual(kept, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "a", resourceVersion: "7", annotations: { "outrigger.dev/source": "a.yaml:1" } },
    type: "Opaque",
    data: { "tls.crt": "YQ==", ".dockerconfigjson": "e30=" },
  });
  const other = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" }, data: { password: "x" } };
  assert.equal(withoutOtherContent(other), other);
});
