import assert from "node:assert/strict";
import { test } from "node:test";
import { problemsOf } from "../../objects/testing/objects.ts";
import { kubernetesGateway } from "./kind.ts";

test("what the CRD's patterns and expressions refuse is refused, with the field", () => {
  const http = { name: "a", port: 80, protocol: "HTTP" };
  const https = { name: "a", port: 443, protocol: "HTTPS" };
  const secret = { certificateRefs: [{ name: "c" }] };
  const cases: [object[], string][] = [
    [[], "spec.listeners: at least one listener is needed"],
    [[http, { ...http, port: 81 }], "spec.listeners[1].name: the name a stands twice"],
    [[http, { ...http, name: "b" }], "spec.listeners[1]: port, protocol and hostname are those of the listener a"],
    [[{ ...http, port: 0 }], "spec.listeners[0].port: 0 is not between 1 and 65535"],
    [[{ ...http, tls: secret }], "spec.listeners[0].tls: HTTP has no tls"],
    [[https], "spec.listeners[0]: HTTPS needs tls"],
    [[{ ...https, tls: {} }], "spec.listeners[0].tls: Terminate needs certificateRefs or options"],
    [[{ ...https, tls: { mode: "Passthrough" } }], "spec.listeners[0].tls.mode: HTTPS ends TLS"],
    [
      [{ name: "a", port: 70, protocol: "TCP", hostname: "a.example.com" }],
      "spec.listeners[0].hostname: TCP has no hosts",
    ],
    [
      [{ ...http, allowedRoutes: { namespaces: { from: "Selector" } } }],
      "spec.listeners[0].allowedRoutes.namespaces: Selector needs a selector",
    ],
  ];
  for (const [listeners, expected] of cases) {
    const [problem] = problemsOf(kubernetesGateway, { gatewayClassName: "istio", listeners });
    assert.equal(problem, expected);
  }
  assert.deepEqual(problemsOf(kubernetesGateway, { listeners: [http] }), ["spec.gatewayClassName: a class is needed"]);
  assert.deepEqual(
    problemsOf(kubernetesGateway, { gatewayClassName: "istio", listeners: [http], addresses: [{ value: "web" }] }),
    ['spec.addresses[0]: "web" is not an IP address'],
  );
  assert.deepEqual(
    problemsOf(kubernetesGateway, { gatewayClassName: "istio", listeners: [{ ...https, tls: secret }] }),
    [],
  );
});
