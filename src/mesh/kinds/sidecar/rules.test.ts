// Istio's validation of Sidecars, rule by rule, with those of the schema.
import { test } from "node:test";
import { checkRules } from "../../objects/testing/rules.ts";
import { sidecar } from "./kind.ts";

const rows: Readonly<Record<string, string>> = {
  "{}": "E ",
  '{workloadSelector: {labels: {a: "*"}}, egress: [{hosts: ["*/*"]}]}': "E workloadSelector.labels",
  '{workloadSelector: {}, egress: [{hosts: ["*/*"]}]}': "W workloadSelector",
  '{egress: [{hosts: ["*/*"]}]}': "",
  '{egress: [{hosts: ["./*", "istio-system/*"]}]}': "",
  "{inboundConnectionPool: {http: {http2MaxRequests: 1}}}": "",
  "{inboundConnectionPool: {}}": "E inboundConnectionPool",
  "{outboundTrafficPolicy: {mode: ALLOW_ANY}}": "",
  "{egress: [{port: {number: 9000}, hosts: []}]}": "E egress[0].hosts",
  "{egress: [{}]}": "E egress[0].hosts",
  "{ingress: [{}]}": "E ingress[0].port.number",
  '{ingress: [{defaultEndpoint: "127.0.0.1:80"}]}': "E ingress[0].port.number",
  '{ingress: [{port: {number: 90, protocol: http, name: foo}, defaultEndpoint: "127.0.0.1:9080"}]}': "",
  '{ingress: [{port: {number: 90, protocol: http, name: foo}, defaultEndpoint: "[::1]:9080"}]}': "",
  '{ingress: [{port: {number: 90, protocol: http, name: foo}, defaultEndpoint: "0.0.0.0:9080"}]}': "",
  '{ingress: [{port: {number: 90, protocol: http, name: foo}, defaultEndpoint: ":9080"}]}': "",
  '{ingress: [{port: {number: 90, protocol: http, name: foo}, defaultEndpoint: "unix:///var/run/x"}]}': "",
  "{ingress: [{port: {number: 90, protocol: http, name: foo}}]}": "",
  "{ingress: [{port: {number: 90, protocol: http}}]}": "",
  '{ingress: [{port: {number: 90, protocol: http, name: foo}, defaultEndpoint: "1.2.3.4:9080"}]}':
    "E ingress[0].defaultEndpoint",
  '{ingress: [{port: {number: 90, protocol: http, name: foo}, defaultEndpoint: "127.0.0.1:hi"}]}':
    "E ingress[0].defaultEndpoint",
  '{ingress: [{port: {number: 90, protocol: http, name: foo}, defaultEndpoint: "127.0.0.1:70000"}]}':
    "E ingress[0].defaultEndpoint",
  '{ingress: [{port: {number: 90, protocol: http, name: foo}, defaultEndpoint: "127.0.0.1"}]}':
    "E ingress[0].defaultEndpoint",
  '{ingress: [{port: {number: 90, protocol: http, name: foo}, defaultEndpoint: "unix://a/b"}]}':
    "E ingress[0].defaultEndpoint",
  "{ingress: [{port: {number: 90, protocol: http, name: foo}},{port: {number: 90, protocol: http, name: bar}}]}":
    "E ingress[1].port",
  "{ingress: [{port: {number: 0, protocol: http, name: foo}}]}": "E ingress[0].port.number",
  "{ingress: [{port: {number: 90, protocol: nope, name: foo}}]}": "E ingress[0].port.protocol",
  '{ingress: [{port: {number: 90, protocol: http, name: "foo_bar"}}]}': "E ingress[0].port.name",
  '{ingress: [{port: {number: 90, protocol: http, name: foo}, bind: "foo.com"}]}': "E ingress[0].bind",
  '{ingress: [{port: {number: 90, protocol: http, name: foo}, bind: "unix:///x"}]}': "E ingress[0].bind",
  "{ingress: [{port: {number: 90, protocol: http, name: foo, targetPort: 8}}]}": "E ingress[0].port.targetPort",
  "{ingress: [{port: {number: 90, protocol: http, name: foo}, tls: {mode: SIMPLE, subjectAltNames: [a], serverCertificate: a, privateKey: b}}]}":
    "E ingress[0].tls",
  "{ingress: [{port: {number: 90, protocol: https, name: foo}, tls: {mode: SIMPLE, credentialName: a}}]}":
    "E ingress[0].tls",
  "{ingress: [{port: {number: 90, protocol: https, name: foo}, tls: {mode: ISTIO_MUTUAL}}]}":
    "E ingress[0].tls.mode, E ingress[0].tls",
  "{ingress: [{port: {number: 90, protocol: https, name: foo}, tls: {mode: AUTO_PASSTHROUGH}}]}":
    "E ingress[0].tls.mode, E ingress[0].tls",
  "{ingress: [{port: {number: 90, protocol: https, name: foo}, tls: {mode: SIMPLE, httpsRedirect: true, serverCertificate: a, privateKey: b}}]}":
    "E ingress[0].tls",
  "{ingress: [{port: {number: 90, protocol: https, name: foo}, tls: {mode: SIMPLE, serverCertificate: a, privateKey: b}}]}":
    "",
  "{ingress: [{port: {number: 90, protocol: https, name: foo}, tls: {mode: MUTUAL, serverCertificate: a, privateKey: b, caCertificates: c}}]}":
    "",
  "{ingress: [{port: {number: 90, protocol: https, name: foo}, tls: {mode: MUTUAL, serverCertificate: a, privateKey: b}}]}":
    "E ingress[0].tls",
  "{ingress: [{port: {number: 90, protocol: https, name: foo}, tls: {mode: SIMPLE, serverCertificate: a, privateKey: b, caCrl: c}}]}":
    "E ingress[0].tls.caCrl",
  "{ingress: [{port: {number: 90, protocol: tcp, name: foo}, connectionPool: {http: {http2MaxRequests: 1}}}]}":
    "W ingress[0].connectionPool.http",
  "{ingress: [{port: {number: 90, protocol: tcp, name: foo}, connectionPool: {}}]}": "E ingress[0].connectionPool",
  "{ingress: [{port: {number: 90, protocol: http, name: foo}, connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}}]}":
    "E ingress[0].connectionPool.http.h2UpgradePolicy",
  '{egress: [{port: {number: 90, protocol: http, name: foo}, hosts: ["*/*"]},{hosts: ["*/*"]}]}': "",
  '{egress: [{hosts: ["*/*"]},{port: {number: 90, protocol: http, name: foo}, hosts: ["*/*"]}]}': "E egress[0]",
  '{egress: [{hosts: ["*/*"]},{hosts: ["*/*"]}]}': "E egress[0]",
  '{egress: [{port: {number: 90, protocol: http, name: foo}, hosts: ["*/*"]},{port: {number: 90, protocol: http, name: bar}, hosts: ["*/*"]}]}':
    "E egress[1]",
  '{egress: [{port: {number: 0, protocol: http, name: foo}, hosts: ["*/*"]}]}': "E egress[0].port.number",
  '{egress: [{port: {number: 0, protocol: http, name: foo}, bind: "unix:///tmp/a", hosts: ["*/*"]}]}': "",
  '{egress: [{port: {number: 0, protocol: http, name: foo}, bind: "unix:///tmp/a", captureMode: IPTABLES, hosts: ["*/*"]}]}':
    "E egress[0].captureMode",
  '{egress: [{port: {number: 0, protocol: http, name: foo}, bind: "unix:///tmp/a", hosts: ["*/*"]},{port: {number: 0, protocol: http, name: foo}, bind: "unix:///tmp/a", hosts: ["*/*"]}]}':
    "E egress[1]",
  '{egress: [{port: {number: 80, protocol: http, name: foo}, bind: "unix:///tmp/a", hosts: ["*/*"]}]}':
    "E egress[0].bind",
  '{egress: [{port: {number: 80, protocol: http2x, name: foo}, hosts: ["*/*"]}]}': "E egress[0].port.protocol",
  '{egress: [{port: {number: 80, protocol: "", name: foo}, hosts: ["*/*"]}]}': "",
  '{egress: [{port: {number: 80, name: foo}, hosts: ["*/*"]}]}': "",
  '{egress: [{port: {number: 80, protocol: http, name: "a b"}, hosts: ["*/*"]}]}': "E egress[0].port.name",
  '{egress: [{hosts: ["foo"]}]}': "E egress[0].hosts[0]",
  '{egress: [{hosts: ["foo.com"]}]}': "E egress[0].hosts[0]",
  '{egress: [{hosts: ["ns/foo"]}]}': "E egress[0].hosts[0]",
  '{egress: [{hosts: ["ns1/foo.com"]}]}': "",
  '{egress: [{hosts: ["~/*"]}]}': "",
  '{egress: [{hosts: ["ns1/*foo.com"]}]}': "E egress[0].hosts[0]",
  '{egress: [{hosts: ["ns1/*.foo.com"]}]}': "",
  '{egress: [{hosts: ["/foo.com"]}]}': "E egress[0].hosts[0]",
  '{egress: [{hosts: ["ns1/"]}]}': "E egress[0].hosts[0]",
  '{egress: [{hosts: ["n$/a.com"]}]}': "E egress[0].hosts[0]",
  '{egress: [{hosts: ["ns1/a.*.com"]}]}': "E egress[0].hosts[0]",
  '{egress: [{hosts: ["ns1/1.2.3.4"]}]}': "E egress[0].hosts[0]",
  '{egress: [{hosts: ["test/a.com","test/a.com"]}]}': "W egress[0].hosts[1]",
  '{egress: [{hosts: ["test/*","test/a.com"]}]}': "W egress[0].hosts[1]",
  '{egress: [{hosts: ["test/a.com","test/*"]}]}': "W egress[0].hosts[1]",
  '{egress: [{hosts: ["*/*","test/a.com"]}]}': "W egress[0].hosts",
  '{egress: [{hosts: ["./a.com","foo/a.com"]}]}': "",
  '{egress: [{hosts: ["*/*"]}], outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: foo.bar, port: {number: 80}, subset: sub}}}':
    "",
  '{egress: [{hosts: ["*/*"]}], outboundTrafficPolicy: {mode: REGISTRY_ONLY, egressProxy: {host: foo.bar, port: {number: 80}}}}':
    "E outboundTrafficPolicy.egressProxy",
  '{egress: [{hosts: ["*/*"]}], outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: foo.bar}}}':
    "E outboundTrafficPolicy.egressProxy",
  '{egress: [{hosts: ["*/*"]}], outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: "*", port: {number: 80}}}}':
    "E outboundTrafficPolicy.egressProxy.host",
  '{egress: [{hosts: ["*/*"]}], outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: foo.bar, port: {number: 70000}}}}':
    "E outboundTrafficPolicy.egressProxy.port.number",
};

test("what is refused and what is warned of, with the field", () => {
  checkRules(sidecar, rows);
});
