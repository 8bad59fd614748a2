// The messages of Envoy's configuration dump, for questions about their fields. Loaded when such a question comes.
import type { DescMessage } from "@bufbuild/protobuf";
import { BootstrapConfigDumpSchema, SecretsConfigDumpSchema } from "#wire/gen/envoy/admin/v3/config_dump_pb.ts";
import {
  ClustersConfigDumpSchema,
  EndpointsConfigDumpSchema,
  ListenersConfigDumpSchema,
  RoutesConfigDumpSchema,
} from "#wire/gen/envoy/admin/v3/config_dump_shared_pb.ts";

export type DumpType =
  | "BootstrapConfigDump"
  | "ClustersConfigDump"
  | "EndpointsConfigDump"
  | "ListenersConfigDump"
  | "RoutesConfigDump"
  | "SecretsConfigDump";

const messages: Readonly<Record<DumpType, DescMessage>> = {
  BootstrapConfigDump: BootstrapConfigDumpSchema,
  ClustersConfigDump: ClustersConfigDumpSchema,
  EndpointsConfigDump: EndpointsConfigDumpSchema,
  ListenersConfigDump: ListenersConfigDumpSchema,
  RoutesConfigDump: RoutesConfigDumpSchema,
  SecretsConfigDump: SecretsConfigDumpSchema,
};

export function messageOf(type: DumpType): DescMessage {
  return messages[type];
}
