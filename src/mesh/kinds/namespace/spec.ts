// Kubernetes Namespace: its labels say everything the mesh needs (injection, discovery); the spec is empty.

export type NamespaceSpec = Readonly<Record<string, never>>;
