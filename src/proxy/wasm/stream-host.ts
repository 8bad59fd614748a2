// What a plugin can reach of one stream: implemented by the filter that the plugin is for. Nothing here runs while the
// module is on the stack except reading and changing; going on, closing and answering come after.
import type { Pair } from "./pairs.ts";
import type { PropertyValue } from "./properties.ts";

/** A list of headers, trailers or metadata. Names are in lower case, values hold one character per byte. */
export interface HeaderMap {
  /** The first value of that name. */
  get(name: string): string | undefined;
  pairs(): Pair[];
  /** Bytes of all names and values. */
  byteSize(): number;
  add(name: string, value: string): void;
  set(name: string, value: string): void;
  remove(name: string): void;
  replaceAll(pairs: readonly Pair[]): void;
}

/** A body, or a part of it, that the module may read and change. */
export interface BodyBuffer {
  readonly length: number;
  /** Valid until the buffer changes. */
  slice(start: number, end: number): Buffer;
  /** Puts `bytes` in the place of `[start, end)`. */
  splice(start: number, end: number, bytes: Buffer): void;
}

export interface PluginReply {
  readonly status: number;
  readonly details: string;
  readonly body: Buffer;
  readonly headers: readonly Pair[];
  /** Negative where the module named none. */
  readonly grpcStatus: number;
}

export interface StreamHost {
  /** Null while the map may not be read, or may not be changed. */
  headerMap(type: number, forChange: boolean): HeaderMap | null;
  bodyBuffer(type: number): BodyBuffer | null;
  property(name: string): PropertyValue | undefined;
  setProperty(name: string, value: Buffer): boolean;
  continueStream(type: number): void;
  closeStream(type: number): void;
  sendLocalReply(reply: PluginReply): void;
  clearRouteCache(): void;
  /** The VM has failed: the stream goes on without the plugin, or not at all. */
  onPluginFailed(): void;
}
