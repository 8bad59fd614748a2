// The annotation `galley.istio.io/analyze-suppress`: codes that are not reported for the object that carries it.

const annotation = "galley.istio.io/analyze-suppress";

export function suppressed(code: string, annotations: Readonly<Record<string, string>> | undefined): boolean {
  const value = annotations?.[annotation];
  if (typeof value !== "string") return false;
  const codes = value.split(",").map((item) => item.trim());
  return codes.includes("*") || codes.includes(code);
}
