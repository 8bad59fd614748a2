// Credentials for a registry from the content of a Secret of type kubernetes.io/dockerconfigjson. Nothing of it is ever
// part of an error.
import { credentialKeys, type ImageReference } from "./image-reference.ts";

export interface RegistryCredentials {
  /** `user:password`; empty: none. */
  readonly basic: string;
  /** Exchanged for a token at the registry's authorization server; empty: none. */
  readonly identityToken: string;
  /** Sent to the registry as it is; empty: none. */
  readonly registryToken: string;
}

const anonymous: RegistryCredentials = { basic: "", identityToken: "", registryToken: "" };

/** A text that says what is wrong with the Secret, or the credentials: none where the registry is not in it. */
export function readPullSecret(json: string, image: ImageReference): RegistryCredentials | string {
  if (json === "") return anonymous;
  let config: unknown;
  try {
    config = JSON.parse(json);
  } catch {
    return "the Secret for pulling is not JSON";
  }
  const auths = field(config, "auths");
  if (typeof auths !== "object" || auths === null) return "the Secret for pulling has no auths";
  const wanted = new Set(credentialKeys(image).map(hostOf));
  const found = Object.entries(auths).find(([key]) => wanted.has(hostOf(key)))?.[1];
  if (found === undefined) return anonymous;
  const auth = Buffer.from(text(found, "auth"), "base64").toString("utf8");
  const [username, password] = [text(found, "username"), text(found, "password")];
  return {
    basic: username === "" ? auth : `${username}:${password}`,
    identityToken: text(found, "identitytoken"),
    registryToken: text(found, "registrytoken"),
  };
}

/** People write `registry.example`, `https://registry.example` and `https://registry.example/v1/` for one. */
function hostOf(key: string): string {
  return key.replace(/^https?:\/\//, "").split("/", 1)[0] ?? "";
}

function field(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined;
}

function text(value: unknown, key: string): string {
  const found = field(value, key);
  return typeof found === "string" ? found : "";
}
