// Completes package-lock.json after `npm install`: a registry mirror may lack packages of other platforms (optional
// dependencies of biome, oxlint, ...); npm then leaves them out of the lock, and `npm ci` refuses it. Adds an entry with
// version and platform for each, so that the lock is complete everywhere. `npm run lock`.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

interface LockedPackage {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

interface Lock {
  readonly packages: Record<string, LockedPackage>;
}

const systems = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"];
const processors = ["arm64", "armv7", "arm", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "x64"];

/** Adds what is missing; returns the names. */
export function completeLock(lock: Lock): string[] {
  const added: string[] = [];
  for (const [path, owner] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(owner.optionalDependencies ?? {})) {
      const isLocked = [`${path}/node_modules/${name}`, `node_modules/${name}`].some((place) => place in lock.packages);
      if (isLocked) continue;
      lock.packages[`node_modules/${name}`] = {
        version,
        ...platformOf(name),
        ...(owner.dev === true && { dev: true }),
        optional: true,
      };
      added.push(name);
    }
  }
  return added;
}

/** What the name says: `@oxlint/binding-linux-x64-musl`. */
function platformOf(name: string): Pick<LockedPackage, "os" | "cpu" | "libc"> {
  const system = systems.find((known) => name.includes(known));
  const processor = processors.find((known) => name.includes(known));
  if (system === undefined || processor === undefined) throw new Error(`${name}: the name tells no platform`);
  const cpu = processor === "armv7" ? "arm" : processor;
  return { os: [system], cpu: [cpu], ...(name.includes("musl") && { libc: ["musl"] }) };
}

if (import.meta.main) {
  const path = join(import.meta.dirname, "../package-lock.json");
  const lock = JSON.parse(readFileSync(path, "utf8")) as Lock;
  const added = completeLock(lock);
  const packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(path, `${JSON.stringify({ ...lock, packages }, null, 2)}\n`);
  console.log(added.length === 0 ? "the lock was complete" : `added ${added.join(", ")}`);
}
