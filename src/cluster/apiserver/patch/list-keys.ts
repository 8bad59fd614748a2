// Lists whose items have an identity, by the field that holds them: how strategic merge patch and apply tell items
// apart. Everywhere else a list is one value.

/** The field that identifies an item of the list at the path; undefined when the list is one value. */
export function listKey(kind: string, path: readonly string[]): string | undefined {
  const field = path.at(-1) ?? "";
  if (field === "ownerReferences" && path.at(-2) === "metadata") return "uid";
  const parent = path.at(-2);
  switch (field) {
    case "containers":
    case "initContainers":
    case "ephemeralContainers":
    case "volumes":
    case "imagePullSecrets":
      return podKinds.has(kind) ? "name" : undefined;
    case "env":
      return isContainer(parent) ? "name" : undefined;
    case "volumeMounts":
      return isContainer(parent) ? "mountPath" : undefined;
    case "ports":
      if (isContainer(parent)) return "containerPort";
      return kind === "Service" && parent === "spec" ? "port" : undefined;
    case "conditions":
      return parent === "status" && podKinds.has(kind) ? "type" : undefined;
    case "hostAliases":
      return podKinds.has(kind) ? "ip" : undefined;
    case "webhooks":
      return kind.endsWith("WebhookConfiguration") ? "name" : undefined;
    case "secrets":
      return kind === "ServiceAccount" ? "name" : undefined;
    default:
      return undefined;
  }
}

const podKinds = new Set(["Pod", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ServiceAccount"]);

/** Paths of list items carry the list's name only: `spec.containers.env`. */
function isContainer(parent: string | undefined): boolean {
  return parent === "containers" || parent === "initContainers" || parent === "ephemeralContainers";
}
