// Certificates that a test makes with openssl: of the mesh's own root, and of roots that nobody knows.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestMesh } from "./mesh.ts";

export interface Certificate {
  readonly chain: string;
  readonly key: string;
}

/** The mesh's own root, from the secret where the control plane keeps it. */
export async function meshRoot(mesh: TestMesh): Promise<Certificate> {
  const secret = await mesh.api("/api/v1/namespaces/istio-system/secrets/istio-ca-secret");
  const { data } = secret as { data: Record<string, string> };
  const read = (key: string): string => Buffer.from(data[key] ?? "", "base64").toString();
  return { chain: read("ca-cert.pem"), key: read("ca-key.pem") };
}

export function selfMadeRoot(): Certificate {
  return inFolder((openssl, read) => {
    openssl(
      "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out cert -days 1 -subj /O=other",
    );
    return { chain: read("cert"), key: read("key") };
  });
}

/** Signs a certificate for the SPIFFE id. */
export function signedBy(root: Certificate, spiffeId: string, expired = false): Certificate {
  return inFolder((openssl, read, write) => {
    write("root", root.chain);
    write("root-key", root.key);
    write("extensions", `subjectAltName=critical,URI:${spiffeId}\nextendedKeyUsage=clientAuth,serverAuth\n`);
    openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out request -subj /");
    const sign = "x509 -req -in request -CA root -CAkey root-key -CAcreateserial -extfile extensions -out cert";
    openssl(`${sign} -days ${expired ? -1 : 1}`);
    return { chain: `${read("cert")}${root.chain}`, key: read("key") };
  });
}

type Work<T> = (
  openssl: (words: string) => void,
  read: (name: string) => string,
  write: (name: string, text: string) => void,
) => T;

function inFolder<T>(work: Work<T>): T {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-openssl-"));
  try {
    return work(
      (words) => void execFileSync("openssl", words.split(" "), { cwd: folder, stdio: "pipe" }),
      (name) => readFileSync(join(folder, name), "utf8"),
      (name, text) => writeFileSync(join(folder, name), text, { mode: 0o600 }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
