// CRC-32C (Castagnoli, RFC 3720 B.4), which guards version 2 of the PROXY protocol.

const table = makeTable();

function makeTable(): Uint32Array {
  const made = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
    made[byte] = value >>> 0;
  }
  return made;
}

/** The checksum of the bytes, with four bytes at `zeroed` counted as zero (where the checksum itself stands). */
export function crc32c(bytes: Buffer, zeroed = -1): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) {
    const byte = i >= zeroed && i < zeroed + 4 && zeroed >= 0 ? 0 : bytes[i]!;
    crc = (crc >>> 8) ^ table[(crc ^ byte) & 0xff]!;
  }
  return (crc ^ 0xffffffff) >>> 0;
}
