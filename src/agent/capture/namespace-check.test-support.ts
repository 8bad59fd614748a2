// Runs inside a network namespace of its own, started by run-init.test.ts: writes real rules, makes real connections,
// and prints what it saw as JSON.
import { execFile, execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { silentLogger } from "#base/log/log.ts";
import { parseInitArguments } from "./arguments.ts";
import { runInit, systemInitIo } from "./run-init.ts";

const base = ["-p", "15001", "-z", "15006", "-u", "1337", "-i", "*", "-b", "*", "-d", "15020"];

async function init(...more: string[]): Promise<void> {
  const parsed = parseInitArguments([...base, ...more], {});
  if ("issues" in parsed) throw new Error(JSON.stringify(parsed.issues));
  await runInit(
    parsed.options,
    systemInitIo(silentLogger, () => {}),
  );
}

function savedRules(): string {
  const saved = execFileSync("iptables-save", { encoding: "utf8" });
  return saved.replace(/^#.*\n/gm, "").replace(/\[\d+:\d+\]/g, "");
}

function greet(port: number, greeting: string): Promise<unknown[]> {
  const server = createServer((socket) => socket.end(greeting));
  server.unref();
  server.listen(port, "0.0.0.0");
  return once(server, "listening");
}

/** What answers at this address; the error's code when nothing does. */
function ask(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.setTimeout(2_000, () => socket.destroy());
    socket.on("data", (chunk: Buffer) => resolve(chunk.toString()));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"));
  });
}

function askAs(uid: number, host: string, port: number): Promise<string> {
  const script = `const s=require("node:net").connect(${port},${JSON.stringify(host)});s.setTimeout(2000,()=>process.exit());
s.on("data",d=>{process.stdout.write(d);process.exit()});s.on("error",e=>{process.stdout.write(e.code);process.exit()})`;
  return new Promise((resolve) => {
    execFile(process.execPath, ["-e", script], { uid, gid: uid }, (_error, stdout) => resolve(stdout));
  });
}

if (import.meta.main) {
  execFileSync("ip", ["link", "set", "lo", "up"]);
  execFileSync("ip", ["link", "add", "pod0", "type", "veth", "peer", "name", "pod1"]);
  execFileSync("ip", ["addr", "add", "10.99.0.1/24", "dev", "pod0"]);
  for (const name of ["pod0", "pod1"]) execFileSync("ip", ["link", "set", name, "up"]);
  execFileSync("iptables", ["-t", "nat", "-A", "OUTPUT", "-d", "192.0.2.9", "-j", "ACCEPT"]);

  const before = savedRules();
  await init();
  const once_ = savedRules();
  await init();
  const twice = savedRules();
  await greet(15001, "outbound");
  await greet(15006, "inbound");
  await greet(8080, "application");
  const result: Record<string, unknown> = {
    sameTwice: once_ === twice,
    outbound: await ask("10.99.0.77", 80),
    loopback: await ask("127.0.0.1", 8080),
    ownAddress: await ask("10.99.0.1", 8080),
  };
  if (process.getuid?.() === 0 && process.argv.includes("--users")) {
    result["proxyToOwnAddress"] = await askAs(1337, "10.99.0.1", 8080);
    result["proxyToLoopback"] = await askAs(1337, "127.0.0.1", 8080);
    result["userOutbound"] = await askAs(1000, "10.99.0.77", 80);
  }
  await init("-m", "TPROXY", "-c", "eth9", "--drop-invalid");
  await init("-c", "eth9");
  await init("-c", "eth9", "--cleanup");
  result["cleanedUp"] =
    savedRules().replace(/^\*(raw|mangle|filter)\n(:.*\n)*COMMIT\n/gm, "") === before || savedRules();
  process.stdout.write(JSON.stringify(result));
  process.exit(0);
}
