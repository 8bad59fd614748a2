// `--gateway-port [host:]port` as an address. Without a host only this machine reaches the gateway.

export interface GatewayAddress {
  readonly host: string;
  readonly port: number;
}

/** Undefined for what is no address. IPv6 hosts are in brackets. */
export function parseGatewayAddress(text: string): GatewayAddress | undefined {
  const match = /^(?:(?:\[([^\]]+)\]|([^:[\]\s]+)):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3] ?? Number.NaN);
  if (match === null || port > 65535) return undefined;
  return { host: match[1] ?? match[2] ?? "127.0.0.1", port };
}
