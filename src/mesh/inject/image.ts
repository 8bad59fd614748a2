// Name of the proxy's image: annotation, else hub/image:tag with the variant as suffix.
import { annotationName } from "./annotations.ts";
import type { InjectionValues } from "./values.ts";

export function proxyImage(
  values: InjectionValues,
  annotations: Readonly<Record<string, string>>,
  configuredType: string,
): string {
  const chosen = annotations[annotationName.proxyImage];
  if (chosen !== undefined && chosen !== "") return chosen;
  const { image } = values.proxy;
  if (image.includes("/")) return image;
  const type = annotations[annotationName.proxyImageType] ?? (configuredType || values.variant);
  const suffix = type === "" || type === "default" || values.tag.endsWith(`-${type}`) ? "" : `-${type}`;
  return `${values.hub}/${image}:${values.tag}${suffix}`;
}
