// Server credentials for @grpc/grpc-js with an optional client certificate and a certificate that can be replaced
// while the server runs: new handshakes use the new one, open connections stay. A client certificate that does not
// verify counts as none: the connection opens and the caller is anonymous.
import { ServerCredentials } from "@grpc/grpc-js";

export interface ServerTlsMaterial {
  /** PEM, leaf first. */
  readonly certificateChain: string;
  /** PEM. */
  readonly privateKey: string;
  /** PEM bundle against which client certificates are verified. */
  readonly clientRoots: string;
}

export class ReloadableServerCredentials extends ServerCredentials {
  constructor(material: ServerTlsMaterial) {
    super(
      { requestCert: true, rejectUnauthorized: false, minVersion: "TLSv1.2", ALPNProtocols: ["h2"] },
      contextOptions(material),
    );
  }

  /** Takes effect for every handshake from now on. */
  update(material: ServerTlsMaterial): void {
    this.updateSecureContextOptions(contextOptions(material));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

function contextOptions(material: ServerTlsMaterial): { cert: string; key: string; ca: string; minVersion: "TLSv1.2" } {
  return {
    cert: material.certificateChain,
    key: material.privateKey,
    ca: material.clientRoots,
    minVersion: "TLSv1.2",
  };
}
