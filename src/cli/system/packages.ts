// Programs that a command needs from the system. As root on Debian what is missing is installed, after saying so;
// anybody else gets the one line to type.
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

export interface Requirement {
  /** The program looked for in PATH (and in /usr/sbin, /sbin), or a file when it starts with a slash. */
  readonly program: string;
  /** The Debian package that brings it. */
  readonly debianPackage: string;
}

export const meshRequirements: readonly Requirement[] = [
  { program: "iptables-restore", debianPackage: "iptables" },
  { program: "ip", debianPackage: "iproute2" },
  { program: "unshare", debianPackage: "util-linux" },
  { program: "nsenter", debianPackage: "util-linux" },
  { program: "setpriv", debianPackage: "util-linux" },
  { program: "mount", debianPackage: "mount" },
];

/** Needed besides by an ordinary user, whose pods run under mapped user ids. */
export const rootlessRequirements: readonly Requirement[] = [{ program: "newuidmap", debianPackage: "uidmap" }];

/** What the tests use besides the mesh itself: independent clients and servers. */
export const testRequirements: readonly Requirement[] = [
  ...meshRequirements,
  { program: "curl", debianPackage: "curl" },
  { program: "haproxy", debianPackage: "haproxy" },
  { program: "nghttp", debianPackage: "nghttp2-client" },
  { program: "nghttpd", debianPackage: "nghttp2-server" },
  { program: "nginx", debianPackage: "nginx-light" },
  { program: "openssl", debianPackage: "openssl" },
  { program: "/usr/lib/python3/dist-packages/grpc/__init__.py", debianPackage: "python3-grpcio" },
];

export const benchRequirements: readonly Requirement[] = [
  { program: "nginx", debianPackage: "nginx-light" },
  { program: "haproxy", debianPackage: "haproxy" },
  { program: "wrk", debianPackage: "wrk" },
  { program: "h2load", debianPackage: "nghttp2-client" },
  { program: "openssl", debianPackage: "openssl" },
];

export interface SystemPackages {
  readonly isRoot: boolean;
  readonly path: string;
  readonly say: (line: string) => void;
}

/** Returns the sentence to show when something stays missing, or undefined when all is there. */
export function ensurePackages(requirements: readonly Requirement[], system: SystemPackages): string | undefined {
  const missing = missingPackages(requirements, system.path);
  if (missing.length === 0) return undefined;
  const names = missing.join(" ");
  const onDebian = isExecutable("/usr/bin/apt-get");
  if (!onDebian) return `missing programs of the packages ${names}: install them with your system's package manager`;
  if (!system.isRoot) return `missing system packages; run: sudo apt-get install -y ${names}`;
  system.say(`installing system packages: ${names}`);
  const environment = { PATH: system.path, DEBIAN_FRONTEND: "noninteractive" };
  for (const command of [
    ["update", "-qq"],
    ["install", "-y", "-qq", "--no-install-recommends", ...missing],
  ]) {
    const result = spawnSync("/usr/bin/apt-get", command, { stdio: ["ignore", "ignore", "pipe"], env: environment });
    if (result.status !== 0)
      return `apt-get ${command[0] ?? ""} ended with ${result.status}: ${String(result.stderr).trim()}`;
  }
  const still = missingPackages(requirements, system.path);
  return still.length === 0
    ? undefined
    : `apt-get ran, but programs of these packages are still missing: ${still.join(" ")}`;
}

function missingPackages(requirements: readonly Requirement[], path: string): string[] {
  const folders = [...path.split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
  const missing = requirements.filter(({ program }) =>
    program.startsWith("/") ? !isReadable(program) : !folders.some((folder) => isExecutable(join(folder, program))),
  );
  return [...new Set(missing.map((requirement) => requirement.debianPackage))];
}

function isExecutable(path: string): boolean {
  return hasAccess(path, constants.X_OK);
}

function isReadable(path: string): boolean {
  return hasAccess(path, constants.R_OK);
}

function hasAccess(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false; // not there, or not ours to use: both count as missing
  }
}
