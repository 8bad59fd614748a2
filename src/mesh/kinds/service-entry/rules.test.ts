// Istio's validation of ServiceEntries, rule by rule, with those of the schema.
import { test } from "node:test";
import { checkRules } from "../../objects/testing/rules.ts";
import { serviceEntry } from "./kind.ts";

const rows: Readonly<Record<string, string>> = {
  '{hosts: ["*.google.com"], ports: [{number: 80, protocol: http, name: h}], endpoints: [{address: lon.google.com, ports: {h: 8080}}, {address: in.google.com}], resolution: DNS}':
    "",
  '{hosts: ["*.google.com"], ports: [{number: 80, protocol: http, name: h}]}': "",
  '{hosts: ["*"], ports: [{number: 80, protocol: http, name: h}]}': "E hosts[0]",
  '{hosts: ["*.*.com"], ports: [{number: 80, protocol: http, name: h}]}': "E hosts[0]",
  '{hosts: ["*foo.com"], ports: [{number: 80, protocol: http, name: h}]}': "W hosts[0]",
  "{hosts: [], ports: [{number: 80, protocol: http, name: h}]}": "E hosts",
  "{hosts: [a.com]}": "",
  "{hosts: [a.com], ports: [{number: 80, protocol: http, name: h}], endpoints: [{address: a.com}], resolution: NONE}":
    "E endpoints",
  "{hosts: [a.com], ports: [{number: 80, protocol: http, name: h}], endpoints: [{address: a.com}], resolution: STATIC}":
    "E endpoints[0].address",
  "{hosts: [a.com], ports: [{number: 80, protocol: http, name: h}], endpoints: [{address: 1.1.1.1}], resolution: STATIC}":
    "",
  "{hosts: [a.com], ports: [{number: 80, protocol: http, name: h}], endpoints: [{network: n1}], resolution: STATIC}":
    "W endpoints[0].address",
  "{hosts: [a.com], ports: [{number: 80, protocol: http, name: h}], resolution: STATIC}": "",
  "{hosts: [a.com], ports: [{number: 80, protocol: http, name: h}], resolution: DNS}": "",
  '{hosts: ["*.a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: DNS}': "E hosts[0]",
  '{hosts: ["*.a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: DNS_ROUND_ROBIN}': "E hosts[0]",
  '{hosts: ["*.a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: DNS, workloadSelector: {labels: {a: b}}}':
    "E hosts[0]",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: DNS, workloadSelector: {labels: {a: b}}}':
    "",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: NONE, workloadSelector: {labels: {a: b}}}':
    "W workloadSelector",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: STATIC, workloadSelector: {labels: {a: b}}}':
    "",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: STATIC, workloadSelector: {labels: {}}}':
    "W workloadSelector",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: STATIC, workloadSelector: {labels: {a: "*"}}}':
    "E workloadSelector.labels",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: STATIC, workloadSelector: {labels: {a: b}}, endpoints: [{address: 1.1.1.1}]}':
    "E endpoints",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: DNS_ROUND_ROBIN, endpoints: [{address: a.com},{address: b.com}]}':
    "E endpoints",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: DNS_ROUND_ROBIN, endpoints: [{address: a.com}]}':
    "",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: DNS, endpoints: [{address: "*.foo.com"}]}':
    "E endpoints[0].address",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: DNS, endpoints: [{address: ""}]}':
    "E endpoints[0].address",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: DNS, endpoints: [{network: n1}]}':
    "W endpoints[0].address, E endpoints[0].address",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: DNS, endpoints: [{address: a.com, ports: {x: 80}}]}':
    'E endpoints[0].ports["x"]',
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: STATIC, endpoints: [{address: 1.1.1.1, ports: {x: 80}}]}':
    'E endpoints[0].ports["x"]',
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h},{number: 81, protocol: http, name: h}]}':
    "E ports[1].name",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h},{number: 80, protocol: http, name: h2}]}':
    "E ports[1].number",
  '{hosts: ["a.com"], ports: [{number: 0, protocol: http, name: h}]}': "E ports[0].number",
  '{hosts: ["a.com"], ports: [{number: 70000, protocol: http, name: h}]}': "E ports[0].number",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: ""}]}': "E ports[0]",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: "h_x"}]}': "E ports[0].name",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: xxx, name: "h"}]}': "E ports[0].protocol",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: "h", targetPort: 90}], resolution: NONE}': "",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: "h", targetPort: 90}], resolution: DNS}': "",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: "h", targetPort: 70000}], resolution: DNS}':
    "E ports[0].targetPort",
  '{hosts: ["a.com"], addresses: ["1.2.3.4/33"], ports: [{number: 80, protocol: http, name: "h"}]}': "E addresses[0]",
  '{hosts: ["a.com"], addresses: ["a.com"], ports: [{number: 80, protocol: http, name: "h"}]}': "E addresses[0]",
  '{hosts: ["a.com"], addresses: ["1.2.3.4/16"], ports: [{number: 80, protocol: http, name: "h"}]}': "",
  '{hosts: ["a.com"], addresses: ["1.2.3.4/16"], ports: [{number: 80, protocol: http, name: "h"}], resolution: DNS}':
    "E addresses[0]",
  '{hosts: ["a.com"], addresses: ["1.2.3.4/16"], ports: [{number: 80, protocol: http, name: "h"}], resolution: STATIC}':
    "",
  '{hosts: ["a.com"], addresses: ["2001::/64"], ports: [{number: 80, protocol: http, name: "h"}], resolution: STATIC}':
    "",
  '{hosts: ["a.com","b.com"], ports: [{number: 80, protocol: tcp, name: "h"}], addresses: [1.2.3.4], resolution: STATIC}':
    "E hosts",
  '{hosts: ["a.com","b.com"], ports: [{number: 80, protocol: tcp, name: "h"}], addresses: [1.2.3.4], resolution: DNS}':
    "E hosts",
  '{hosts: ["a.com","b.com"], ports: [{number: 80, protocol: mongo, name: "h"}], addresses: [1.2.3.4], resolution: DNS}':
    "E hosts",
  '{hosts: ["a.com","b.com"], ports: [{number: 80, protocol: tcp, name: "h"}], addresses: [1.2.3.4], resolution: NONE}':
    "",
  '{hosts: ["a.com","b.com"], ports: [{number: 80, protocol: http, name: "h"}], addresses: [1.2.3.4], resolution: STATIC}':
    "",
  '{hosts: ["a.com","b.com"], ports: [{number: 443, protocol: tls, name: "h"}], resolution: DNS}': "",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: tcp, name: "h"}], resolution: NONE}': "W addresses",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: tcp, name: "h"}], resolution: DNS}': "",
  '{hosts: ["a.com"], ports: [{number: 80, name: "h"}], resolution: STATIC, endpoints: [{address: 1.2.3.4}]}': "",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h},{number: 81, protocol: http, name: i}], resolution: STATIC, endpoints: [{address: "unix:///a"}]}':
    "E endpoints[0].address",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: STATIC, endpoints: [{address: "unix:///a"}]}':
    "",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], resolution: DNS, endpoints: [{address: "unix:///a"}]}':
    "E endpoints[0].address",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], exportTo: [".", "foo"]}': "",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], exportTo: ["*", "foo"]}': "E exportTo",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], exportTo: ["~", "foo"]}': "E exportTo",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], exportTo: ["~"]}': "",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], exportTo: ["a", "b"]}': "",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], exportTo: ["a$"]}': "E exportTo[0]",
  '{hosts: ["a.com"], ports: [{number: 80, protocol: http, name: h}], subjectAltNames: ["spiffe://a"]}': "",
  '{hosts: ["1.1.1.1"], ports: [{number: 80, protocol: http, name: h}]}': "E hosts[0]",
  '{hosts: ["foo.123"], ports: [{number: 80, protocol: http, name: h}]}': "E hosts[0]",
  '{hosts: ["*.foo.com"], ports: [{number: 443, protocol: tls, name: h}], resolution: DYNAMIC_DNS}': "",
};

test("what is refused and what is warned of, with the field", () => {
  checkRules(serviceEntry, rows);
});
