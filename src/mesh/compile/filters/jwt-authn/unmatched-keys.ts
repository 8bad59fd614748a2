// A key set that no token can match, for an issuer whose keys are not known: the filter stays valid and every token of
// the issuer is refused. Its one key is the point M of RFC 9382 for P-256, which was made so that nobody knows a private
// key to it. The key's id says what is missing.

const point = {
  x: "iG4vl6zkblW6ndckJXnymTtk4W7z3KuVr9SXMz2PoS8",
  y: "X_NVFj5DziJOCw5l_wKsjlx74JQZx4XgylR9VaEuLSA",
};

export function unmatchedKeys(why: string): string {
  return JSON.stringify({ keys: [{ kty: "EC", crv: "P-256", alg: "ES256", use: "sig", kid: why, ...point }] });
}
