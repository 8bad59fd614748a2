// What a sidecar does with traffic to destinations that the mesh does not know.

export const OutboundMode = {
  RegistryOnly: "REGISTRY_ONLY",
  AllowAny: "ALLOW_ANY",
  AllowAnyDynamicDns: "ALLOW_ANY_DYNAMIC_DNS",
} as const;
export type OutboundMode = (typeof OutboundMode)[keyof typeof OutboundMode];
