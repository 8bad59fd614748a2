import assert from "node:assert/strict";
import { test } from "node:test";
import { listenerConfig, tcpTo } from "../config/testing/resources.ts";
import { newTrace } from "../config/trace.ts";
import { type ConnectionFacts, matchFilterChain } from "./filter-chain.ts";

const chain = (name: string, match: string): string =>
  `- name: "${name}"\n  filter_chain_match: ${match}\n  filters: ${tcpTo("c")
    .split("\n")
    .map((line) => `  ${line}`)
    .join("\n")}\n`;

const listener = listenerConfig(`
name: virtualInbound
address: { socket_address: { address: 0.0.0.0, port_value: 15006 } }
filter_chains:
${[
  chain("any", "{}"),
  chain(
    "port-mtls",
    '{ destination_port: 9080, transport_protocol: tls, application_protocols: ["istio", "istio-h2"] }',
  ),
  chain("port-tls", "{ destination_port: 9080, transport_protocol: tls }"),
  chain("strict", '{ destination_port: 7000, transport_protocol: tls, application_protocols: ["istio"] }'),
  chain("net", "{ prefix_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }] }"),
  chain("subnet", "{ prefix_ranges: [{ address_prefix: 10.1.0.0, prefix_len: 16 }] }"),
  chain("exact-name", '{ destination_port: 443, server_names: ["www.example.com"] }'),
  chain("wild-name", '{ destination_port: 443, server_names: ["*.example.com"] }'),
  chain("wild-any", '{ destination_port: 443, server_names: ["*.com"] }'),
  chain("no-name", "{ destination_port: 443 }"),
  chain("from-ten", "{ destination_port: 25, source_prefix_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }] }"),
  chain("http-plain", '{ destination_port: 80, transport_protocol: raw_buffer, application_protocols: ["http/1.1"] }'),
].join("")}
default_filter_chain:
  name: default
  filters: ${tcpTo("d")}
`);

const facts = (change: Partial<ConnectionFacts>): ConnectionFacts => ({
  destinationIp: "192.168.0.1",
  destinationPort: 1,
  sourceIp: "172.16.0.1",
  transportProtocol: "raw_buffer",
  serverName: "",
  applicationProtocols: [],
  ...change,
});

const cases: readonly [string, Partial<ConnectionFacts>, string][] = [
  ["nothing special", {}, "any"],
  [
    "mesh TLS by its ALPN",
    { destinationPort: 9080, transportProtocol: "tls", applicationProtocols: ["istio-h2"] },
    "port-mtls",
  ],
  [
    "other TLS to the same port",
    { destinationPort: 9080, transportProtocol: "tls", applicationProtocols: ["h2"] },
    "port-tls",
  ],
  ["TLS without ALPN", { destinationPort: 9080, transportProtocol: "tls" }, "port-tls"],
  [
    "plaintext to a port with TLS only goes to the default, not to other ports' chains",
    { destinationPort: 9080 },
    "default",
  ],
  ["foreign TLS to a STRICT port", { destinationPort: 7000, transportProtocol: "tls" }, "default"],
  ["the longer prefix", { destinationIp: "10.1.2.3" }, "subnet"],
  ["the shorter prefix", { destinationIp: "10.2.2.3" }, "net"],
  [
    "exact server name",
    { destinationPort: 443, transportProtocol: "tls", serverName: "www.example.com" },
    "exact-name",
  ],
  ["longest wildcard", { destinationPort: 443, transportProtocol: "tls", serverName: "a.b.example.com" }, "wild-name"],
  ["shorter wildcard", { destinationPort: 443, transportProtocol: "tls", serverName: "other.com" }, "wild-any"],
  ["a name that no wildcard has", { destinationPort: 443, transportProtocol: "tls", serverName: "x.org" }, "no-name"],
  [
    "a wildcard is not its own domain's parent",
    { destinationPort: 443, transportProtocol: "tls", serverName: "com" },
    "no-name",
  ],
  ["source prefix", { destinationPort: 25, sourceIp: "10.9.9.9" }, "from-ten"],
  ["outside the source prefix", { destinationPort: 25 }, "default"],
  ["HTTP by inspection", { destinationPort: 80, applicationProtocols: ["http/1.1"] }, "http-plain"],
  ["no HTTP by inspection", { destinationPort: 80 }, "default"],
  [
    "an inspector that saw nothing counts as plaintext",
    { destinationPort: 80, transportProtocol: "", applicationProtocols: ["http/1.1"] },
    "http-plain",
  ],
];

for (const [name, change, expected] of cases) {
  test(`filter chain match: ${name}`, () => {
    assert.equal(matchFilterChain(listener, facts(change), null)?.name, expected);
  });
}

test("the first offered protocol that a chain names decides", () => {
  const two = listenerConfig(`
name: l
address: { socket_address: { address: 0.0.0.0, port_value: 1 } }
filter_chains:
${chain("h2", '{ application_protocols: ["h2"] }')}${chain("h1", '{ application_protocols: ["http/1.1"] }')}`);
  const offered = (...applicationProtocols: string[]) =>
    matchFilterChain(two, facts({ applicationProtocols }), null)?.name;
  assert.equal(offered("http/1.1", "h2"), "h1");
  assert.equal(offered("h2", "http/1.1"), "h2");
  assert.equal(offered("ftp"), undefined);
});

test("a trace tells why no chain takes a connection", () => {
  const strict = listenerConfig(`
name: strict
address: { socket_address: { address: 0.0.0.0, port_value: 1 } }
filter_chains:
${chain("only", "{ destination_port: 9080, transport_protocol: tls }")}`);
  const trace = newTrace();
  assert.equal(matchFilterChain(strict, facts({ destinationPort: 9080 }), trace), null);
  assert.match(trace.steps[0]?.decision ?? "", /none of strict matches plaintext to port 9080 .*port 9080, TLS/);
});
