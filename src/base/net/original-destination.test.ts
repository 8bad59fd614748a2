// Original destinations behind real REDIRECT rules, in a network namespace of its own. Needs root and iptables.
import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { promisify } from "node:util";
import { decodeSocketAddress } from "./original-destination.ts";

const run = promisify(execFile);

test("socket addresses of both families are decoded", () => {
  const v4 = Buffer.from("02002378c0a80107" + "0000000000000000", "hex");
  assert.deepEqual(decodeSocketAddress(Buffer.concat([v4, Buffer.alloc(12)])), { ip: "192.168.1.7", port: 9080 });
  const v6 = (address: string): string | undefined =>
    decodeSocketAddress(Buffer.from(`0a00237800000000${address}00000000`, "hex"))?.ip;
  assert.equal(v6("fd000000000000000000000000000007"), "fd00::7");
  assert.equal(v6("00000000000000000000000000000001"), "::1");
  assert.equal(v6("20010db8000100000000000000000000"), "2001:db8:1::");
  assert.equal(v6("20010db8000100020003000400050006"), "2001:db8:1:2:3:4:5:6");
  assert.equal(decodeSocketAddress(Buffer.alloc(28)), null);
});

const server = `
import { createServer } from "node:net";
import { OriginalDestinationReader } from ${JSON.stringify(`${import.meta.dirname}/original-destination.ts`)};
import { SocketCalls } from ${JSON.stringify(`${import.meta.dirname}/socket-calls.ts`)};
const reader = new OriginalDestinationReader(new SocketCalls((reason) => console.log("unavailable " + reason)));
const server = createServer((socket) => {
  const found = reader.read(socket);
  socket.end(found === null ? "none" : found.ip + " " + found.port);
});
server.listen(15001, "::", () => console.log("ready"));
`;

const canIsolate =
  process.getuid?.() === 0 &&
  spawnSync("unshare", ["-n", "iptables", "-t", "nat", "-L"], { stdio: "ignore" }).status === 0;

test("a redirected connection tells where it wanted to go, a direct one does not", {
  skip: !canIsolate && "needs root and iptables",
}, async () => {
  const child = spawn("unshare", ["-n", process.execPath, "--input-type=module-typescript", "-e", server], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const lines = createInterface({ input: child.stdout });
    const [first] = await new Promise<[string]>((resolve) => lines.once("line", (line) => resolve([line])));
    assert.equal(first, "ready");
    const inside = async (command: string): Promise<string> =>
      (await run("nsenter", ["-t", String(child.pid), "-n", "sh", "-c", command])).stdout;
    await inside("ip link set lo up; ip addr add 10.96.0.5/32 dev lo; ip -6 addr add fd00::5/128 dev lo nodad");
    await inside("iptables -t nat -A OUTPUT -p tcp --dport 9080 -j REDIRECT --to-ports 15001");
    await inside("ip6tables -t nat -A OUTPUT -p tcp --dport 9080 -j REDIRECT --to-ports 15001");
    const ask = (host: string, port: number): Promise<string> =>
      inside(`exec ${process.execPath} -e 'require("net").connect(${port}, "${host}").pipe(process.stdout)'`);
    assert.equal(await ask("10.96.0.5", 9080), "10.96.0.5 9080");
    assert.equal(await ask("fd00::5", 9080), "fd00::5 9080");
    const direct = await ask("10.96.0.5", 15001);
    assert.ok(direct === "none" || direct === "10.96.0.5 15001", direct);
  } finally {
    child.kill();
  }
});
