// Istio's validation of WorkloadGroups, rule by rule, with those of the schema.
import { test } from "node:test";
import { checkRules } from "../../objects/testing/rules.ts";
import { workloadGroup } from "./kind.ts";

const rows: Readonly<Record<string, string>> = {
  "{template: {}}": "",
  "{metadata: {labels: {app: x}}, template: {ports: {http: 80}, serviceAccount: a, network: n1}}": "",
  "{}": "E template",
  '{metadata: {labels: {".": "~"}}, template: {}}': "E metadata.labels",
  "{template: {}, probe: {}}": "E probe",
  "{template: {}, probe: {periodSeconds: -1, tcpSocket: {port: 1}}}": "E probe.periodSeconds",
  "{template: {}, probe: {tcpSocket: {}}}": "E probe.tcpSocket.port",
  "{template: {}, probe: {tcpSocket: {port: 70000}}}": "E probe.tcpSocket.port",
  "{template: {}, probe: {tcpSocket: {port: 80}}}": "",
  "{template: {}, probe: {httpGet: {}}}": "E probe.httpGet.port",
  "{template: {}, probe: {httpGet: {port: 80}}}": "",
  "{template: {}, probe: {httpGet: {port: 80, scheme: HTTPS, path: /x, host: 1.2.3.4, httpHeaders: [{name: a, value: b}]}}}":
    "",
  "{template: {}, probe: {httpGet: {port: 80, scheme: http}}}": "E probe.httpGet.scheme",
  '{template: {}, probe: {httpGet: {port: 80, httpHeaders: [{name: "", value: b}]}}}':
    "E probe.httpGet.httpHeaders[0].name",
  '{template: {}, probe: {httpGet: {port: 80, httpHeaders: [{name: "a b", value: b}]}}}':
    "E probe.httpGet.httpHeaders[0].name",
  "{template: {}, probe: {exec: {command: []}}}": "E probe.exec.command",
  "{template: {}, probe: {exec: {}}}": "E probe.exec.command",
  "{template: {}, probe: {exec: {command: [ls]}}}": "",
  "{template: {}, probe: {grpc: {port: 80}}}": "",
  "{template: {}, probe: {grpc: {}}}": "E probe.grpc.port",
  "{template: {}, probe: {grpc: {port: 80}, exec: {command: [ls]}}}": "E probe",
  "{template: {ports: {http: 0}}}": 'E template.ports["http"]',
  "{template: {ports: {http: 70000}}}": 'E template.ports["http"]',
  '{template: {address: "_bad$"}}': "E template.address",
  '{template: {address: "unix:///a", ports: {a: 1}}}': "E template.ports",
  '{template: {address: "1.2.3.4"}}': "",
  "{template: {labels: {a: b}, weight: 3, locality: a/b}}": "",
};

test("what is refused and what is warned of, with the field", () => {
  checkRules(workloadGroup, rows);
});
