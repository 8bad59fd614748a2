// Two connections as one: bytes go both ways with back-pressure, the end of one direction leaves the other open, and a
// failure on one side resets the other.
import type { Socket } from "node:net";

/** Both need `allowHalfOpen`, and may be paused; nothing may have read from them. */
export function joinSockets(a: Socket, b: Socket): void {
  for (const socket of [a, b]) {
    socket.on("error", () => {
      // Follows as `close`, which is handled below.
    });
  }
  relay(a, b);
  relay(b, a);
  a.once("close", () => endAfter(a, b));
  b.once("close", () => endAfter(b, a));
  a.resume();
  b.resume();
}

function relay(from: Socket, to: Socket): void {
  from.on("data", (chunk: Buffer) => {
    if (!to.write(chunk)) from.pause();
  });
  to.on("drain", () => from.resume());
  from.on("end", () => to.end());
}

function endAfter(closed: Socket, other: Socket): void {
  if (!other.writableEnded || closed.errored !== null) other.resetAndDestroy();
}
