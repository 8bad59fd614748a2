// A client and a server connected without sockets: what one writes in a turn the other receives in the next.
import { CLIENT, Http2Connection, SERVER } from "../connection.ts";
import { edgeSettings, type Http2Settings } from "../settings.ts";
import { MemorySink } from "./memory-sink.ts";
import { EventRecorder } from "./recorder.ts";

export class MemoryPair {
  readonly clientSink: MemorySink = new MemorySink();
  readonly serverSink: MemorySink = new MemorySink();
  readonly clientEvents: EventRecorder = new EventRecorder();
  readonly serverEvents: EventRecorder = new EventRecorder();
  readonly client: Http2Connection;
  readonly server: Http2Connection;

  constructor(client: Partial<Http2Settings> = {}, server: Partial<Http2Settings> = {}) {
    this.client = new Http2Connection(CLIENT, { ...edgeSettings, ...client }, this.clientSink, this.clientEvents);
    this.server = new Http2Connection(SERVER, { ...edgeSettings, ...server }, this.serverSink, this.serverEvents);
    this.client.start();
    this.server.start();
    this.run();
  }

  /** Lets bytes travel until both sides are silent, cut into pieces of that size. */
  run(pieceBytes: number = 1 << 20): void {
    while (this.clientSink.isDirty || this.serverSink.isDirty) {
      feed(this.server, this.clientSink.take(), pieceBytes);
      feed(this.client, this.serverSink.take(), pieceBytes);
    }
  }
}

function feed(connection: Http2Connection, bytes: Buffer, pieceBytes: number): void {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    connection.receive(Buffer.from(bytes.subarray(at, at + pieceBytes)));
  }
}
