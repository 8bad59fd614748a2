// A reply of the proxy's own as a message: status, headers and body, as the client's protocol, the configured mapping and
// explain mode want it.
import type { Headers } from "#wire/http/headers.ts";
import { applyHeaderMutations } from "./header-mutation.ts";
import { grpcMessage, grpcStatusOf, type LocalReply, reasonPhrase } from "./local-replies.ts";
import type { Stream } from "./stream.ts";

/** Sets the stream's status and fills the headers, which are new. Gives the body. */
export function localReplyMessage(stream: Stream, reply: LocalReply, headers: Headers): Buffer {
  const { manager, cause } = stream;
  const mapped = manager.mapReply(stream, reply);
  const status = mapped?.status ?? reply.status;
  let text = mapped?.body ?? reply.body;
  setStatus(stream, stream.isGrpc ? 200 : status);
  if (stream.isGrpc) {
    headers.add("content-type", "application/grpc");
    headers.add("grpc-status", String(reply.grpcStatus ?? grpcStatusOf(status)));
    headers.add("grpc-message", grpcMessage(text || reply.details));
    text = "";
  }
  if (reply.location !== undefined) headers.add("location", reply.location);
  if (manager.environment.explainToClients && cause !== "") {
    headers.add("x-outrigger-explain", headerText(cause));
    const mayAdd = reply.isConfigured !== true && mapped === null && !stream.isGrpc;
    if (mayAdd) text = `${text}${text === "" ? "" : "\n"}${cause}\n`;
  }
  if (text !== "") headers.add("content-type", mapped?.contentType ?? "text/plain");
  if (mapped !== null) applyHeaderMutations(stream, headers, mapped.headers, false);
  return text !== "" && mapped === null && reply.bytes !== undefined ? reply.bytes : Buffer.from(text, "utf8");
}

function setStatus(stream: Stream, status: number): void {
  stream.responseStatus = status;
  stream.responseReason = reasonPhrase(status);
}

/** One line of visible ASCII. */
function headerText(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, "?");
}
