// The shape that every Kubernetes-style object shares, as JSON. Fields beyond metadata stay unknown until a kind's
// `decode` has looked at them.

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

export interface ObjectMeta {
  readonly name: string;
  /** Absent or empty on cluster-scoped objects. */
  readonly namespace?: string;
  readonly generateName?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  /** RFC 3339. */
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/**
 * Annotation that keeps where an object was written, once it has passed through an API server: JSON
 * `{"file":"reviews.yaml","line":3,"column":1,"fields":{"spec.http[0]":[12,5]}}`. Written on apply, read by sources.
 */
export const sourceAnnotation = "outrigger.dev/source";
