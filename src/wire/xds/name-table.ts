// Istio's name table (NDS): the hosts of the mesh and their addresses, for the DNS proxy of an agent. The messages of
// `istio.networking.nds.v1.NameTable` on the wire: a map (field 1) from host to NameInfo.
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

export const nameTableType = "type.googleapis.com/istio.networking.nds.v1.NameTable";

export interface NameInfo {
  readonly ips: readonly string[];
  /** `Kubernetes` for hosts that have shorter names too, which the agent finds. */
  readonly registry: "Kubernetes" | "External";
  /** Of Kubernetes' services: their name and namespace. */
  readonly shortName: string;
  readonly namespace: string;
}

export type NameTable = ReadonlyMap<string, NameInfo>;

export function encodeNameTable(table: NameTable): Uint8Array {
  const writer = new BinaryWriter();
  for (const [host, info] of table) {
    writer.tag(1, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(host);
    writer.tag(2, WireType.LengthDelimited).fork();
    for (const ip of info.ips) writer.tag(1, WireType.LengthDelimited).string(ip);
    const fields = [info.registry, info.shortName, info.namespace];
    for (const [index, value] of fields.entries()) {
      if (value !== "") writer.tag(index + 2, WireType.LengthDelimited).string(value);
    }
    writer.join().join();
  }
  return writer.finish();
}

/** Throws when the bytes are no message. */
export function decodeNameTable(bytes: Uint8Array): NameTable {
  const table = new Map<string, NameInfo>();
  const reader = new BinaryReader(bytes);
  eachField(reader, reader.len, (field) => {
    if (field !== 1) return false;
    let host = "";
    let info = noName;
    eachField(reader, reader.uint32() + reader.pos, (part) => {
      if (part === 1) host = reader.string();
      else if (part === 2) info = decodeInfo(reader);
      return part === 1 || part === 2;
    });
    table.set(host, info);
    return true;
  });
  return table;
}

const noName: NameInfo = { ips: [], registry: "External", shortName: "", namespace: "" };

function decodeInfo(reader: BinaryReader): NameInfo {
  const ips: string[] = [];
  const texts = ["", "", ""];
  eachField(reader, reader.uint32() + reader.pos, (field) => {
    if (field === 1) ips.push(reader.string());
    else if (field >= 2 && field <= 4) texts[field - 2] = reader.string();
    return field >= 1 && field <= 4;
  });
  const [registry = "", shortName = "", namespace = ""] = texts;
  return { ips, registry: registry === "Kubernetes" ? registry : "External", shortName, namespace };
}

/** Reads up to `end`; what the callback does not take is skipped. */
function eachField(reader: BinaryReader, end: number, take: (field: number) => boolean): void {
  if (end > reader.len) throw new RangeError("a field is longer than the message");
  while (reader.pos < end) {
    const [field, type] = reader.tag();
    if (type !== WireType.LengthDelimited || !take(field)) reader.skip(type, field);
  }
}
