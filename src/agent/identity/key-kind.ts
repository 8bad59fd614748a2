// Which kind of key a workload's certificate has: Istio's variables, and P-256 where they say nothing. (Istio's own
// default is RSA 2048, which costs each handshake and each renewal some forty times as much.)
import { generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";

export type KeyKind =
  | { readonly type: "ec"; readonly curve: "P-256" | "P-384" }
  | { readonly type: "rsa"; readonly bits: number };

export const defaultKeyKind: KeyKind = { type: "ec", curve: "P-256" };

type Environment = Readonly<Record<string, string | undefined>>;

/** A string says which variable is wrong. */
export function keyKind(env: Environment): KeyKind | string {
  const { ECC_SIGNATURE_ALGORITHM: algorithm = "", ECC_CURVE: curve = "", WORKLOAD_RSA_KEY_SIZE: size = "" } = env;
  if (algorithm !== "" && algorithm !== "ECDSA") return `ECC_SIGNATURE_ALGORITHM "${algorithm}" is not known; ECDSA is`;
  if (algorithm === "" && size !== "") {
    const bits = Number(size);
    const isUsable = Number.isInteger(bits) && bits >= 2048 && bits <= 8192;
    return isUsable ? { type: "rsa", bits } : `WORKLOAD_RSA_KEY_SIZE "${size}" is not a number from 2048 to 8192`;
  }
  if (curve === "" || curve === "P256") return defaultKeyKind;
  return curve === "P384" ? { type: "ec", curve: "P-384" } : `ECC_CURVE "${curve}" is not known; P256 and P384 are`;
}

const ecKey = promisify(generateKeyPair) as (
  type: "ec",
  options: { namedCurve: string },
) => Promise<{ privateKey: KeyObject }>;
const rsaKey = promisify(generateKeyPair) as (
  type: "rsa",
  options: { modulusLength: number },
) => Promise<{ privateKey: KeyObject }>;

export async function makeKey(kind: KeyKind): Promise<KeyObject> {
  const made =
    kind.type === "ec" ? ecKey("ec", { namedCurve: kind.curve }) : rsaKey("rsa", { modulusLength: kind.bits });
  return (await made).privateKey;
}
