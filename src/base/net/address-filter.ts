// Where nobody asks for what users name an address of, as keys of token issuers and modules: the machine itself, its
// neighbours on the link, and the metadata services of clouds, which give credentials to whoever asks.
import { BlockList, isIP } from "node:net";

const neverAsked: readonly (readonly [address: string, bits: number, family: "ipv4" | "ipv6"])[] = [
  ["0.0.0.0", 8, "ipv4"],
  ["127.0.0.0", 8, "ipv4"],
  ["169.254.0.0", 16, "ipv4"],
  ["224.0.0.0", 3, "ipv4"],
  // Metadata services of Alibaba Cloud and Azure.
  ["100.100.100.200", 32, "ipv4"],
  ["168.63.129.16", 32, "ipv4"],
  ["::", 127, "ipv6"],
  ["fe80::", 10, "ipv6"],
  ["ff00::", 8, "ipv6"],
  // Metadata service of AWS.
  ["fd00:ec2::254", 128, "ipv6"],
  // Link-local IPv4 behind NAT64 (RFC 6052).
  ["64:ff9b::a9fe:0", 112, "ipv6"],
];

/** Tells whether an address may be asked. `blocked` are further addresses and blocks, as `10.0.0.0/8`. */
export function addressFilter(blocked: readonly string[] = []): (address: string) => boolean {
  const list = new BlockList();
  for (const block of neverAsked) list.addSubnet(...block);
  for (const block of blocked) {
    const [address = "", bits] = block.split("/");
    const family = isIP(address);
    if (family !== 0) {
      list.addSubnet(address, bits === undefined ? (family === 4 ? 32 : 128) : Number(bits), `ipv${family as 4 | 6}`);
    }
  }
  return (address) => {
    const family = isIP(address);
    return family !== 0 && !list.check(address, `ipv${family as 4 | 6}`);
  };
}
