// Istio's validation of Gateways, rule by rule, with those of the schema.
import { test } from "node:test";
import { checkRules } from "../../objects/testing/rules.ts";
import { gateway } from "./kind.ts";

const rows: Readonly<Record<string, string>> = {
  "{}": "E servers",
  "{servers: []}": "E servers",
  "{servers: [{hosts: [foo.bar.com], port: {name: a, number: 7, protocol: http}}]}": "",
  "{servers: [{hosts: [], port: {name: a, number: 7, protocol: http}}]}": "E servers[0].hosts",
  '{servers: [{hosts: ["foo.*.com"], port: {name: a, number: 7, protocol: http}}]}': "E servers[0].hosts[0]",
  '{servers: [{hosts: ["*"], port: {name: a, number: 7, protocol: http}}]}': "",
  '{servers: [{hosts: ["*/*"], port: {name: a, number: 7, protocol: http}}]}': "",
  '{servers: [{hosts: ["ns1/a.com", "./b.com"], port: {name: a, number: 7, protocol: http}}]}': "",
  '{servers: [{hosts: ["~/a.com"], port: {name: a, number: 7, protocol: http}}]}': "E servers[0].hosts[0]",
  '{servers: [{hosts: ["short"], port: {name: a, number: 7, protocol: http}}]}': "E servers[0].hosts[0]",
  '{servers: [{hosts: ["ns1/short"], port: {name: a, number: 7, protocol: http}}]}': "E servers[0].hosts[0]",
  '{servers: [{hosts: ["*foo.com"], port: {name: a, number: 7, protocol: http}}]}': "E servers[0].hosts[0]",
  '{servers: [{hosts: ["1.2.3.4"], port: {name: a, number: 7, protocol: http}}]}': "",
  '{servers: [{hosts: ["a.com"]}]}': "E servers[0].port.number, E servers[0].port.protocol, E servers[0].port",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 0, protocol: http}}]}': "E servers[0].port.number",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 66000, protocol: http}}]}': "E servers[0].port.number",
  '{servers: [{hosts: ["a.com"], port: {number: 80, protocol: http}}]}': "E servers[0].port",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 80, protocol: carrier_pigeon}}]}':
    "E servers[0].port.protocol",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 80, protocol: ""}}]}': "E servers[0].port.protocol",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 80, protocol: http, targetPort: 80}}]}':
    "E servers[0].port.targetPort",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 80, protocol: http}},{hosts: ["b.com"], port: {name: a, number: 81, protocol: http}}]}':
    "E servers[1].port.name",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 80, protocol: http}, bind: "1.2.3.4"}]}': "",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 80, protocol: http}, bind: "foo"}]}': "E servers[0].bind",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 0, protocol: http}, bind: "unix:///a"}]}': "",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 0, protocol: http}, bind: "unix://@foobar"}]}': "",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 80, protocol: http}, bind: "unix://@foobar"}]}':
    "E servers[0].port.number",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 0, protocol: http}, bind: "unix://a"}]}': "E servers[0].bind",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}}]}': "E servers[0]",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: tls}}]}': "E servers[0]",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: tcp}, tls: {mode: SIMPLE, credentialName: a}}]}':
    "E servers[0].tls",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 80, protocol: http}, tls: {mode: SIMPLE, credentialName: a}}]}':
    "E servers[0].tls",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 80, protocol: http}, tls: {httpsRedirect: true}}]}': "",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 80, protocol: http}, tls: {}}]}': "",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: SIMPLE, credentialName: a, httpsRedirect: true}}]}':
    "W servers[0].tls.httpsRedirect",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: SIMPLE, credentialName: a}}]}':
    "",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: MUTUAL, credentialName: a}}]}':
    "",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: OPTIONAL_MUTUAL, credentialName: a}}]}':
    "",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: OPTIONAL_MUTUAL, serverCertificate: a, privateKey: b}}]}':
    "E servers[0].tls",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: SIMPLE}}]}':
    "E servers[0].tls",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: SIMPLE, serverCertificate: a}}]}':
    "E servers[0].tls",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: SIMPLE, privateKey: a}}]}':
    "E servers[0].tls",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: MUTUAL, serverCertificate: a, privateKey: b}}]}':
    "E servers[0].tls",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: SIMPLE, serverCertificate: a, privateKey: b, caCrl: c}}]}':
    "E servers[0].tls.caCrl",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: ISTIO_MUTUAL, serverCertificate: a, privateKey: b}}]}':
    "E servers[0].tls",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: ISTIO_MUTUAL, credentialName: a}}]}':
    "E servers[0].tls",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: ISTIO_MUTUAL}}]}': "",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: tls}, tls: {mode: AUTO_PASSTHROUGH}}]}': "",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: tls}, tls: {mode: PASSTHROUGH, credentialName: a}}]}':
    "W servers[0].tls",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: tls}, tls: {mode: AUTO_PASSTHROUGH, serverCertificate: a}}]}':
    "W servers[0].tls",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: SIMPLE, credentialName: a, minProtocolVersion: TLSV1_0}}]}':
    "W servers[0].tls.minProtocolVersion",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: SIMPLE, credentialName: a, minProtocolVersion: TLSV1_1}}]}':
    "W servers[0].tls.minProtocolVersion",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: SIMPLE, credentialName: a, cipherSuites: [not-a-cipher]}}]}':
    "W servers[0].tls.cipherSuites[0]",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: SIMPLE, credentialName: a, cipherSuites: [ECDHE-ECDSA-AES128-SHA,ECDHE-ECDSA-AES128-SHA]}}]}':
    "W servers[0].tls.cipherSuites[1]",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: SIMPLE, credentialName: a, cipherSuites: [ECDHE-ECDSA-AES128-SHA, ECDHE-RSA-AES256-GCM-SHA384]}}]}':
    "",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: SIMPLE, credentialNames: [a,b]}}]}':
    "",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 443, protocol: https}, tls: {mode: SIMPLE, credentialNames: [a,b,c]}}]}':
    "E servers[0].tls.credentialNames",
  '{selector: {a: b}, servers: [{hosts: ["a.com"], port: {name: a, number: 80, protocol: GRPC-WEB}}]}': "",
  '{servers: [{hosts: ["a.com"], port: {name: a, number: 80, protocol: HTTP2}, defaultEndpoint: "127.0.0.1:80", name: s}]}':
    "",
};

test("what is refused and what is warned of, with the field", () => {
  checkRules(gateway, rows);
});
