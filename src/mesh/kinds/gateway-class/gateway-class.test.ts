import assert from "node:assert/strict";
import { test } from "node:test";
import { problemsOf } from "../../objects/testing/objects.ts";
import { gatewayClass } from "./kind.ts";

test("a GatewayClass names its controller by domain and path", () => {
  assert.deepEqual(problemsOf(gatewayClass, { controllerName: "istio.io/gateway-controller" }), []);
  for (const controllerName of ["istio", "istio.io/", "Istio.io/x"]) {
    assert.deepEqual(problemsOf(gatewayClass, { controllerName }), [
      `spec.controllerName: "${controllerName}" is not a controller name`,
    ]);
  }
});
