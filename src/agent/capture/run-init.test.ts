import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, test } from "node:test";
import { silentLogger } from "#base/log/log.ts";
import { parseSavedRules, renderTransition } from "./apply.ts";
import { parseInitArguments } from "./arguments.ts";
import { type InitIo, runInit } from "./run-init.ts";

const asRoot = process.getuid?.() === 0;
// An ordinary user needs subordinate ids, because rules name users.
const unshare = asRoot ? ["-n"] : ["-n", "-r", "--map-auto"];
const canUnshare =
  spawnSync("unshare", [...unshare, "iptables", "-A", "OUTPUT", "-m", "owner", "--uid-owner", "1337", "-j", "ACCEPT"], {
    stdio: "ignore",
    timeout: 10_000,
  }).status === 0;

describe("capture in a real network namespace", {
  skip: !canUnshare && "no network namespaces or no iptables here",
}, () => {
  test("rules are the same after the second run, redirect what they should, and leave nothing behind", () => {
    const script = join(import.meta.dirname, "namespace-check.test-support.ts");
    const args = [...unshare, process.execPath, script, ...(asRoot ? ["--users"] : [])];
    const run = spawnSync("unshare", args, { encoding: "utf8", timeout: 60_000 });
    assert.equal(run.status, 0, run.stderr);
    assert.deepEqual(JSON.parse(run.stdout), {
      sameTwice: true,
      outbound: "outbound",
      loopback: "application",
      ownAddress: "application",
      ...(asRoot && { proxyToOwnAddress: "inbound", proxyToLoopback: "application", userOutbound: "outbound" }),
      cleanedUp: true,
    });
  });
});

describe("capture", () => {
  const io = (overrides: Partial<InitIo>): InitIo => ({
    run: async () => ({ code: 0, stdout: "", stderr: "" }),
    write: () => {},
    logger: silentLogger,
    interfaces: () => ({}),
    resolvConf: () => "nameserver 10.96.0.10\nnameserver fd00::1\n",
    ...overrides,
  });
  const options = (...argv: string[]) => {
    const parsed = parseInitArguments(argv, {});
    assert.ok("options" in parsed);
    return parsed.options;
  };

  test("a dry run prints and touches nothing", async () => {
    let text = "";
    const run = async (): Promise<never> => assert.fail("a command ran");
    await runInit(options("-n", "--redirect-dns"), io({ run, write: (part) => void (text += part) }));
    assert.match(text, /^\* nat\n-N ISTIO_INBOUND\n/);
    assert.match(text, /-d 10.96.0.10\/32 -j REDIRECT --to-ports 15053/);
    assert.ok(!text.includes("fd00::1"), "no IPv6 rules without an IPv6 address");
  });

  test("a refusal of the kernel is an error with its words", async () => {
    const run: InitIo["run"] = async ([command = ""]) =>
      command.endsWith("-restore")
        ? { code: 1, stdout: "", stderr: "iptables-restore: Permission denied (you must be root)\n" }
        : { code: 0, stdout: "", stderr: "" };
    await assert.rejects(runInit(options(), io({ run })), /Permission denied/);
  });

  test("somebody else's rules and chains are left alone", () => {
    const saved =
      "*nat\n:OUTPUT ACCEPT [0:0]\n:KUBE-X - [0:0]\n:ISTIO_OLD - [0:0]\n-A OUTPUT -j KUBE-X\n-A OUTPUT -p tcp -j ISTIO_OLD\n-A ISTIO_OLD -j RETURN\nCOMMIT\n";
    assert.equal(
      renderTransition(parseSavedRules(saved), []),
      "*nat\n:ISTIO_OLD - [0:0]\n-D OUTPUT -p tcp -j ISTIO_OLD\n-X ISTIO_OLD\nCOMMIT\n",
    );
  });
});
