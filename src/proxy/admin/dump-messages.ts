// The messages of Envoy's configuration dump, for questions about their fields. Loaded when such a question comes.
import type { DescMessage } from "@bufbuild/protobuf";
import { BootstrapConfigDumpSchema, SecretsConfigDumpSchema } from "#wire/gen/envoy/admin/v3/config_dump_pb.ts";
import {
  ClustersConfigDumpSchema,
  EcdsConfigDumpSchema,
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
  | "EcdsConfigDump"
  | "SecretsConfigDump";

const messages: Readonly<Record<DumpType, DescMessage>> = {
  BootstrapConfigDump: BootstrapConfigDumpSchema,
  ClustersConfigDump: ClustersConfigDumpSchema,
  EndpointsConfigDump: EndpointsConfigDumpSchema,
  ListenersConfigDump: ListenersConfigDumpSchema,
  RoutesConfigDump: RoutesConfigDumpSchema,
  EcdsConfigDump: EcdsConfigDumpSchema,
  SecretsConfigDump: SecretsConfigDumpSchema,
};

export function messageOf(type: DumpType): DescMessage {
  return messages[type];
}
