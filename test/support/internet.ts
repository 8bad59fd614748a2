// A network namespace that plays the host of a mesh and all that is beyond it, so that a test of the way out sends
// nothing to anybody: addresses of its own, name servers, servers. Needs root. A mesh runs in it as root, or as an
// ordinary user with ids for pods, whom only this namespace's files know.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestAuthority } from "#proxy/listener/testing/certificates.ts";
import { projectRoot } from "./mesh.ts";

const userId = 54_321;

/** Why no such namespace can be made here; false when it can. Fits `{ skip }`. */
export function noInternetReason(isRootless: boolean): string | false {
  if (process.getuid?.() !== 0) return "needs root";
  if (isRootless && spawnSync("sh", ["-c", "command -v newuidmap"]).status !== 0) return "needs newuidmap (uidmap)";
  return false;
}

export class Internet {
  readonly #child: ChildProcess;
  readonly #authority: TestAuthority;

  private constructor(child: ChildProcess, authority: TestAuthority) {
    this.#child = child;
    this.#authority = authority;
  }

  static async start(authority: TestAuthority): Promise<Internet> {
    const { directory } = authority;
    authority.write("server", authority.issueFor("DNS:secure.example.com,DNS:api.example.com"));
    const at = (name: string): string => join(directory, name);
    writeFileSync(at("resolv.conf"), "nameserver 203.0.113.53\n");
    cpSync("/etc/passwd", at("passwd"));
    writeFileSync(at("passwd"), `${readFileSync("/etc/passwd", "utf8")}mesh-test:x:${userId}:${userId}::/:/bin/sh\n`);
    writeFileSync(at("subid"), "mesh-test:200000:65536\n");
    for (const name of ["passwd", "subid", "resolv.conf"]) chmodSync(at(name), 0o644);
    chmodSync(directory, 0o755);
    const script = `set -e
mount --make-rprivate /
mount --bind "$1/resolv.conf" /etc/resolv.conf
mount --bind "$1/passwd" /etc/passwd
touch /etc/subuid /etc/subgid
mount --bind "$1/subid" /etc/subuid
mount --bind "$1/subid" /etc/subgid
ip link set lo up
for address in 203.0.113.10 203.0.113.53 169.254.169.254; do ip addr add "$address/32" dev lo; done
exec "$2" --disable-warning=ExperimentalWarning test/fixtures/internet/server.ts "$1"
`;
    const args = ["--net", "--mount", "sh", "-c", script, "internet", directory, process.execPath];
    const child = spawn("unshare", args, {
      cwd: projectRoot,
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, VERSION: "internet" },
    });
    const ready = once(createInterface({ input: child.stdout }), "line").then(([line]) => String(line));
    const first = await Promise.race([ready, once(child, "exit").then(() => "ended")]);
    if (first !== "ready") throw new Error(`the internet of the test did not start: ${first}`);
    return new Internet(child, authority);
  }

  /** What a command begins with that is to run on this host, in that folder. */
  prefix(isRootless: boolean, workingFolder: string = projectRoot): string[] {
    const enter = ["nsenter", "-t", String(this.#child.pid), "-n", "-m", `--wd=${workingFolder}`];
    return isRootless ? [...enter, "setpriv", `--reuid=${userId}`, `--regid=${userId}`, "--clear-groups"] : enter;
  }

  /** Runs a command on this host and returns what it wrote. */
  run(file: string, ...args: string[]): string {
    const [enter = "", ...rest] = this.prefix(false);
    return execFileSync(enter, [...rest, file, ...args], { encoding: "utf8" });
  }

  /** The user that `prefix(true)` becomes. */
  get userId(): number {
    return userId;
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
    this.#authority.stop();
  }
}
