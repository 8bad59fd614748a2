// Which workload a pod belongs to, from its controller's name: ReplicaSet → Deployment, Job → CronJob.
import { type Pod, podLabels } from "./pod.ts";

export interface WorkloadOwner {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
}

const cronJobName = /^(.+)-(\d{8,10})$/;

/** The workload that made the pod; the pod itself when nothing did. */
export function workloadOwner(pod: Pod): WorkloadOwner {
  const metadata = pod.metadata ?? {};
  const owner = metadata.ownerReferences?.find((reference) => reference.controller === true);
  if (owner?.kind === undefined || owner.name === undefined || owner.apiVersion === undefined) {
    return { apiVersion: "v1", kind: "Pod", name: metadata.name ?? (metadata.generateName ?? "").replace(/-$/, "") };
  }
  const labels = podLabels(pod);
  switch (owner.kind) {
    case "ReplicaSet": {
      const rollout = stripHash(owner.name, labels["rollouts-pod-template-hash"]);
      if (rollout !== undefined) return { apiVersion: "argoproj.io/v1alpha1", kind: "Rollout", name: rollout };
      const deployment = stripHash(owner.name, labels["pod-template-hash"]);
      if (deployment !== undefined) return { apiVersion: "apps/v1", kind: "Deployment", name: deployment };
      break;
    }
    case "ReplicationController": {
      const config = metadata.labels?.["deploymentconfig"];
      if (config !== undefined) return { apiVersion: "apps.openshift.io/v1", kind: "DeploymentConfig", name: config };
      break;
    }
    case "Job": {
      const match = cronJobName.exec(owner.name);
      if (match?.[1] !== undefined) return { apiVersion: "batch/v1", kind: "CronJob", name: match[1] };
      break;
    }
    default:
      break;
  }
  return { apiVersion: owner.apiVersion, kind: owner.kind, name: owner.name };
}

/** `kubernetes://apis/apps/v1/namespaces/default/deployments/reviews-v1`. */
export function ownerUri(owner: WorkloadOwner, namespace: string): string {
  return `kubernetes://apis/${owner.apiVersion}/namespaces/${namespace}/${owner.kind.toLowerCase()}s/${owner.name}`;
}

function stripHash(name: string, hash: string | undefined): string | undefined {
  return hash !== undefined && name.endsWith(`-${hash}`) ? name.slice(0, -hash.length - 1) : undefined;
}
