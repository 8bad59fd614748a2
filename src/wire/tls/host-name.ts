// Host names in certificates (RFC 6125).

/** Whether a DNS name of a certificate is for the host. 6.4.3: a star is the whole first label, and stands for one. */
export function coversHost(name: string, host: string): boolean {
  const wanted = host.toLowerCase();
  const presented = name.toLowerCase();
  if (presented === wanted) return wanted !== "";
  if (!presented.startsWith("*.") || presented.includes("*", 1)) return false;
  const dot = wanted.indexOf(".");
  // Two labels at least behind the star: `*.com` would be for half the world.
  return dot > 0 && wanted.slice(dot) === presented.slice(1) && presented.includes(".", 2);
}
