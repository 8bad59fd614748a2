// Trailers as gRPC-Web's last frame: the flag 0x80, a length, and lines as in HTTP/1.
import type { Headers } from "#wire/http/headers.ts";

export function trailersFrame(trailers: Headers): Buffer {
  let lines = "";
  trailers.forEach((lowerName, value) => {
    lines += `${lowerName}:${value}\r\n`;
  });
  const frame = Buffer.alloc(5 + lines.length);
  frame[0] = 0x80;
  frame.writeUInt32BE(lines.length, 1);
  frame.write(lines, 5, "latin1");
  return frame;
}
