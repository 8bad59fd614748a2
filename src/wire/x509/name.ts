// Names of X.509 (RFC 5280 4.1.2.4): the attributes that say who somebody is.
import { DerReader, readObjectIdentifier, tag } from "./der.ts";

export interface NameAttributes {
  readonly organizations: readonly string[];
  readonly commonNames: readonly string[];
}

/** Reads a Name, DER; throws X509_INVALID. */
export function readNameAttributes(name: Buffer): NameAttributes {
  const organizations: string[] = [];
  const commonNames: string[] = [];
  const parts = new DerReader(name).enter(tag.sequence);
  while (!parts.done) {
    const set = parts.enter(tag.set);
    while (!set.done) {
      const attribute = set.enter(tag.sequence);
      const id = readObjectIdentifier(attribute.next(tag.oid).content);
      const text = attribute.next().content.toString("utf8");
      if (id === "2.5.4.10") organizations.push(text);
      else if (id === "2.5.4.3") commonNames.push(text);
    }
  }
  return { organizations, commonNames };
}
