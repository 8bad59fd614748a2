// Envoy's aggregated discovery service on gRPC streams: authenticates the caller, reads the node of the first request,
// checks that the one is the other, and connects a session with the pusher until the stream ends.
import type { JsonObject } from "@bufbuild/protobuf";
import { type handleBidiStreamingCall, Metadata, type ServerDuplexStream, status } from "@grpc/grpc-js";
import { describeError } from "#base/error.ts";
import type { Logger } from "#base/log/log.ts";
import type { Clock } from "#base/time/clock.ts";
import { type ProxyNode, parseProxyNode } from "#mesh/snapshot/proxy-node.ts";
import type { Node } from "#wire/gen/envoy/config/core/v3/base_pb.ts";
import { acceptEncodingKey, encodingKey, gzip, type MessageFrame } from "#wire/grpc/message-frame.ts";
import { typeUrl } from "#wire/xds/type-urls.ts";
import { type AuthenticatorOptions, authenticate, type Caller } from "../ca/authenticate.ts";
import type { PushMetrics } from "../push/push-metrics.ts";
import type { Pusher } from "../push/pusher.ts";
import { type ConnectionInfo, ProxyConnection } from "./connection.ts";
import type { ConnectionTable } from "./connection-table.ts";
import { DebugRequests, type DebugTypes, isDebugType } from "./debug-requests.ts";
import { deltaVariant } from "./delta.ts";
import type { SendBudget } from "./send-budget.ts";
import { stateOfTheWorldVariant } from "./state-of-the-world.ts";
import type { StreamAdmission } from "./stream-admission.ts";
import type { ProtocolVariant } from "./stream-session.ts";
import type { WorkloadLifecycle } from "./workload-lifecycle.ts";

export interface AdsOptions {
  readonly pusher: Pusher;
  readonly metrics: PushMetrics;
  readonly log: Logger;
  readonly clock: Clock;
  /** Absent where nobody is authenticated. */
  readonly authentication: AuthenticatorOptions | undefined;
  readonly maxStreams: number;
  readonly admission: StreamAdmission;
  readonly budget: SendBudget;
  /** Absent where nothing can be registered. */
  readonly workloads?: WorkloadLifecycle | undefined;
  /** What operators ask by xDS; absent where they get nothing. */
  readonly debug?: DebugTypes | undefined;
}

type RawStream = ServerDuplexStream<Buffer, Buffer | MessageFrame>;
type RawHandler = handleBidiStreamingCall<Buffer, Buffer | MessageFrame>;
interface NodeRequest {
  readonly node?: Node | undefined;
}

export function createAdsHandlers(
  table: ConnectionTable,
  options: AdsOptions,
): { StreamAggregatedResources: RawHandler; DeltaAggregatedResources: RawHandler } {
  return {
    StreamAggregatedResources: (call) => serveStream(call, stateOfTheWorldVariant, table, options),
    DeltaAggregatedResources: (call) => serveStream(call, deltaVariant, table, options),
  };
}

function serveStream<Request extends NodeRequest>(
  call: RawStream,
  variant: ProtocolVariant<Request>,
  table: ConnectionTable,
  options: AdsOptions,
): void {
  const { log, pusher } = options;
  let connection: ProxyConnection<Request> | undefined;
  /** Of a proxy that stands for a WorkloadEntry. */
  let registered: ConnectionInfo | undefined;
  let ended = false;

  const end = (): void => {
    if (ended) return;
    ended = true;
    if (registered !== undefined) options.workloads?.disconnected(registered);
    if (connection === undefined) return;
    table.remove(connection as ProxyConnection);
    pusher.remove(connection);
    connection.end();
    log.info("proxy disconnected", { proxy: connection.node.id, connection: connection.info.id });
  };
  const refuse = (code: status, details: string): void => {
    if (ended) return;
    log.warn("xDS stream refused", { peer: call.getPeer(), reason: details });
    call.emit("error", { code, details });
    end();
  };
  const connect = (info: ConnectionInfo): void => {
    const compresses = call.metadata.get(acceptEncodingKey).includes(gzip);
    if (compresses) {
      const metadata = new Metadata();
      metadata.set(encodingKey, gzip);
      call.sendMetadata(metadata);
    }
    connection = new ProxyConnection(variant, {
      info,
      clock: options.clock,
      log,
      metrics: options.metrics,
      compresses,
      write: (frame, onSent) => {
        if (ended) onSent();
        else call.write(frame, onSent);
      },
      budget: options.budget,
      close: () => {
        if (!ended) call.end();
      },
      onProgress: () => table.progressed(),
    });
    table.add(connection as ProxyConnection);
    log.info("proxy connected", { proxy: info.node.id, connection: connection.info.id, protocol: variant.name });
    pusher.add(connection);
  };
  const debugging = options.debug && new DebugRequests(variant, options.debug);
  /** Requests wait for the answer: nobody piles up work. */
  const answerDebug = (request: Request, caller: Caller | undefined, debug: DebugRequests<Request>): void => {
    call.pause();
    debug.answer(request, caller).then(
      (answer) => {
        if (ended) return;
        if (answer !== undefined && "refused" in answer) return refuse(debugRefusals[answer.refused], answer.message);
        if (answer !== undefined) call.write(answer);
        call.resume();
      },
      (error: unknown) => refuse(status.INTERNAL, describeError(error)),
    );
  };
  const take = (request: Request, caller: Caller | undefined): void => {
    if (debugging !== undefined && isDebugType(variant.typeUrlOf(request))) {
      return answerDebug(request, caller, debugging);
    }
    if (connection === undefined) {
      const node = readNode(request.node);
      if (typeof node === "string") return refuse(status.INVALID_ARGUMENT, node);
      const mismatch = caller === undefined ? undefined : identityMismatch(node, caller);
      if (mismatch !== undefined) return refuse(status.PERMISSION_DENIED, mismatch);
      const info: ConnectionInfo = {
        id: table.nextId(node),
        node,
        peer: call.getPeer(),
        caller,
        userAgent: request.node?.userAgentName ?? "",
        connectedAtMs: options.clock.now(),
      };
      if (options.workloads?.concerns(node) === true) return register(info, request, options.workloads);
      connect(info);
    }
    handle(request);
  };
  const handle = (request: Request): void => {
    if (variant.typeUrlOf(request) === typeUrl.healthInformation) {
      const problem = variant.errorOf(request);
      if (registered !== undefined) {
        options.workloads?.health(registered, { isHealthy: problem === undefined, message: problem ?? "" });
      }
      return;
    }
    const problem = connection?.session.handle(request);
    if (problem !== undefined) refuse(status.INVALID_ARGUMENT, problem);
  };
  /** Nothing more is read before the workload has its entry. */
  const register = (info: ConnectionInfo, request: Request, workloads: WorkloadLifecycle): void => {
    call.pause();
    registered = info;
    workloads.connected(info).then(
      (refusal) => {
        if (ended) return;
        if (refusal !== undefined) return refuse(status.FAILED_PRECONDITION, refusal);
        connect(info);
        handle(request);
        call.resume();
      },
      (error: unknown) => refuse(status.INTERNAL, describeError(error)),
    );
  };

  if (table.size >= options.maxStreams) {
    refuse(status.RESOURCE_EXHAUSTED, `more than ${options.maxStreams} streams`);
    return;
  }
  let caller: Caller | undefined;
  call.on("data", (bytes: Buffer) => {
    if (ended) return;
    try {
      take(variant.decode(bytes), caller);
    } catch (error) {
      refuse(status.INVALID_ARGUMENT, `malformed request: ${describeError(error)}`);
    }
  });
  // Requests are not even read before the caller is known.
  call.pause();
  admitCall(call, options).then(
    (result) => {
      if ("refused" in result) return refuse(result.code, result.refused);
      caller = result.caller;
      call.resume();
    },
    (error: unknown) => refuse(status.INTERNAL, describeError(error)),
  );
  call.on("end", () => {
    end();
    call.end();
  });
  call.on("cancelled", end);
  call.on("error", end);
}

const debugRefusals = {
  unauthenticated: status.UNAUTHENTICATED,
  denied: status.PERMISSION_DENIED,
  invalid: status.INVALID_ARGUMENT,
} as const;

async function admitCall(
  call: RawStream,
  options: AdsOptions,
): Promise<{ caller: Caller | undefined } | { code: status; refused: string }> {
  let caller: Caller | undefined;
  if (options.authentication !== undefined) {
    const certificate = call.getAuthContext().sslPeerCertificate?.raw;
    const result = await authenticate({ metadata: call.metadata, certificate }, options.authentication);
    if (!("caller" in result)) return { code: status.UNAUTHENTICATED, refused: result.refused };
    caller = result.caller;
  }
  // Who is not authenticated takes nobody's place.
  if (await options.admission.admit()) return { caller };
  return { code: status.RESOURCE_EXHAUSTED, refused: "too many proxies come at once" };
}

function readNode(node: Node | undefined): ProxyNode | string {
  if (node === undefined) return "the first request of a stream has no node";
  const { locality } = node;
  return parseProxyNode({
    id: node.id,
    cluster: node.cluster,
    metadata: (node.metadata ?? {}) as JsonObject,
    ...(locality !== undefined && {
      locality: { region: locality.region, zone: locality.zone, subZone: locality.subZone },
    }),
  });
}

/** A proxy gets the configuration of its own workload only (PILOT_ENABLE_XDS_IDENTITY_CHECK). */
function identityMismatch(node: ProxyNode, { identity }: Caller): string | undefined {
  if (identity.namespace !== node.namespace) {
    return `the caller is in namespace ${identity.namespace}, its node says ${node.namespace}`;
  }
  if (node.serviceAccount !== "" && identity.serviceAccount !== node.serviceAccount) {
    return `the caller is service account ${identity.serviceAccount}, its node says ${node.serviceAccount}`;
  }
  return undefined;
}
