// Capture rules against Istio's public golden files: the same rules in the same order.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parseInitArguments } from "./arguments.ts";
import { captureRules } from "./rules.ts";

interface Case {
  readonly id: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly config: {
    readonly EnableIPv6?: boolean;
    readonly DNSServersV4?: readonly string[];
    readonly DNSServersV6?: readonly string[];
  };
  readonly rules?: unknown;
}

const dataFile = join(import.meta.dirname, "../../../../shared/testdata/iptables.json");

describe("capture rules compared with Istio's golden files", {
  skip: !existsSync(dataFile) && "no test data here",
}, () => {
  const cases: Case[] = existsSync(dataFile)
    ? (JSON.parse(readFileSync(dataFile, "utf8")) as { cases: Case[] }).cases
    : [];
  for (const current of cases.filter((item) => item.rules !== undefined)) {
    test(current.id, () => {
      const parsed = parseInitArguments(current.args, current.env);
      assert.ok("options" in parsed, JSON.stringify(parsed));
      const { v4, v6 } = captureRules(parsed.options.capture, {
        ipv6: current.config.EnableIPv6 === true,
        dnsServersV4: current.config.DNSServersV4 ?? [],
        dnsServersV6: current.config.DNSServersV6 ?? [],
      });
      assert.deepEqual(v6.length > 0 ? { v4, v6 } : { v4 }, current.rules);
    });
  }
  test("nftables cases are left out", (t) => {
    t.diagnostic(`${cases.filter((item) => item.rules === undefined).length} cases are for the nftables back end`);
  });
});
