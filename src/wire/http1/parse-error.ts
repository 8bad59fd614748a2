// What the HTTP/1 parsers answer: a position, NEED_MORE, or one of these negative codes. One table gives each code the
// status that a server answers with and the words for logs. RFC 9112.

/** The message is incomplete; call again with more bytes. */
export const NEED_MORE = -1;

export const ERR_START_LINE = -2;
export const ERR_TARGET = -3;
export const ERR_VERSION = -4;
export const ERR_HEADER_NAME = -5;
export const ERR_HEADER_VALUE = -6;
export const ERR_LINE_END = -7;
export const ERR_OBS_FOLD = -8;
export const ERR_HEAD_TOO_LARGE = -9;
export const ERR_TOO_MANY_HEADERS = -10;
export const ERR_CONTENT_LENGTH = -11;
export const ERR_DUPLICATE_CONTENT_LENGTH = -12;
export const ERR_TRANSFER_ENCODING = -13;
export const ERR_UNSUPPORTED_CODING = -14;
export const ERR_LENGTH_AND_CODING = -15;
export const ERR_STATUS = -16;
export const ERR_CHUNK_SIZE = -17;
export const ERR_CHUNK_EXTENSION = -18;
export const ERR_CHUNK_END = -19;
export const ERR_HTTP2_PREFACE = -20;

export interface ParseErrorMeaning {
  /** What a server answers before it closes the connection. */
  readonly status: number;
  /** Machine-readable, as a response code detail. */
  readonly details: string;
  readonly words: string;
}

const meanings: readonly ParseErrorMeaning[] = [
  { status: 400, details: "http1.codec_error", words: "the message is malformed" },
  { status: 400, details: "http1.incomplete", words: "the message is incomplete" },
  { status: 400, details: "http1.invalid_start_line", words: "the start line is malformed" },
  { status: 400, details: "http1.invalid_url", words: "the request target holds a character that is not allowed" },
  { status: 505, details: "http1.invalid_version", words: "the protocol version is not HTTP/1.0 or HTTP/1.1" },
  { status: 400, details: "http1.invalid_header_name", words: "a header name is empty or holds an invalid character" },
  { status: 400, details: "http1.invalid_characters", words: "a header value holds a control character" },
  { status: 400, details: "http1.invalid_line_end", words: "a line ends in a bare CR or LF" },
  { status: 400, details: "http1.obs_fold", words: "a header line is folded or starts with white space" },
  { status: 431, details: "request_headers_too_large", words: "the head is larger than the limit" },
  { status: 431, details: "http1.too_many_headers", words: "there are more header lines than the limit" },
  { status: 400, details: "http1.invalid_content_length", words: "Content-Length is not one decimal number" },
  { status: 400, details: "http1.duplicate_content_length", words: "Content-Length is given twice" },
  {
    status: 400,
    details: "http1.invalid_transfer_encoding",
    words: "Transfer-Encoding is malformed or not allowed here",
  },
  { status: 501, details: "http1.invalid_transfer_encoding", words: "the transfer coding is not chunked" },
  {
    status: 400,
    details: "http1.content_length_and_chunked_not_allowed",
    words: "Content-Length and Transfer-Encoding are both given",
  },
  { status: 502, details: "http1.invalid_status", words: "the status code is not three digits" },
  { status: 400, details: "http1.invalid_chunk_size", words: "a chunk size is malformed" },
  { status: 400, details: "http1.invalid_chunk_extension", words: "a chunk extension is malformed or too long" },
  { status: 400, details: "http1.invalid_chunk_end", words: "a chunk does not end in CR LF" },
  { status: 505, details: "http1.http2_preface", words: "the client speaks HTTP/2, which this listener does not" },
];

/** Gives the meaning of a negative result. */
export function parseErrorMeaning(code: number): ParseErrorMeaning {
  return meanings[-code] ?? (meanings[0] as ParseErrorMeaning);
}
