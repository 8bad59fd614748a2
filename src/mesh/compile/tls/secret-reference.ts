// References to secrets by SDS name. The workload's own certificate and roots come from the agent (`sds-grpc`);
// credentials kept in Kubernetes come from the control plane over ADS.
import { create } from "@bufbuild/protobuf";
import {
  ApiConfigSource_ApiType,
  ApiVersion,
  type ConfigSource,
  ConfigSourceSchema,
} from "#wire/gen/envoy/config/core/v3/config_source_pb.ts";
import {
  type SdsSecretConfig,
  SdsSecretConfigSchema,
} from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts";
import { fromAds, milliseconds } from "../envoy-values.ts";

/** Names a secret; `kubernetes://` and `configmap://` names are asked of the control plane, others of the agent. */
export function secretReference(name: string): SdsSecretConfig {
  return create(SdsSecretConfigSchema, { name, sdsConfig: name.includes("://") ? fromAds : fromAgent });
}

const fromAgent: ConfigSource = create(ConfigSourceSchema, {
  configSourceSpecifier: {
    case: "apiConfigSource",
    value: {
      apiType: ApiConfigSource_ApiType.GRPC,
      setNodeOnFirstMessageOnly: true,
      transportApiVersion: ApiVersion.V3,
      grpcServices: [{ targetSpecifier: { case: "envoyGrpc", value: { clusterName: "sds-grpc" } } }],
    },
  },
  initialFetchTimeout: milliseconds(0),
  resourceApiVersion: ApiVersion.V3,
});
