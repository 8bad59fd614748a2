// The functions of a module that the host calls. A callback that the module does not export, or that the plugin's
// capability restriction leaves out, is null.

import type { EngineExports } from "./engine.ts";

export type WasmFunction = (...values: number[]) => number | undefined;

export interface Callbacks {
  readonly initialize: WasmFunction | null;
  readonly main: WasmFunction | null;
  readonly start: WasmFunction | null;
  readonly onContextCreate: WasmFunction | null;
  readonly onVmStart: WasmFunction | null;
  readonly onConfigure: WasmFunction | null;
  readonly onTick: WasmFunction | null;
  readonly onQueueReady: WasmFunction | null;
  readonly onRequestHeaders: WasmFunction | null;
  readonly onRequestBody: WasmFunction | null;
  readonly onRequestTrailers: WasmFunction | null;
  readonly onResponseHeaders: WasmFunction | null;
  readonly onResponseBody: WasmFunction | null;
  readonly onResponseTrailers: WasmFunction | null;
  readonly onNewConnection: WasmFunction | null;
  readonly onDownstreamData: WasmFunction | null;
  readonly onUpstreamData: WasmFunction | null;
  readonly onDownstreamConnectionClose: WasmFunction | null;
  readonly onUpstreamConnectionClose: WasmFunction | null;
  readonly onHttpCallResponse: WasmFunction | null;
  readonly onGrpcInitialMetadata: WasmFunction | null;
  readonly onGrpcReceive: WasmFunction | null;
  readonly onGrpcTrailingMetadata: WasmFunction | null;
  readonly onGrpcClose: WasmFunction | null;
  readonly onDone: WasmFunction | null;
  readonly onLog: WasmFunction | null;
  readonly onDelete: WasmFunction | null;
}

export function findCallbacks(exports: EngineExports, allowed: ReadonlySet<string> | null): Callbacks {
  const find = (name: string): WasmFunction | null => {
    const found = exports[name];
    return typeof found === "function" ? (found as WasmFunction) : null;
  };
  const callback = (name: string): WasmFunction | null => (allowed !== null && !allowed.has(name) ? null : find(name));
  return {
    initialize: find("_initialize"),
    main: find("main"),
    start: find("_start"),
    onContextCreate: callback("proxy_on_context_create"),
    onVmStart: callback("proxy_on_vm_start"),
    onConfigure: callback("proxy_on_configure"),
    onTick: callback("proxy_on_tick"),
    onQueueReady: callback("proxy_on_queue_ready"),
    onRequestHeaders: callback("proxy_on_request_headers"),
    onRequestBody: callback("proxy_on_request_body"),
    onRequestTrailers: callback("proxy_on_request_trailers"),
    onResponseHeaders: callback("proxy_on_response_headers"),
    onResponseBody: callback("proxy_on_response_body"),
    onResponseTrailers: callback("proxy_on_response_trailers"),
    onNewConnection: callback("proxy_on_new_connection"),
    onDownstreamData: callback("proxy_on_downstream_data"),
    onUpstreamData: callback("proxy_on_upstream_data"),
    onDownstreamConnectionClose: callback("proxy_on_downstream_connection_close"),
    onUpstreamConnectionClose: callback("proxy_on_upstream_connection_close"),
    onHttpCallResponse: callback("proxy_on_http_call_response"),
    onGrpcInitialMetadata: callback("proxy_on_grpc_receive_initial_metadata"),
    onGrpcReceive: callback("proxy_on_grpc_receive"),
    onGrpcTrailingMetadata: callback("proxy_on_grpc_receive_trailing_metadata"),
    onGrpcClose: callback("proxy_on_grpc_close"),
    onDone: callback("proxy_on_done"),
    onLog: callback("proxy_on_log"),
    onDelete: callback("proxy_on_delete"),
  };
}
