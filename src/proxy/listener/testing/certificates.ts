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
  /** Issues a certificate whose names are written as openssl reads them, as `DNS:a.example,IP:10.0.0.1`. */
  issueFor(names: string, options?: LeafOptions): TlsCertificate;
  /** A revocation list with that certificate in it. */
  revoke(certificate: TlsCertificate): string;
  /** A directory with `root.pem`, and `<name>.pem`/`<name>.key` for each `write`. */
  readonly directory: string;
  write(name: string, certificate: TlsCertificate): { readonly cert: string; readonly key: string };
  stop(): void;
}

interface LeafOptions {
  /** `extendedKeyUsage`; both sides unless given. */
  readonly usage?: string;
  readonly isRsa?: boolean;
  /** Days from now until it ends; negative: it ended before it began. */
  readonly days?: number;
  /** More lines of the extensions file. */
  readonly more?: string;
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
  const issueFor = (names: string, options: LeafOptions = {}): TlsCertificate => {
    const name = `leaf${++issued}`;
    if (options.isRsa === true) openssl(`genrsa -out ${name}.key 2048`);
    else key(`${name}.key`);
    openssl(`req -new -key ${name}.key -subj / -out ${name}.csr`);
    const usage = options.usage ?? "serverAuth,clientAuth";
    const extensions = `subjectAltName=critical,${names}\nextendedKeyUsage=${usage}\n${options.more ?? ""}\n`;
    writeFileSync(at(`${name}.ext`), extensions);
    const signing = `-CA root.pem -CAkey root.key -CAcreateserial -extfile ${name}.ext -out ${name}.pem`;
    openssl(`x509 -req -in ${name}.csr ${signing} -days ${options.days ?? 1}`);
    return {
      certificateChain: readFileSync(at(`${name}.pem`), "utf8"),
      privateKey: readFileSync(at(`${name}.key`), "utf8"),
      notBeforeMs: Date.now(),
      notAfterMs: Date.now() + 86_400_000,
      serialNumber: String(issued),
      spiffeId: /^URI:([^,]+)$/.exec(names)?.[1],
    };
  };
  return {
    directory,
    roots: readFileSync(at("root.pem"), "utf8"),
    issue: (uri) => issueFor(`URI:${uri}`),
    issueFor,
    revoke: (certificate) => {
      writeFileSync(at("revoked.pem"), certificate.certificateChain);
      writeFileSync(at("index.txt"), "");
      writeFileSync(at("crlnumber"), "01\n");
      writeFileSync(
        at("ca.cnf"),
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=1\n",
      );
      const files = "-config ca.cnf -keyfile root.key -cert root.pem";
      openssl(`ca ${files} -revoke revoked.pem`);
      openssl(`ca ${files} -gencrl -out crl.pem`);
      return readFileSync(at("crl.pem"), "utf8");
    },
    write: (name, certificate) => {
      writeFileSync(at(`${name}.pem`), certificate.certificateChain);
      writeFileSync(at(`${name}.key`), certificate.privateKey);
      return { cert: at(`${name}.pem`), key: at(`${name}.key`) };
    },
    stop: () => rmSync(directory, { recursive: true }),
  };
}
