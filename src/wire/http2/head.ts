// A request, response or informational head as HTTP/2 carries it: the pseudo-headers (RFC 9113 8.3) are fields here, all
// other lines are a header list.
import { Headers } from "../http/headers.ts";

/** What a head says besides its header lines. Unused fields are "" or 0. */
export interface PseudoHeaders {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  /** RFC 8441: what an extended CONNECT asks for, as `websocket`. */
  readonly protocol: string;
  readonly status: number;
}

export class Http2Head implements PseudoHeaders {
  method = "";
  scheme = "";
  /** Of `:authority`, or of `host` where that is missing. */
  authority = "";
  path = "";
  protocol = "";
  status = 0;
  /** -1 when absent. */
  contentLength = -1;
  readonly headers: Headers = new Headers();
}
