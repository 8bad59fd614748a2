// Every fuzz target. What reads bytes or configuration from somebody else belongs here.
import type { FuzzTarget } from "./fuzz-target.ts";
import { clientHello, proxyHeader } from "./targets/first-bytes.ts";
import { httpFilterSettings } from "./targets/http-filters.ts";
import { http1Requests, http1Responses } from "./targets/http1.ts";
import { hpack, http2Client, http2Server } from "./targets/http2.ts";
import { certificateRequests, certificates, tokens } from "./targets/identity.ts";
import { dns, grpcFrames } from "./targets/messages.ts";
import { paths } from "./targets/paths.ts";
import { xdsCluster, xdsEndpoint, xdsListener, xdsRoute } from "./targets/xds.ts";

export const fuzzTargets: readonly FuzzTarget[] = [
  http1Requests,
  http1Responses,
  paths,
  clientHello,
  proxyHeader,
  http2Server,
  http2Client,
  hpack,
  grpcFrames,
  dns,
  certificates,
  certificateRequests,
  tokens,
  xdsListener,
  xdsRoute,
  xdsCluster,
  xdsEndpoint,
  httpFilterSettings,
];
