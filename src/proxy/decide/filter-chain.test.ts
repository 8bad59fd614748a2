import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import { decodeListener } from "../config/decode-listener.ts";
import type { ConnectionFacts } from "../config/listener.ts";
import { listenerConfig, listenerOf, refusalOf, tcpTo } from "../config/testing/resources.ts";
import { newTrace } from "../config/trace.ts";
import { matchFilterChain } from "./filter-chain.ts";

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
  chain(
    "direct-lb",
    "{ destination_port: 26, direct_source_prefix_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }] }",
  ),
  chain("self", "{ destination_port: 27, source_type: SAME_IP_OR_LOOPBACK }"),
  chain("others", "{ destination_port: 27, source_type: EXTERNAL }"),
  chain("low-port", "{ destination_port: 28, source_ports: [1, 2] }"),
  chain("any-port", "{ destination_port: 28 }"),
  chain(
    "direct-first",
    "{ destination_port: 29, direct_source_prefix_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }] }",
  ),
  chain("self-after", "{ destination_port: 29, source_type: SAME_IP_OR_LOOPBACK }"),
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
  sourcePort: 50000,
  directSourceIp: "172.16.0.1",
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
  [
    "the direct peer, whoever the client is",
    { destinationPort: 26, directSourceIp: "10.0.0.9", sourceIp: "192.0.2.1" },
    "direct-lb",
  ],
  ["a client in the block behind another peer", { destinationPort: 26, sourceIp: "10.0.0.9" }, "default"],
  ["over loopback", { destinationPort: 27, sourceIp: "127.0.0.8" }, "self"],
  ["over IPv6 loopback", { destinationPort: 27, sourceIp: "::1" }, "self"],
  ["from the address it goes to", { destinationPort: 27, sourceIp: "192.168.0.1" }, "self"],
  ["over a Unix socket", { destinationPort: 27, sourceIp: "" }, "self"],
  ["from another host", { destinationPort: 27 }, "others"],
  ["a source port", { destinationPort: 28, sourcePort: 2 }, "low-port"],
  ["another source port", { destinationPort: 28, sourcePort: 3 }, "any-port"],
  [
    "the direct source is looked at before the source type, and there is no way back",
    { destinationPort: 29, directSourceIp: "10.0.0.1", sourceIp: "127.0.0.1" },
    "direct-first",
  ],
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

const named = (...names: readonly string[]): string =>
  names.map((name) => chain(name, "{}").replace("  filter_chain_match: {}\n", "")).join("");
const input = (kind: string): string =>
  `{ name: in, typed_config: { "@type": type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.${kind}Input } }`;
const to = (name: string): string =>
  `{ action: { name: go, typed_config: { "@type": type.googleapis.com/google.protobuf.StringValue, value: ${name} } } }`;
const withTree = (tree: string): string => `
name: l
address: { socket_address: { address: 0.0.0.0, port_value: 1 } }
filter_chain_matcher: ${tree}
filter_chains:
${named("a", "b", "c", "d", "e")}
default_filter_chain: { name: default, filters: ${JSON.stringify(parse(tcpTo("d")))} }`;

test("a matching tree chooses by port, address block, name and protocol, and the default takes the rest", () => {
  const ips = `{ name: ip, typed_config: { "@type": type.googleapis.com/xds.type.matcher.v3.IPMatcher, range_matchers: [
    { ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }], on_match: ${to("b")} },
    { ranges: [{ address_prefix: 10.1.0.0, prefix_len: 16 }], on_match: { matcher: { matcher_tree: {
      input: ${input("SourcePort")}, exact_match_map: { map: { "7": ${to("c")} } } } } } }] } }`;
  const names = `{ name: sni, typed_config: { "@type": type.googleapis.com/xds.type.matcher.v3.ServerNameMatcher, domain_matchers: [
    { domains: [a.example], on_match: ${to("d")} }, { domains: ["*.example"], on_match: ${to("e")} }] } }`;
  const tree = `{ matcher_tree: { input: ${input("DestinationPort")}, exact_match_map: { map: {
    "80": ${to("a")},
    "81": { matcher: { matcher_tree: { input: ${input("SourceIP")}, custom_match: ${ips} } } },
    "82": { matcher: { matcher_tree: { input: ${input("ServerName")}, custom_match: ${names} } } },
    "83": { matcher: { matcher_list: { matchers: [
      { predicate: { and_matcher: { predicate: [
          { single_predicate: { input: ${input("TransportProtocol")}, value_match: { exact: tls } } },
          { not_matcher: { single_predicate: { input: ${input("ApplicationProtocol")}, value_match: { contains: "'h2'" } } } }] } },
        on_match: ${to("a")} }] }, on_no_match: ${to("b")} } } } } } }`;
  const chosen = listenerConfig(withTree(tree));
  const found = (change: Partial<ConnectionFacts>) => matchFilterChain(chosen, facts(change), null)?.name;
  assert.equal(found({ destinationPort: 80 }), "a");
  assert.equal(found({ destinationPort: 84 }), "default");
  assert.equal(found({ destinationPort: 81, sourceIp: "10.1.0.1", sourcePort: 7 }), "c");
  assert.equal(found({ destinationPort: 81, sourceIp: "10.1.0.1", sourcePort: 8 }), "b", "the wider block comes next");
  assert.equal(found({ destinationPort: 81, sourceIp: "11.1.0.1" }), "default");
  assert.equal(found({ destinationPort: 82, serverName: "a.example" }), "d");
  assert.equal(found({ destinationPort: 82, serverName: "x.y.example" }), "e");
  assert.equal(found({ destinationPort: 82 }), "default");
  assert.equal(found({ destinationPort: 83, transportProtocol: "tls" }), "a", "no ALPN is no h2");
  assert.equal(found({ destinationPort: 83, transportProtocol: "tls", applicationProtocols: ["h2"] }), "b");
});

const refusals: readonly [string, string, RegExp][] = [
  ["a name that no chain has", `{ on_no_match: ${to("x")} }`, /no filter chain is named "x"/],
  [
    "an input that is not known",
    `{ matcher_tree: { input: { name: x, typed_config: { "@type": type.googleapis.com/google.protobuf.StringValue, value: x } }, exact_match_map: { map: { k: ${to("a")} } } } }`,
    /the input google.protobuf.StringValue is not supported/,
  ],
  [
    "an action that is not known",
    `{ on_no_match: { action: { name: x, typed_config: ${input("ServerName").replace(/.*typed_config: (.*) }$/, "$1")} } } }`,
    /the action envoy.extensions.*ServerNameInput is not supported/,
  ],
];
for (const [name, tree, reason] of refusals) {
  test(`a matching tree is refused for ${name}`, () => {
    assert.match(refusalOf(decodeListener(listenerOf(withTree(tree)))), reason);
  });
}

test("a tree beside matches of the chains, or chains without names of their own, are refused", () => {
  const tree = `{ on_no_match: ${to("a")} }`;
  const beside = withTree(tree).replace('- name: "b"', '- name: "a"\n  filter_chain_match: { destination_port: 1 }');
  const refusal = refusalOf(decodeListener(listenerOf(beside)));
  assert.match(refusal, /need names of their own/);
  assert.match(refusal, /must not stand beside/);
});

test("chains that nobody could choose between are refused, by name", () => {
  const twice = (one: string, other: string): string =>
    refusalOf(
      decodeListener(
        listenerOf(`
name: l
address: { socket_address: { address: 0.0.0.0, port_value: 1 } }
filter_chains:
${chain("one", one)}${chain("other", other)}`),
      ),
    );
  assert.match(twice("{ destination_port: 1 }", "{ destination_port: 1 }"), /one and other match the same connections/);
  assert.match(
    twice('{ server_names: ["a.example", "b.example"] }', '{ server_names: ["B.example"] }'),
    /one and other match/,
  );
  const range = (address: string): string => `{ prefix_ranges: [{ address_prefix: ${address}, prefix_len: 8 }] }`;
  assert.match(twice(range("10.1.0.0"), range("10.2.0.0")), /one and other match/, "both are 10.0.0.0/8");
  assert.equal(twice("{ source_ports: [1] }", "{ source_ports: [2] }"), "");
});
