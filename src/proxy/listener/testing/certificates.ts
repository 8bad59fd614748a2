// Certificates for tests, made by the openssl command, which is also the independent TLS peer of the tests.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TlsCertificate } from "#wire/tls/secrets.ts";

export interface TestAuthority {
  readonly roots: string;
  /** Issues a certificate for one URI, as `spiffe://cluster.local/ns/default/sa/a`. */
  issue(uri: string): TlsCertificate;
  /** A directory with `root.pem`, and `<name>.pem`/`<name>.key` for each `write`. */
  readonly directory: string;
  write(name: string, certificate: TlsCertificate): { readonly cert: string; readonly key: string };
  stop(): void;
}

export function testAuthority(): TestAuthority {
  const directory = mkdtempSync(join(tmpdir(), "outrigger-test-"));
  const at = (name: string): string => join(directory, name);
  const openssl = (command: string): void =>
    void execFileSync("openssl", command.split(" "), { cwd: directory, stdio: "pipe" });
  const key = (name: string): void => openssl(`ecparam -name prime256v1 -genkey -noout -out ${name}`);
  key("root.key");
  openssl("req -x509 -new -key root.key -subj /O=test -days 1 -out root.pem");
  let issued = 0;
  return {
    directory,
    roots: readFileSync(at("root.pem"), "utf8"),
    issue: (uri) => {
      const name = `leaf${++issued}`;
      key(`${name}.key`);
      openssl(`req -new -key ${name}.key -subj / -out ${name}.csr`);
      const extensions = `subjectAltName=critical,URI:${uri}\nextendedKeyUsage=serverAuth,clientAuth\n`;
      writeFileSync(at("extensions"), extensions);
      openssl(
        `x509 -req -in ${name}.csr -CA root.pem -CAkey root.key -CAcreateserial -days 1 -extfile extensions -out ${name}.pem`,
      );
      return {
        certificateChain: readFileSync(at(`${name}.pem`), "utf8"),
        privateKey: readFileSync(at(`${name}.key`), "utf8"),
        notBeforeMs: Date.now(),
        notAfterMs: Date.now() + 86_400_000,
        serialNumber: String(issued),
        spiffeId: uri,
      };
    },
    write: (name, certificate) => {
      writeFileSync(at(`${name}.pem`), certificate.certificateChain);
      writeFileSync(at(`${name}.key`), certificate.privateKey);
      return { cert: at(`${name}.pem`), key: at(`${name}.key`) };
    },
    stop: () => rmSync(directory, { recursive: true }),
  };
}
