// local_reply_config at work: the first mapper that accepts the reply changes status, body and headers; then the body is
// put into the format of the mapper or of the whole configuration.
import type { HeaderMutation, LocalReplyConfig } from "../config/http.ts";
import { accessLogEntry } from "./access-log-entry.ts";
import type { LocalReply } from "./local-replies.ts";
import type { Stream } from "./stream.ts";

export interface MappedReply {
  readonly status: number;
  readonly body: string;
  /** Null: as if nothing were configured. */
  readonly contentType: string | null;
  readonly headers: readonly HeaderMutation[];
}

export function mapLocalReply(config: LocalReplyConfig, stream: Stream, reply: LocalReply): MappedReply {
  stream.responseStatus = reply.status;
  const entry = accessLogEntry(stream);
  const mapper = config.mappers.find((candidate) => candidate.accepts(entry));
  const status = mapper?.status ?? reply.status;
  const body = mapper?.body ?? reply.body;
  const headers = mapper?.headers ?? [];
  const format = mapper?.format ?? config.format;
  if (format === null) return { status, body, contentType: null, headers };
  entry.responseCode = status;
  entry.localReplyBody = body;
  return { status, body: format.render(entry), contentType: format.contentType, headers };
}
