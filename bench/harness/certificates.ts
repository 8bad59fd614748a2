// A throw-away mesh PKI made by openssl: one root, one P-256 certificate per SPIFFE id.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
  readonly root: string;
  /** Certificate and key in one file, as HAProxy wants them. */
  readonly both: string;
}

export class BenchAuthority {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.#openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", this.#path("root.key"));
    this.#openssl(
      "req",
      "-x509",
      "-new",
      "-key",
      this.#path("root.key"),
      "-days",
      "1",
      "-subj",
      "/O=bench",
      "-out",
      this.#path("root.pem"),
    );
  }

  issue(name: string, spiffeId: string): CertificateFiles {
    const key = this.#path(`${name}.key`);
    const request = this.#path(`${name}.csr`);
    const certificate = this.#path(`${name}.pem`);
    const extensions = this.#path(`${name}.ext`);
    writeFileSync(extensions, `subjectAltName=critical,URI:${spiffeId}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    this.#openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key);
    this.#openssl("req", "-new", "-key", key, "-subj", "/", "-out", request);
    const authority = ["-CA", this.#path("root.pem"), "-CAkey", this.#path("root.key")];
    this.#openssl(
      "x509",
      "-req",
      "-in",
      request,
      ...authority,
      "-days",
      "1",
      "-extfile",
      extensions,
      "-out",
      certificate,
    );
    const both = this.#path(`${name}-both.pem`);
    writeFileSync(both, readFileSync(certificate, "utf8") + readFileSync(key, "utf8"));
    return { certificate, key, root: this.#path("root.pem"), both };
  }

  #openssl(...args: string[]): void {
    execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}
