// Why a container or a volume cannot be made yet. Not a defect: the reason is shown in the pod's status, and the node
// tries again when something changes.

export class WaitingError extends Error {
  /** As Kubernetes names it: ErrImagePull, CreateContainerConfigError, FailedMount, ... */
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.name = "WaitingError";
    this.reason = reason;
  }
}
