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
    headers: { "content-type": "application/grpc" },
  });
  await response.text();
  assert.deepEqual(lines, [`1 1 NotFound done 1 chain - ${upstream.port}`]);
});
