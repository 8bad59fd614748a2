// Reads a Secret. The generic names count before those of type kubernetes.io/tls, as in Istio.
import { lenientRecord, stringMap } from "../../objects/decode.ts";
import type { KubernetesObject } from "../../objects/kubernetes-object.ts";
import type { Report } from "../../objects/report.ts";
import type { SecretSpec } from "./spec.ts";

const content = lenientRecord<{
  readonly data: Readonly<Record<string, string>>;
  readonly stringData: Readonly<Record<string, string>>;
}>({ data: stringMap, stringData: stringMap });

export function decodeSecret(object: KubernetesObject, report: Report): SecretSpec | undefined {
  const decoded = content(object, undefined, report);
  if (decoded === undefined) return undefined;
  const { data, stringData } = decoded;
  const read = (name: string): string | undefined => {
    const encoded = Object.hasOwn(data, name) ? data[name] : undefined;
    const plain = Object.hasOwn(stringData, name) ? stringData[name] : undefined;
    return plain ?? (encoded === undefined ? undefined : Buffer.from(encoded, "base64").toString("utf8"));
  };
  const isGeneric = read("cert") !== undefined && read("key") !== undefined;
  const certificate = read(isGeneric ? "cert" : "tls.crt");
  const key = read(isGeneric ? "key" : "tls.key");
  const generic = read("cacert");
  const roots = generic ?? read("ca.crt");
  const revocationList = generic === undefined ? read("ca.crl") : (read("crl") ?? read("ca.crl"));
  const dockerConfig = read(".dockerconfigjson");
  return {
    ...(certificate !== undefined && { certificate }),
    ...(key !== undefined && { key }),
    ...(roots !== undefined && { roots }),
    ...(revocationList !== undefined && { revocationList }),
    ...(dockerConfig !== undefined && { dockerConfig }),
  };
}
