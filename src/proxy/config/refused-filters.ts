// HTTP filters of Envoy that this proxy does not have, with a word on what is missing for those that users ask for. A
// chain with one of them is refused: without it, requests would be treated otherwise than they should.

const missing: Readonly<Record<string, string>> = {
  adaptive_concurrency: "concurrency is not limited by latency; admission_control and circuit breakers are there",
  alternate_protocols_cache: "HTTP/3 is not spoken",
  aws_lambda: "functions of AWS Lambda are not called",
  aws_request_signing: "requests are not signed for AWS",
  basic_auth: "user names and passwords are not checked; jwt_authn and ext_authz authenticate",
  cache: "responses are not cached",
  cdn_loop: "loops of CDNs are not looked for",
  composite: "filters are not chosen by request; routes can switch them off and on",
  connect_grpc_bridge: "the Connect protocol is not translated",
  credential_injector: "credentials are not put into requests",
  custom_response: "responses are not replaced; local_reply_config changes the proxy's own",
  ext_proc: "requests are not shown to another process; ext_authz and Wasm plugins are there",
  file_system_buffer: "bodies are not buffered on disk",
  gcp_authn: "tokens of Google Cloud are not fetched",
  geoip: "places of addresses are not looked up",
  grpc_field_extraction: "fields of gRPC messages are not read",
  grpc_http1_reverse_bridge: "gRPC is not translated for servers of HTTP/1",
  grpc_json_transcoder: "JSON is not transcoded to gRPC",
  json_to_metadata: "bodies in JSON are not read",
  lua: "Lua scripts are not run; Wasm plugins and header_mutation are there",
  oauth2: "nobody is sent to log in; jwt_authn and ext_authz authenticate",
  on_demand: "routes and clusters are not fetched when a request asks for them",
  original_src: "upstream connections do not come from the client's address",
  proto_message_logging: "gRPC messages are not logged",
  rate_limit_quota: "quotas are not asked for; ratelimit and local_ratelimit are there",
  set_filter_state: "there is no filter state; set_metadata is there",
  tap: "traffic is not recorded",
  thrift_to_metadata: "Thrift is not read",
};

const ofHttp = /^envoy\.extensions\.filters\.http\.(\w+)\./;

/** Says what is missing; the type itself where there is nothing to say. */
export function whyRefused(typeName: string): string {
  return missing[ofHttp.exec(typeName)?.[1] ?? ""] ?? typeName;
}
