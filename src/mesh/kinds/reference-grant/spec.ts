// ReferenceGrant as decoded.

export interface ReferenceGrantSpec {
  readonly from: readonly GrantedFrom[];
  readonly to: readonly GrantedTo[];
}

export interface GrantedFrom {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
}

export interface GrantedTo {
  readonly group: string;
  readonly kind: string;
  /** Empty means all of the kind. */
  readonly name: string;
}
