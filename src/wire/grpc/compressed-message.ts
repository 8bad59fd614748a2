// Compressed messages of a @grpc/grpc-js server, which compresses none by itself: it writes the flag that says so as 0,
// and copies the bytes of the message behind it.

/** Metadata of a client that takes compressed messages: grpc-js keeps `grpc-accept-encoding` from its handlers. */
export const acceptEncodingKey = "outrigger-accept-encoding";
/** Response metadata that names how flagged messages are compressed. */
export const encodingKey = "grpc-encoding";
export const gzip = "gzip";

const flagLength = 5;

/** The same bytes as a message of their own, with the flag set where they are put behind it. */
export function compressedMessage(bytes: Buffer): Buffer {
  const message = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  message.copy = (target: Uint8Array, start = 0): number => {
    if (start !== flagLength) throw new RangeError("a message stands behind its flag and length");
    target[0] = 1;
    return bytes.copy(target, start);
  };
  return message;
}
