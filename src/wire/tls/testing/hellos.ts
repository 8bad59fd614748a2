// TLS client hellos byte by byte, for tests that need one no client would send.

/** A hello with these extensions, in one record. */
export function hello(extensions: readonly (readonly [type: number, data: Buffer])[]): Buffer {
  const list = extensions.map(([type, data]) => Buffer.concat([Buffer.from([type >> 8, type & 255]), sized(data, 2)]));
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    sized(Buffer.alloc(32, 1), 1),
    sized(Buffer.from([0x0a, 0x0a, 0x13, 0x01]), 2),
    sized(Buffer.from([0]), 1),
    sized(Buffer.concat(list), 2),
  ]);
  const message = Buffer.concat([Buffer.from([1]), sized(body, 3)]);
  return Buffer.concat([Buffer.from([22, 3, 1]), sized(message, 2)]);
}

export function serverName(name: string): readonly [number, Buffer] {
  const head = Buffer.alloc(5);
  head.writeUInt16BE(name.length + 3, 0);
  head.writeUInt16BE(name.length, 3);
  return [0, Buffer.concat([head, Buffer.from(name, "latin1")])];
}

function sized(bytes: Buffer, width: 1 | 2 | 3): Buffer {
  const size = Buffer.alloc(width);
  size.writeUIntBE(bytes.length, 0, width);
  return Buffer.concat([size, bytes]);
}
