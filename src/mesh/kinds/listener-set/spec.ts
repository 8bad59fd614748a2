// ListenerSet as decoded.
import type { Listener } from "../../objects/fields/listener.ts";

export interface ListenerSetSpec {
  readonly parentRef: ListenerSetParent;
  readonly listeners: readonly Listener[];
}

export interface ListenerSetParent {
  readonly group: string;
  readonly kind: string;
  /** Empty means the ListenerSet's own. */
  readonly namespace: string;
  readonly name: string;
}
