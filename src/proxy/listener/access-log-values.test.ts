// Values of access log operators as the data path gives them.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { AccessLogger } from "../config/access-log.ts";
import { compileTextFormat } from "../observe/access-log/format.ts";
import {
  chain,
  clusterOn,
  dataPath,
  forward,
  httpFilter,
  httpServer,
  listenerConfig,
  managerConfig,
  routeEntry,
} from "./testing/data-path.ts";

const lines: string[] = [];
const path = dataPath({ writeAccessLog: (_, line) => void lines.push(line) });
let upstream: Awaited<ReturnType<typeof httpServer>>;

const logger = (format: string): AccessLogger => ({
  path: "test",
  render: compileTextFormat(format, { omitEmptyValues: false }, assert.fail),
  accepts: null,
});

before(async () => {
  upstream = await httpServer((_, response) => {
    response.writeHead(200, { "content-type": "application/grpc", trailer: "grpc-status, x-end" });
    response.addTrailers({ "grpc-status": "5", "x-end": "done" });
    response.end("body");
  });
  path.clusters.update(clusterOn("up", [upstream.port]));
  const http = managerConfig([routeEntry("/", forward("up"))], {
    accessLog: [
      logger(
        "%CONNECTION_ID% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %GRPC_STATUS% %TRAILER(x-end)% %QUERY_PARAM(q)% " +
          "%FILTER_CHAIN_NAME% %DOWNSTREAM_TLS_VERSION% %UPSTREAM_REMOTE_PORT%",
      ),
      logger(
        "%ACCESS_LOG_TYPE% %STREAM_ID% %UPSTREAM_PROTOCOL% %UPSTREAM_HOST_NAME% %RESPONSE_TRAILERS_BYTES% " +
          "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
      ),
      logger(
        "%REQUEST_DURATION% %REQUEST_TX_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION% %COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
      ),
      logger("%REQUEST_HEADERS_BYTES% %RESPONSE_HEADERS_BYTES%"),
    ],
  });
  await path.listeners.update(listenerConfig([chain([httpFilter(http)])]));
});

after(() => {
  upstream.stop();
  path.stop();
});

test("attempts, trailers, gRPC status, query and connection are in the line", async () => {
  const response = await fetch(`http://127.0.0.1:${path.port()}/a?q=1`, {
    headers: { "content-type": "application/grpc", "x-request-id": "id-1" },
  });
  await response.text();
  const [first, second, third = "", fourth = ""] = lines;
  assert.equal(first, `1 1 NotFound done 1 chain - ${upstream.port}`);
  assert.equal(second, `DownstreamEnd id-1 HTTP/1.1 127.0.0.1:${upstream.port} 21 127.0.0.1`);
  const times = third.split(" ").map(Number);
  assert.ok(
    times.every((time) => time >= 0),
    third,
  );
  const [request = 0, sent = 0, head = 0, , total = 0] = times;
  assert.ok(request <= sent && sent <= head && head <= total / 1000, third);
  const [requestBytes = 0, responseBytes = 0] = fourth.split(" ").map(Number);
  assert.ok(requestBytes > 60 && responseBytes > 60, fourth);
});
