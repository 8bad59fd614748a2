// The sections of RFC 9113 that say MUST to somebody who receives or sends, and that each has a test of its name: in a
// row of rfc9113.test.ts, or anywhere else under "RFC 9113 <section> ...".
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "../..");
const text = [
  "wire/http2/rfc9113.test.ts",
  "proxy/listener/http2-over-tls.test.ts",
  "proxy/listener/http2-messages.test.ts",
  "proxy/listener/tls-settings.test.ts",
]
  .map((file) => readFileSync(join(root, file), "utf8"))
  .join("\n");

const sections: Readonly<Record<string, string>> = {
  "3.2": "starting HTTP/2 for https",
  "3.3": "starting HTTP/2 with prior knowledge",
  "3.4": "connection preface",
  "4.1": "frame format",
  "4.2": "frame size",
  "4.3": "field section compression",
  "4.3.1": "compression state",
  "5.1": "stream states",
  "5.1.1": "stream identifiers",
  "5.1.2": "stream concurrency",
  "5.2.1": "flow-control principles",
  "5.2.2": "appropriate use of flow control",
  "5.4.1": "connection error handling",
  "5.4.2": "stream error handling",
  "5.4.3": "connection termination",
  "5.5": "extending HTTP/2",
  "6.1": "DATA",
  "6.2": "HEADERS",
  "6.3": "PRIORITY",
  "6.4": "RST_STREAM",
  "6.5": "SETTINGS",
  "6.5.2": "defined settings",
  "6.5.3": "settings synchronization",
  "6.6": "PUSH_PROMISE",
  "6.7": "PING",
  "6.8": "GOAWAY",
  "6.9": "WINDOW_UPDATE",
  "6.9.1": "the flow-control window",
  "6.9.2": "initial flow-control window size",
  "6.10": "CONTINUATION",
  "7": "error codes",
  "8.1": "HTTP message framing",
  "8.1.1": "malformed messages",
  "8.2": "HTTP fields",
  "8.2.1": "field validity",
  "8.2.2": "connection-specific header fields",
  "8.2.3": "compressing the Cookie header field",
  "8.3": "HTTP control data",
  "8.3.1": "request pseudo-header fields",
  "8.3.2": "response pseudo-header fields",
  "8.4": "server push",
  "8.5": "the CONNECT method",
  "8.6": "the Upgrade header field",
  "8.7": "request reliability",
  "9.2": "use of TLS features",
  "9.2.1": "TLS 1.2 features",
  "9.2.2": "TLS 1.2 cipher suites",
  "10.3": "intermediary encapsulation attacks",
  "10.5.1": "limits on field block size",
};

for (const [section, title] of Object.entries(sections)) {
  test(`section ${section}, ${title}, has a test`, () => {
    const escaped = section.replaceAll(".", "\\.");
    assert.ok(new RegExp(`(RFC 9113 |^ *"|row\\(")(client: )?${escaped} `, "m").test(text));
  });
}
