// What a PROXY header says, whichever version it was written in (HAProxy's "The PROXY protocol", 2.x): where the client
// came from, where it wanted to go, and extensions.

export interface ProxyTlv {
  /** 0 to 255; see `tlvType`. */
  readonly type: number;
  readonly value: Buffer;
}

/** The addresses of a connection; paths of Unix sockets stand where IP addresses do, with port 0. */
export interface ProxyAddresses {
  readonly family: "ipv4" | "ipv6" | "unix";
  readonly isDatagram: boolean;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

export interface ProxyHeader {
  readonly version: 1 | 2;
  /** Null: the sender speaks for itself (LOCAL), or does not know (UNKNOWN, UNSPEC). The connection's own stand then. */
  readonly addresses: ProxyAddresses | null;
  /** Version 2 only. */
  readonly tlvs: readonly ProxyTlv[];
}

/** Registered extension types that this code gives a meaning. */
export const tlvType = { crc32c: 0x03, noop: 0x04 } as const;

export const v2Signature: Buffer = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
/** Version, command, family and length follow the signature. */
export const v2HeaderBytes = 16;
export const unixPathBytes = 108;
