// HOT: per frame (bench/http2-codec.ts). Frames that are of no use by themselves are borne in proportion to those that are: a PING beside DATA is what
// gRPC measures bandwidth with, a thousand of them alone are a flood. Each method counts one, and says whether it is borne.

export class FrameProportion {
  streamsOpened = 0;
  dataFramesReceived = 0;
  #windowUpdates = 0;
  #pings = 0;
  #priorities = 0;

  bearsPing(dataFramesSent: number): boolean {
    return ++this.#pings <= 10 + 10 * this.streamsOpened + this.dataFramesReceived + dataFramesSent;
  }

  bearsPriority(): boolean {
    return ++this.#priorities <= 10 + 10 * this.streamsOpened;
  }

  bearsWindowUpdate(dataFramesSent: number): boolean {
    return ++this.#windowUpdates <= 5 + 2 * this.streamsOpened + 10 * dataFramesSent;
  }
}
