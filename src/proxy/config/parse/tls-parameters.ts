// TLS parameters: versions, ciphers, curves, signature algorithms. What this platform's OpenSSL does not know is refused,
// for a list in which nothing is left would let nobody in, and one that is shorter than written is weaker than meant.
import { getCurves } from "node:crypto";
import { getCiphers } from "node:tls";
import {
  type TlsParameters as EnvoyParameters,
  TlsParameters_TlsProtocol as TlsProtocol,
} from "#wire/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.ts";
import type { Problems } from "../problems.ts";
import type { TlsParameters, TlsVersion } from "../tls.ts";

export function decodeTlsParameters(
  parameters: EnvoyParameters | undefined,
  defaultMaximum: TlsVersion,
  path: string,
  problems: Problems,
): TlsParameters {
  return {
    ...versions(parameters, defaultMaximum, path, problems),
    ciphers: (parameters?.cipherSuites ?? []).flatMap((suite) =>
      decodeCipher(suite, `${path}.cipher_suites`, problems),
    ),
    curves: (parameters?.ecdhCurves ?? []).filter((curve) => checkCurve(curve, `${path}.ecdh_curves`, problems)),
    signatureAlgorithms: (parameters?.signatureAlgorithms ?? []).filter((name) =>
      checkName(name, `${path}.signature_algorithms`, problems),
    ),
  };
}

/** Versions below TLS 1.2 are raised to it: they are broken. */
function versions(
  parameters: EnvoyParameters | undefined,
  defaultMaximum: TlsVersion,
  path: string,
  problems: Problems,
): Pick<TlsParameters, "minVersion" | "maxVersion"> {
  const min = parameters?.tlsMinimumProtocolVersion ?? TlsProtocol.TLS_AUTO;
  const max = parameters?.tlsMaximumProtocolVersion ?? TlsProtocol.TLS_AUTO;
  if (max === TlsProtocol.TLSv1_0 || max === TlsProtocol.TLSv1_1) {
    problems.unsupported(`${path}.tls_maximum_protocol_version`, "TLS below 1.2");
  }
  const minVersion = min === TlsProtocol.TLSv1_3 ? "TLSv1.3" : "TLSv1.2";
  const asked = max === TlsProtocol.TLSv1_3 ? "TLSv1.3" : max === TlsProtocol.TLS_AUTO ? defaultMaximum : "TLSv1.2";
  if (minVersion === "TLSv1.3" && max === TlsProtocol.TLSv1_2) {
    problems.invalid(`${path}.tls_maximum_protocol_version`, "is below the minimum");
  }
  return { minVersion, maxVersion: minVersion === "TLSv1.3" ? "TLSv1.3" : asked };
}

const knownCiphers: ReadonlySet<string> = new Set(getCiphers());

/** `[A|B]` is a group of equal preference, which OpenSSL does not have: its members stand one after the other. */
function decodeCipher(suite: string, path: string, problems: Problems): string[] {
  const names = suite.replace(/^\[|\]$/g, "").split("|");
  for (const name of names) {
    if (!knownCiphers.has(name.toLowerCase())) problems.invalid(path, `"${name}" is not a cipher that is known here`);
  }
  return names;
}

/** Groups beside the curves that Node lists; names as TLS has them. */
const knownGroups: ReadonlySet<string> = new Set([
  "X25519",
  "X448",
  "P-256",
  "P-384",
  "P-521",
  "X25519MLKEM768",
  "SecP256r1MLKEM768",
  "SecP384r1MLKEM1024",
]);

function checkCurve(curve: string, path: string, problems: Problems): boolean {
  const isKnown = knownGroups.has(curve) || getCurves().includes(curve);
  if (!isKnown) problems.invalid(path, `"${curve}" is not a curve that is known here`);
  return isKnown;
}

/** Names go into a list that colons separate. */
function checkName(name: string, path: string, problems: Problems): boolean {
  const isName = /^[A-Za-z0-9_+-]+$/.test(name);
  if (!isName) problems.invalid(path, `"${name}" is not the name of an algorithm`);
  return isName;
}
