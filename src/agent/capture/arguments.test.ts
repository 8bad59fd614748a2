import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseInitArguments } from "./arguments.ts";
import type { InitOptions } from "./options.ts";
import { renderRestore } from "./rule-list.ts";
import { captureRules } from "./rules.ts";

const host = { ipv6: false, dnsServersV4: [], dnsServersV6: [] };

function options(argv: readonly string[], env: Record<string, string> = {}): InitOptions {
  const parsed = parseInitArguments(argv, env);
  assert.ok("options" in parsed, JSON.stringify(parsed));
  return parsed.options;
}

function problems(...argv: string[]): string {
  const parsed = parseInitArguments(argv, {});
  return "issues" in parsed ? parsed.issues.map((issue) => issue.message).join("\n") : "";
}

describe("istio-iptables' arguments", () => {
  test("the injector's own arguments are understood", () => {
    const { capture } = options(
      [
        "istio-iptables",
        "-p",
        "15001",
        "-z",
        "15006",
        "-u",
        "1337",
        "-m",
        "REDIRECT",
        "-i",
        "*",
        "-x",
        "",
        "-b",
        "*",
      ].concat(["-d", "15090,15021,15020", "--log_output_level=default:info"]),
    );
    assert.deepEqual(capture.inboundPortsInclude, ["*"]);
    assert.deepEqual(capture.outboundRangesInclude, ["*"]);
    assert.deepEqual(capture.outboundRangesExclude, []);
    assert.deepEqual(capture.inboundPortsExclude, ["15090", "15021", "15020"]);
    assert.deepEqual(capture.proxyGids, ["1337"], "the group follows the user");
  });

  test("all spellings of a flag are the same flag", () => {
    for (const argv of [
      ["-p", "1"],
      ["-p1"],
      ["-p=1"],
      ["--envoy-port", "1"],
      ["--envoy-port=1"],
      ["--envoy_port=1"],
    ]) {
      assert.equal(options(argv).capture.proxyPort, "1");
    }
    assert.equal(options(["-n"]).dryRun, true);
    assert.equal(options(["--dry-run=false"]).dryRun, false);
  });

  test("a flag wins over the environment, which wins over the default", () => {
    const env = { ENVOY_PORT: "2", ISTIO_META_DNS_CAPTURE: "true", INVALID_DROP: "true" };
    assert.equal(options([], env).capture.proxyPort, "2");
    assert.equal(options(["-p", "3"], env).capture.proxyPort, "3");
    assert.equal(options([], env).capture.redirectDns, true);
    assert.equal(options([], env).capture.dropInvalid, true);
  });

  test("nothing that is not what it should be reaches a rule", () => {
    assert.match(problems("-p", "80; reboot"), /not a port/);
    assert.match(problems("-i", "10.0.0.0/8\n-F"), /not an address range/);
    assert.match(problems("-x", "*"), /not an address range/);
    assert.match(problems("-b", "80 -j ACCEPT"), /not a port/);
    assert.match(problems("-c", "eth0 -j DROP"), /name of an interface/);
    assert.match(problems("-u", "1337 -j RETURN"), /user or group/);
    assert.match(problems("-m", "OTHER"), /REDIRECT or TPROXY/);
    assert.match(problems("--nonsense"), /unknown argument/);
    assert.match(problems("-p"), /needs a value/);
  });

  test("rules that the golden files do not show", () => {
    const text = (...argv: string[]): string => renderRestore(captureRules(options(argv).capture, host).v4);
    assert.match(text("-o", "5432"), /-A ISTIO_OUTPUT -p tcp --dport 5432 -j RETURN\n/);
    assert.match(text("-q", "8080"), /-A ISTIO_OUTPUT -p tcp --dport 8080 -j ISTIO_REDIRECT\n/);
    assert.match(text("-b", "*", "-d", "22"), /--dport 22 -j RETURN\n-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT\n/);
    assert.match(text("-i", "1.2.3.4"), /-A ISTIO_OUTPUT -d 1.2.3.4\/32 -j ISTIO_REDIRECT\n/);
    assert.match(
      text("--redirect-dns", "--capture-all-dns"),
      /-A ISTIO_OUTPUT_DNS -p udp --dport 53 -j REDIRECT --to-port 15053\n/,
    );
    assert.match(
      text("-i", "127.0.0.0/8"),
      /-j ISTIO_IN_REDIRECT\n-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN/,
      "a captured loopback is not returned",
    );
  });
});
