// ADD, INSERT, REPLACE and REMOVE on a list of filters or routes.
import { Operation } from "../../kinds/envoy-filter/spec.ts";

export interface ListEdit<Item> {
  readonly operation: Operation;
  /** Tells the items that the patch names; undefined when it names none. */
  readonly isTarget: ((item: Item) => boolean) | undefined;
  /** A copy of the patch's value. */
  readonly make: () => Item;
}

/**
 * Changes the list; tells whether it did. What is inserted without a target goes to that end of the list; with one that
 * is not there it goes nowhere. REPLACE and REMOVE need a target.
 */
export function editList<Item>(list: Item[], { operation, isTarget, make }: ListEdit<Item>): boolean {
  const at = isTarget === undefined ? -1 : list.findIndex(isTarget);
  if (operation === Operation.Add) {
    list.push(make());
    return true;
  }
  if (operation === Operation.Remove) {
    if (isTarget === undefined) return false;
    const kept = list.filter((item) => !isTarget(item));
    const isChanged = kept.length < list.length;
    list.splice(0, list.length, ...kept);
    return isChanged;
  }
  if (isTarget !== undefined && at === -1) return false;
  switch (operation) {
    case Operation.InsertFirst:
      list.unshift(make());
      return true;
    case Operation.InsertBefore:
      list.splice(Math.max(at, 0), 0, make());
      return true;
    case Operation.InsertAfter:
      list.splice(at === -1 ? list.length : at + 1, 0, make());
      return true;
    case Operation.Replace:
      if (at === -1) return false;
      list[at] = make();
      return true;
    default:
      return false;
  }
}
